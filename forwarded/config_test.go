package forwarded_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/forwarded"
)

func TestNewRefusesWhatCannotBeMeant(t *testing.T) {
	ten := prefixes("10.0.0.0/8")
	for _, c := range []struct {
		name   string
		config forwarded.Config
		want   []string
	}{
		{
			"host bits",
			forwarded.Config{Proxies: prefixes("10.0.0.1/8")},
			[]string{`forwarded: Proxies[0] "10.0.0.1/8": has bits set behind its length; did you mean "10.0.0.0/8", or "10.0.0.1/32" for the one address?`},
		},
		{
			"host bits in IPv6",
			forwarded.Config{Proxies: prefixes("10.0.0.0/8", "2001:db8::1/32")},
			[]string{`forwarded: Proxies[1] "2001:db8::1/32": has bits set behind its length; did you mean "2001:db8::/32", or "2001:db8::1/128" for the one address?`},
		},
		{
			"the zero prefix",
			forwarded.Config{Proxies: []netip.Prefix{{}}},
			[]string{`forwarded: Proxies[0]: is not a network; make it with netip.MustParsePrefix or ParsePrefixes`},
		},
		{
			"IPv4 as IPv6",
			forwarded.Config{Proxies: prefixes("::ffff:10.0.0.0/104")},
			[]string{`forwarded: Proxies[0] "::ffff:10.0.0.0/104": is an IPv4 network written as IPv6, which no IPv4 address is in; did you mean "10.0.0.0/8"?`},
		},
		{"everybody", forwarded.Config{Proxies: prefixes("0.0.0.0/0", "::/0")}, []string{
			`forwarded: Proxies[0] "0.0.0.0/0": trusts every address, so the client could forge the whole chain: list the networks of the proxies; where they have no known address, set Hops or Header and InsecureAnyPeer`,
			`forwarded: Proxies[1] "::/0": trusts every address, so the client could forge the whole chain: list the networks of the proxies; where they have no known address, set Hops or Header and InsecureAnyPeer`,
		}},
		{
			"negative hops",
			forwarded.Config{Hops: -1, Proxies: ten},
			[]string{`forwarded: Hops "-1": is not between 0 and 32: it is the number of proxies in front of the server`},
		},
		{
			"too many hops",
			forwarded.Config{Hops: 33, Proxies: ten},
			[]string{`forwarded: Hops "33": is not between 0 and 32: it is the number of proxies in front of the server`},
		},
		{
			"hops and a header",
			forwarded.Config{Hops: 1, Header: "X-Real-IP", Proxies: ten},
			[]string{`forwarded: Hops "1": stands beside Header, and they are alternatives: keep the one that the platform documents`},
		},
		{
			"Forwarded and a header",
			forwarded.Config{RFC7239: true, Header: "X-Real-IP", Proxies: ten},
			[]string{`forwarded: RFC7239: stands beside Header, and they are alternatives: Forwarded is a chain, Header holds one address`},
		},
		{
			"Forwarded alone",
			forwarded.Config{RFC7239: true},
			[]string{`forwarded: RFC7239: says where the chain is read, not how far it is believed: set Proxies or Hops too`},
		},
		{"hops from anybody", forwarded.Config{Hops: 1}, []string{anybody}},
		{"a header from anybody", forwarded.Config{Header: "X-Real-IP"}, []string{anybody}},
		{"a scheme from anybody", forwarded.Config{ProtoHeader: "X-Forwarded-Proto"}, []string{anybody}},
		{"a host from anybody", forwarded.Config{HostHeader: "X-Forwarded-Host"}, []string{anybody}},
		{
			"any peer beside Proxies",
			forwarded.Config{Proxies: ten, InsecureAnyPeer: true},
			[]string{`forwarded: InsecureAnyPeer: contradicts Proxies: remove it to believe those peers only, which is safer`},
		},
		{
			"any peer for nothing",
			forwarded.Config{InsecureAnyPeer: true},
			[]string{`forwarded: InsecureAnyPeer: has no header to believe: set Hops, Header, ProtoHeader or HostHeader, or remove it`},
		},
		{
			"a chain as the header",
			forwarded.Config{Header: "x-forwarded-for", Proxies: ten},
			[]string{`forwarded: Header "x-forwarded-for": is a chain that the client can begin, not one address: leave Header empty and set Proxies or Hops (and RFC7239 for Forwarded)`},
		},
		{
			"Forwarded as the header",
			forwarded.Config{Header: "Forwarded", Proxies: ten},
			[]string{`forwarded: Header "Forwarded": is a chain that the client can begin, not one address: leave Header empty and set Proxies or Hops (and RFC7239 for Forwarded)`},
		},
		{
			"no name",
			forwarded.Config{Header: "X-Real-IP:", Proxies: ten},
			[]string{`forwarded: Header "X-Real-IP:": is not a header name, such as "X-Real-IP"`},
		},
		{
			"Host",
			forwarded.Config{HostHeader: "host", Proxies: ten},
			[]string{`forwarded: HostHeader "host": is what the client asked for, not what a proxy reports; leave it empty for r.Host`},
		},
		{
			"one header for both",
			forwarded.Config{ProtoHeader: "X-Original", HostHeader: "x-original", Proxies: ten},
			[]string{`forwarded: HostHeader "x-original": is the ProtoHeader too; a header reports a scheme or a host`},
		},
		{
			"Forwarded's proto without RFC7239",
			forwarded.Config{ProtoHeader: "forwarded", Proxies: ten},
			[]string{`forwarded: ProtoHeader "forwarded": needs RFC7239: the parameter is taken from the element that names the client`},
		},
		{
			"the chain as scheme",
			forwarded.Config{ProtoHeader: "X-Forwarded-For", Proxies: ten},
			[]string{`forwarded: ProtoHeader "X-Forwarded-For": holds addresses; did you mean "X-Forwarded-Proto"?`},
		},
		{
			"the address as host",
			forwarded.Config{Header: "X-Real-IP", HostHeader: "x-real-ip", Proxies: ten},
			[]string{`forwarded: HostHeader "x-real-ip": holds addresses; did you mean "X-Forwarded-Host"?`},
		},
		{"all at once", forwarded.Config{Proxies: prefixes("10.0.0.1/8"), Hops: -1, Header: "a b", ProtoHeader: "é", InsecureAnyPeer: true}, []string{
			`forwarded: Proxies[0] "10.0.0.1/8": has bits set behind its length; did you mean "10.0.0.0/8", or "10.0.0.1/32" for the one address?`,
			`forwarded: Hops "-1": is not between 0 and 32: it is the number of proxies in front of the server`,
			`forwarded: Hops "-1": stands beside Header, and they are alternatives: keep the one that the platform documents`,
			`forwarded: InsecureAnyPeer: contradicts Proxies: remove it to believe those peers only, which is safer`,
			`forwarded: Header "a b": is not a header name, such as "X-Real-IP"`,
			`forwarded: ProtoHeader "é": is not a header name, such as "X-Real-IP"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := forwarded.New(c.config)
			assert.Nil(t, v)
			assert.Equal(t, c.want, texts(t, err))
		})
	}
}

const anybody = `forwarded: Proxies: is empty, so any peer could forge the headers: list the networks of the proxies, or set InsecureAnyPeer where nothing but the platform's edge can reach the port`

// texts returns the joined errors, each of which must be a *gatehouse.ConfigError.
func texts(t *testing.T, err error) []string {
	t.Helper()
	require.Error(t, err)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(t, ok, "not joined: %v", err)
	var out []string
	for _, e := range joined.Unwrap() {
		var ce *gatehouse.ConfigError
		require.True(t, errors.As(e, &ce), "%T", e)
		out = append(out, e.Error())
	}
	return out
}

func TestParsePrefixesReadsAnEnvironmentVariable(t *testing.T) {
	for s, want := range map[string][]string{
		"":                              nil,
		"  ":                            nil,
		"10.0.0.0/8":                    {"10.0.0.0/8"},
		"10.0.0.0/8, 192.168.1.5":       {"10.0.0.0/8", "192.168.1.5/32"},
		" 2001:db8::/32,\n2001:db8::1 ": {"2001:db8::/32", "2001:db8::1/128"},
		"0.0.0.0/0":                     {"0.0.0.0/0"}, // New refuses it as a proxy; elsewhere it has its use
	} {
		got, err := forwarded.ParsePrefixes(s)
		require.NoError(t, err, s)
		if want == nil {
			assert.Empty(t, got, s)
			continue
		}
		assert.Equal(t, prefixes(want...), got, s)
	}
}

func TestParsePrefixesNamesEveryMistakeAndItsRepair(t *testing.T) {
	_, err := forwarded.ParsePrefixes("10.0.0.1/8,,localhost,10.0.0.1:80, 10.0.0.0/33,[::1],fe80::1%eth0,10.0.0.0/8 10.0.0.1,::ffff:10.0.0.1,[::1]:80,010.0.0.1,127.1,10.0.0.0/255.0.0.0,*")
	no := ": is not a network; write an address (\"192.168.1.5\") or a network in CIDR notation (\"10.0.0.0/8\"), no host name, no brackets"
	assert.Equal(t, []string{
		`forwarded: prefixes[0] "10.0.0.1/8": has bits set behind its length; did you mean "10.0.0.0/8", or "10.0.0.1/32" for the one address?`,
		`forwarded: prefixes[1]: is empty: remove the comma too many`,
		`forwarded: prefixes[2] "localhost"` + no,
		`forwarded: prefixes[3] "10.0.0.1:80": has a port; did you mean "10.0.0.1"?`,
		`forwarded: prefixes[4] "10.0.0.0/33"` + no,
		`forwarded: prefixes[5] "[::1]"` + no,
		`forwarded: prefixes[6] "fe80::1%eth0": has a zone, which networks have not: remove it from the % on`,
		`forwarded: prefixes[7] "10.0.0.0/8 10.0.0.1": holds more than one network: separate them with commas`,
		`forwarded: prefixes[8] "::ffff:10.0.0.1": is an IPv4 network written as IPv6, which no IPv4 address is in; did you mean "10.0.0.1/32"?`,
		`forwarded: prefixes[9] "[::1]:80": has a port; did you mean "::1"?`,
		`forwarded: prefixes[10] "010.0.0.1"` + no,
		`forwarded: prefixes[11] "127.1"` + no,
		`forwarded: prefixes[12] "10.0.0.0/255.0.0.0"` + no,
		`forwarded: prefixes[13] "*"` + no,
	}, texts(t, err))

	_, err = forwarded.ParsePrefixes(",")
	assert.Len(t, texts(t, err), 2)
}

// What each edge sends for a client that forges everything, as its documentation
// says or as was observed; the client must come out.
func TestEveryPlatformPresetFindsTheClientBehindItsEdge(t *testing.T) {
	const edge = "100.64.0.9:4000"
	all := []string{
		"X-Real-IP: " + forged, "Fly-Client-IP: " + forged, "CF-Connecting-IP: " + forged, "True-Client-IP: " + forged,
		"X-Forwarded-For: " + forged, "Forwarded: for=" + forged, "X-Forwarded-Proto: http", "X-Forwarded-Host: attacker.example",
	}
	for name, sent := range map[string]map[string]string{
		"railway":  {"X-Real-IP": client},
		"render":   {"X-Forwarded-For": forged + ", " + client + ", 172.68.1.1"},
		"fly":      {"Fly-Client-IP": client, "X-Forwarded-For": forged + ", " + client + ", 66.241.124.1"},
		"heroku":   {"X-Forwarded-For": forged + "," + client},
		"cloudrun": {"X-Forwarded-For": forged + "," + client},
		"alb":      {"X-Forwarded-For": forged + ", " + client + ":50123"},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := forwarded.Platform(name)
			require.NoError(t, err)
			v := resolver(t, config)
			r := request(edge, all...)
			for h, value := range sent {
				r.Header.Set(h, value)
			}
			r.Header.Set("X-Forwarded-Proto", "https")
			assert.Equal(t, ip(client), v.ClientIP(r))
			assert.True(t, v.HTTPS(r))
			assert.Equal(t, "app.example", v.Host(r))
		})
	}
}

func TestPlatformNoneIsTheZeroConfig(t *testing.T) {
	config, err := forwarded.Platform("none")
	require.NoError(t, err)
	assert.Equal(t, forwarded.Config{}, config)
}

func TestPlatformCloudflareNeedsItsNetworks(t *testing.T) {
	config, err := forwarded.Platform("cloudflare")
	require.NoError(t, err)
	_, err = forwarded.New(config)
	assert.Equal(t, []string{anybody}, texts(t, err))

	config.Proxies = prefixes("104.16.0.0/13")
	v := resolver(t, config)
	r := request("104.16.1.1:443", "CF-Connecting-IP: "+client, "X-Forwarded-Proto: https")
	assert.Equal(t, ip(client), v.ClientIP(r))
	assert.True(t, v.HTTPS(r))
	r.RemoteAddr = alien // around Cloudflare
	assert.Equal(t, ip("203.0.113.66"), v.ClientIP(r))
	assert.False(t, v.HTTPS(r))
}

func TestAnUnknownPlatformIsAnErrorThatNamesTheKnownOnes(t *testing.T) {
	for _, name := range []string{"", "Railway", "heroku ", "aws"} {
		config, err := forwarded.Platform(name)
		assert.Equal(t, forwarded.Config{}, config)
		var ce *gatehouse.ConfigError
		require.True(t, errors.As(err, &ce))
		assert.Equal(t, "Platform", ce.Field)
		for known := range strings.FieldsSeq("none railway render fly heroku cloudrun alb cloudflare") {
			assert.Contains(t, ce.Reason, `"`+known+`"`)
		}
	}
}
