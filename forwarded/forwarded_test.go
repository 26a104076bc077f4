package forwarded_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

// proxies are the trusted networks of the tests; 192.0.2.0/24, 198.51.100.0/24
// and 203.0.113.0/24 (RFC 5737) and 2001:db8::/32 (RFC 3849) are everybody else.
var proxies = prefixes("10.0.0.0/8", "fd00::/8", "fe80::/10", "172.16.5.4/32")

func prefixes(ss ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(ss))
	for i, s := range ss {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func resolver(t testing.TB, c forwarded.Config) *forwarded.Resolver {
	t.Helper()
	v, err := forwarded.New(c)
	require.NoError(t, err)
	return v
}

// request has the peer and the header lines, "Name: value", in their order.
func request(peer string, lines ...string) *http.Request {
	r := &http.Request{RemoteAddr: peer, Host: "app.example", Header: http.Header{}}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// xff makes the lines of X-Forwarded-For.
func xff(lines ...string) []string { return named("X-Forwarded-For", lines) }
func fwd(lines ...string) []string { return named("Forwarded", lines) }

func named(name string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = name + ": " + l
	}
	return out
}

// ip reads the wanted address; "" is the invalid one.
func ip(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

var (
	nobody  = forwarded.Config{}
	trusted = forwarded.Config{Proxies: proxies}
	std     = forwarded.Config{Proxies: proxies, RFC7239: true}
	hop1    = forwarded.Config{Hops: 1, InsecureAnyPeer: true}
	hop2    = forwarded.Config{Hops: 2, InsecureAnyPeer: true}
	hop2p   = forwarded.Config{Hops: 2, Proxies: proxies}
	hop2std = forwarded.Config{Hops: 2, RFC7239: true, InsecureAnyPeer: true}
	realIP  = forwarded.Config{Header: "X-Real-IP", InsecureAnyPeer: true}
	realIPp = forwarded.Config{Header: "X-Real-IP", Proxies: proxies}
)

const (
	proxy  = "10.0.0.1:443"     // a trusted peer
	alien  = "203.0.113.66:999" // a peer that is not
	client = "192.0.2.60"
	forged = "198.51.100.1"
)

func TestTheClientIsWhoTheTrustedProxiesSay(t *testing.T) {
	seven := "10.0.0.7"
	for _, c := range []struct {
		name   string
		config forwarded.Config
		peer   string
		lines  []string
		want   string
	}{
		// The peer.
		{"no header", trusted, proxy, nil, "10.0.0.1"},
		{"zero Config ignores the header", nobody, proxy, xff(forged), "10.0.0.1"},
		{"peer outside Proxies ignores the header", trusted, alien, xff(forged), "203.0.113.66"},
		{"peer with IPv6", nobody, "[2001:db8::1]:443", nil, "2001:db8::1"},
		{"peer with a zone", nobody, "[fe80::1%eth0]:443", nil, "fe80::1"},
		{"peer with a zone is in its network", trusted, "[fe80::1%eth0]:443", xff(client), client},
		{"IPv4-mapped peer", nobody, "[::ffff:192.0.2.60]:443", nil, client},
		{"IPv4-mapped peer is in the IPv4 network", trusted, "[::ffff:10.0.0.1]:443", xff(client), client},
		{"peer without a port", trusted, "10.0.0.1", xff(client), client},
		{"Unix socket", nobody, "@", nil, ""},
		{"Unix socket is in no network", trusted, "@", xff(client), ""},
		{"Unix socket with Hops", hop1, "@", xff(client), client},
		{"Unix socket with Hops and no header", hop1, "@", nil, ""},
		{"empty RemoteAddr", trusted, "", xff(client), ""},
		{"the one address of a /32", trusted, "172.16.5.4:1", xff(client), client},
		{"its neighbour", trusted, "172.16.5.5:1", xff(client), "172.16.5.5"},

		// The walk past Proxies.
		{"one proxy", trusted, proxy, xff(client), client},
		{"three proxies", trusted, proxy, xff(client + ", 10.0.0.3, 10.0.0.2"), client},
		{"forged to the left", trusted, proxy, xff(forged + ", " + client + ", 10.0.0.2"), client},
		{"a forged trusted address to the left", trusted, proxy, xff("10.9.9.9, " + client), client},
		{"a separate line of the proxy", trusted, proxy, xff(forged, client), client},
		{"lines and lists mixed", trusted, proxy, xff(forged+", "+forged, client+",10.0.0.3", "10.0.0.2"), client},
		{"all trusted", trusted, proxy, xff(seven + ", 10.0.0.2"), seven},
		{"IPv6 proxies and client", trusted, "[fd00::1]:1", xff("2001:db8::60, fd00::2"), "2001:db8::60"},

		// How an address is written.
		{"IPv4 with port", trusted, proxy, xff(client + ":4711, 10.0.0.2:80"), client},
		{"IPv6 in brackets", trusted, proxy, xff("[2001:db8::60]"), "2001:db8::60"},
		{"IPv6 in brackets with port", trusted, proxy, xff("[2001:db8::60]:4711"), "2001:db8::60"},
		{"IPv6 in upper case", trusted, proxy, xff("2001:DB8::60"), "2001:db8::60"},
		{"IPv4-mapped client", trusted, proxy, xff("::ffff:192.0.2.60"), client},
		{"IPv4-mapped proxy in the chain", trusted, proxy, xff(client + ", ::ffff:10.0.0.2"), client},
		{"IPv4-mapped in hexadecimal", trusted, proxy, xff("::ffff:c000:23c"), client},
		{"link-local with a zone", trusted, proxy, xff(client + ", fe80::2%eth0"), client},
		{"link-local with a zone in brackets", trusted, proxy, xff(client + ", [fe80::2%25eth0]:80"), client},
		{"white space", trusted, proxy, xff("\t " + forged + "\t,  " + client + " \t"), client},
		{"empty elements", trusted, proxy, xff(", ," + client + ",, ,10.0.0.2,,"), client},
		{"empty lines", trusted, proxy, xff("", client, "", " "), client},
		{"nothing but empty elements", trusted, proxy, xff(",,", " , "), "10.0.0.1"},

		// Garbage ends the walk at the last trusted address.
		{"garbage", trusted, proxy, xff(client + ", garbage"), "10.0.0.1"},
		{"garbage behind a proxy", trusted, proxy, xff(client + ", garbage, 10.0.0.2"), "10.0.0.2"},
		{"garbage left of the client", trusted, proxy, xff("garbage, " + client), client},
		{"unknown", trusted, proxy, xff(client + ", unknown, 10.0.0.2"), "10.0.0.2"},
		{"obfuscated", trusted, proxy, xff(client + ", _hidden, 10.0.0.2"), "10.0.0.2"},
		{"zone on a global address", trusted, proxy, xff("2001:db8::60%a"), "10.0.0.1"},
		{"zone on an IPv4-mapped address", trusted, proxy, xff("::ffff:192.0.2.60%a"), "10.0.0.1"},
		{"zone on an IPv4 address", trusted, proxy, xff("192.0.2.60%a"), "10.0.0.1"},
		{"zone on an IPv4 link-local address", trusted, proxy, xff("169.254.0.1%a"), "10.0.0.1"},
		{"zone on a mapped link-local address", trusted, proxy, xff("::ffff:169.254.0.1%a"), "10.0.0.1"},
		{"empty zone", trusted, proxy, xff("fe80::2%"), "10.0.0.1"},
		{"IPv4 in brackets", trusted, proxy, xff("[192.0.2.60]"), "10.0.0.1"},
		{"quoted", trusted, proxy, xff(`"192.0.2.60"`), "10.0.0.1"},
		{"leading zeros", trusted, proxy, xff("192.000.002.060"), "10.0.0.1"},
		{"three parts", trusted, proxy, xff("192.0.2"), "10.0.0.1"},
		{"a decimal number", trusted, proxy, xff("3221226044"), "10.0.0.1"},
		{"a port that is none", trusted, proxy, xff("192.0.2.60:http"), "10.0.0.1"},
		{"a port without digits", trusted, proxy, xff("192.0.2.60:"), "10.0.0.1"},
		{"a port of six digits", trusted, proxy, xff("192.0.2.60:123456"), "10.0.0.1"},
		{"an obfuscated port", trusted, proxy, xff("192.0.2.60:_x"), "10.0.0.1"},
		{"half a bracket", trusted, proxy, xff("[2001:db8::60"), "10.0.0.1"},
		{"a port in letters behind the bracket", trusted, proxy, xff("[2001:db8::60]:http"), "10.0.0.1"},
		{"no port behind the colon", trusted, proxy, xff("[2001:db8::60]:"), "10.0.0.1"},
		{"rest behind the bracket", trusted, proxy, xff("[2001:db8::60]x"), "10.0.0.1"},
		{"space inside", trusted, proxy, xff("192.0.2.60 192.0.2.61"), "10.0.0.1"},
		{"no-break space around", trusted, proxy, xff("\u00a0192.0.2.60"), "10.0.0.1"},
		{"semicolons", trusted, proxy, xff("198.51.100.1; 192.0.2.60"), "10.0.0.1"},
		{"NUL", trusted, proxy, xff("192.0.2.60\x00"), "10.0.0.1"},
		{"Forwarded's syntax in X-Forwarded-For", trusted, proxy, xff("for=192.0.2.60"), "10.0.0.1"},

		// Hops.
		{"the last", hop1, alien, xff(forged + ", " + client), client},
		{"the last of the last line", hop1, alien, xff(client, forged+", "+client), client},
		{"the second from the right", hop2, alien, xff(forged + ", " + client + ", 203.0.113.9"), client},
		{"across lines", hop2, alien, xff(forged, client, "203.0.113.9"), client},
		{"empty elements are not counted", hop2, alien, xff(client + ", , 203.0.113.9,"), client},
		{"a chain shorter than Hops", hop2, alien, xff(client), "203.0.113.66"},
		{"no chain", hop2, alien, nil, "203.0.113.66"},
		{"garbage at the place", hop2, alien, xff(forged + ", garbage, 203.0.113.9"), "203.0.113.66"},
		{"garbage on the way", hop2, alien, xff(forged + ", garbage"), "203.0.113.66"},
		{"unknown at the place", hop2, alien, xff("unknown, 203.0.113.9"), "203.0.113.66"},
		{"unknown on the way", hop2, alien, xff(client + ", unknown"), client},
		{"Hops with Proxies, trusted peer", hop2p, proxy, xff(forged + ", " + client + ", 203.0.113.9"), client},
		{"Hops with Proxies, another peer", hop2p, alien, xff(client + ", 203.0.113.9"), "203.0.113.66"},
		{"Hops of Forwarded", hop2std, alien, fwd("for=" + client + ", for=_lb7;by=_x"), client},
		{"Hops of Forwarded, no for on the way", hop2std, alien, fwd("for=" + client + ", proto=https"), client},
		{"Hops of Forwarded, garbage on the way", hop2std, alien, fwd("for=" + forged + ", for=_"), "203.0.113.66"},
		{"Hops of Forwarded, no for at the place", hop2std, alien, fwd("for=" + forged + ", proto=https, for=10.0.0.2"), "203.0.113.66"},

		// One header.
		{"its address", realIP, alien, []string{"X-Real-IP: " + client}, client},
		{"in any case", realIP, alien, []string{"x-real-ip: " + client}, client},
		{"IPv6", realIP, alien, []string{"X-Real-IP: 2001:db8::60"}, "2001:db8::60"},
		{"IPv4-mapped", realIP, alien, []string{"X-Real-IP: ::ffff:192.0.2.60"}, client},
		{"with port and space", realIP, alien, []string{"X-Real-IP:  192.0.2.60:1 "}, client},
		{"missing", realIP, alien, nil, "203.0.113.66"},
		{"empty", realIP, alien, []string{"X-Real-IP: "}, "203.0.113.66"},
		{"garbage", realIP, alien, []string{"X-Real-IP: x"}, "203.0.113.66"},
		{"unknown", realIP, alien, []string{"X-Real-IP: unknown"}, "203.0.113.66"},
		{"two lines", realIP, alien, []string{"X-Real-IP: " + forged, "X-Real-IP: " + client}, "203.0.113.66"},
		{"a list", realIP, alien, []string{"X-Real-IP: " + forged + ", " + client}, "203.0.113.66"},
		{"trusted peer", realIPp, proxy, []string{"X-Real-IP: " + client}, client},
		{"another peer", realIPp, alien, []string{"X-Real-IP: " + forged}, "203.0.113.66"},
		{"name with an underscore is another name", realIP, alien, []string{"X_Real_IP: " + forged}, "203.0.113.66"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := resolver(t, c.config)
			assert.Equal(t, ip(c.want), v.ClientIP(request(c.peer, c.lines...)))
		})
	}
}

// The elements are typed from RFC 7239, sections 4, 6 and 7, and its errata.
func TestForwardedIsReadAsRFC7239Says(t *testing.T) {
	for _, c := range []struct {
		line, want string
	}{
		{`for=192.0.2.43`, "192.0.2.43"},
		{`For="[2001:db8:cafe::17]:4711"`, "2001:db8:cafe::17"},
		{`for=192.0.2.60;proto=http;by=203.0.113.43`, "192.0.2.60"},
		{`for=192.0.2.43, for=198.51.100.17`, "198.51.100.17"},
		{`for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown`, "10.0.0.1"},
		{`for=_hidden, for=_SEVKISEK`, "10.0.0.1"},
		{`for="_gazonk"`, "10.0.0.1"},
		{`for="192.0.2.43:47011"`, "192.0.2.43"},
		{`for="192.0.2.43:_port"`, "192.0.2.43"},
		{`for="[2001:db8::17]:_p.-1"`, "2001:db8::17"},
		{`for="unknown:80"`, "10.0.0.1"},
		{`proto=https;FOR="192.0.2.43"`, "192.0.2.43"},
		{`;;for=192.0.2.43;`, "192.0.2.43"},
		{`by=_x;ext="a, for=198.51.100.1";for=192.0.2.43`, "192.0.2.43"},
		{`for=192.0.2.43;ext="a\", for=198.51.100.1"`, "192.0.2.43"},
		{`for=192.0.2.43;ext="\\"`, "192.0.2.43"},
		{`for=192.0.2.43, for=10.0.0.2;ext="\\", for="10.0.0.3";e="\"", ,`, "192.0.2.43"},
		{`for=192.0.2.43;host="ex, ample"`, "192.0.2.43"},
		{`for=192.0.2.43;ext="` + "caf\xe9" + `"`, "192.0.2.43"}, // obs-text

		// What the client left open does not swallow what the proxy wrote.
		{`for="198.51.100.1, for=192.0.2.43`, "192.0.2.43"},
		{`for="198.51.100.1\, for=192.0.2.43`, "192.0.2.43"},
		{`for="198.51.100.1\", for="192.0.2.43"`, "192.0.2.43"},
		{`for="198.51.100.1\\\", for="[2001:db8::17]"`, "2001:db8::17"},
		{`", for=192.0.2.43;by="_x"`, "192.0.2.43"},
		{`for="198.51.100.1", ", for=10.0.0.2`, "10.0.0.2"},

		// Garbage.
		{`for=198.51.100.1, for=192.0.2.43:80`, "10.0.0.1"},  // a colon needs quotes
		{`for=[2001:db8::17]`, "10.0.0.1"},                   // brackets too
		{`for="2001:db8::17"`, "10.0.0.1"},                   // and they are required
		{`for="[fe80::1%eth0]"`, "10.0.0.1"},                 // no zone in RFC 3986's IPv6address
		{`for=192.0.2.43;for=192.0.2.43`, "10.0.0.1"},        // once per element
		{`for=192.0.2.43;proto=http;Proto=http`, "10.0.0.1"}, //
		{`for = 192.0.2.43`, "10.0.0.1"},                     // no spaces
		{`for=192.0.2.43; proto=http`, "10.0.0.1"},           //
		{`for=192.0.2.43 ;proto=http`, "10.0.0.1"},           //
		{`for=`, "10.0.0.1"},                                 //
		{`for=""`, "10.0.0.1"},                               //
		{`for`, "10.0.0.1"},                                  //
		{`=192.0.2.43`, "10.0.0.1"},                          //
		{`192.0.2.43`, "10.0.0.1"},                           //
		{`for='192.0.2.43'`, "10.0.0.1"},                     //
		{`for="192.0.2.43`, "10.0.0.1"},                      //
		{`for=192.0.2.43"`, "10.0.0.1"},                      //
		{`for="192.0.2.43"x`, "10.0.0.1"},                    //
		{`for="192.0.2.43"by=_x`, "10.0.0.1"},
		{`for="192.0.2.43""192.0.2.44"`, "10.0.0.1"},        //
		{`for="192.0.2.4\3"`, "10.0.0.1"},                   // legal, but nobody needs it
		{`for=192.0.2.43;ext="` + "\x01" + `"`, "10.0.0.1"}, //
		{`for=192.0.2.43;ext="` + "\x7f" + `"`, "10.0.0.1"},
		{`for=192.0.2.43;ext="\` + "\x01" + `"`, "10.0.0.1"},
		{`for=192.0.2.43;ext="\`, "10.0.0.1"},
		{`for=192.0.2.43;ext=a@b`, "10.0.0.1"},  //
		{`for=192.0.2.43;ext=\"a"`, "10.0.0.1"}, //
		{`for=_`, "10.0.0.1"},                   // an obfnode has at least one more
		{`for="_a b"`, "10.0.0.1"},              //
		{`for=localhost`, "10.0.0.1"},           //
	} {
		t.Run(c.line, func(t *testing.T) {
			v := resolver(t, std)
			assert.Equal(t, ip(c.want), v.ClientIP(request(proxy, fwd(c.line)...)))
		})
	}
}

func TestQuotedStringsDoNotReachAcrossLines(t *testing.T) {
	v := resolver(t, std)
	r := request(proxy, fwd(`for="198.51.100.1`, `for=192.0.2.60`, `for=10.0.0.2`)...)
	assert.Equal(t, ip(client), v.ClientIP(r))
	r = request(proxy, fwd(`for=198.51.100.1;e="`, `";for=192.0.2.60`)...)
	assert.Equal(t, ip("10.0.0.1"), v.ClientIP(r))
}

// What a proxy writes that copies the client's Host, a",for=198.51.100.1;e="b,
// without a look into host="...". No reader can tell; the package comment warns, and
// says that for= belongs last.
func TestAProxyThatCopiesHostUncheckedLetsTheClientWriteElements(t *testing.T) {
	v := resolver(t, std)
	assert.Equal(t, ip(forged), v.ClientIP(request(proxy, fwd(`for=192.0.2.60;host="a",for=198.51.100.1;e="b"`)...)), "the attack")
	assert.Equal(t, ip("10.0.0.1"), v.ClientIP(request(proxy, fwd(`host="a",for=198.51.100.1;e="b";for=192.0.2.60`)...)), "with for= last")
}

// Every header that any platform or proxy is known to use, forged all at once.
func TestOnlyTheConfiguredHeadersAreRead(t *testing.T) {
	forgery := func(r *http.Request, except ...string) {
		for _, name := range []string{
			"X-Forwarded-For", "X_Forwarded_For", "X-Forwarded", "Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP",
			"X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "Fly-Client-IP",
			"Fastly-Client-IP", "X-Azure-ClientIP", "X-Appengine-User-IP", "X-Envoy-External-Address",
			"X-Original-Forwarded-For", "X-ProxyUser-Ip", "Client-IP", "Via", "X-Originating-IP", "X-Remote-IP",
			"X-Remote-Addr", "X-Host", "X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Scheme",
			"X-Forwarded-Ssl", "X-Url-Scheme", "Front-End-Https", "X-Forwarded-Host", "X-Forwarded-Server",
			"X-Original-Host", "X-Original-URL", "X-HTTP-Host-Override",
		} {
			value := forged
			switch {
			case name == "Forwarded":
				value = "for=" + forged + ";proto=https;host=attacker.example"
			case strings.Contains(name, "Host"), strings.Contains(name, "Server"), strings.Contains(name, "URL"):
				value = "attacker.example"
			case strings.Contains(name, "Proto"), strings.Contains(name, "Scheme"):
				value = "https"
			case strings.Contains(name, "ttps"), strings.Contains(name, "Ssl"):
				value = "on"
			}
			r.Header.Add(name, value)
		}
		for _, name := range except {
			r.Header.Del(name)
		}
	}
	for _, c := range []struct {
		config forwarded.Config
		reads  string
	}{
		{nobody, ""},
		{trusted, "X-Forwarded-For"},
		{std, "Forwarded"},
		{hop1, "X-Forwarded-For"},
		{hop2std, "Forwarded"},
		{realIP, "X-Real-Ip"},
		{forwarded.Config{Header: "Fly-Client-IP", InsecureAnyPeer: true}, "Fly-Client-Ip"},
	} {
		t.Run(c.reads, func(t *testing.T) {
			v := resolver(t, c.config)
			r := request(proxy)
			forgery(r, c.reads)
			assert.Equal(t, ip("10.0.0.1"), v.ClientIP(r))
			assert.False(t, v.HTTPS(r))
			assert.Equal(t, "app.example", v.Host(r))
		})
	}
}

func TestSchemeAndHostAreBelievedOnlyWhereNamedAndTrusted(t *testing.T) {
	byName := forwarded.Config{Proxies: proxies, ProtoHeader: "x-forwarded-proto", HostHeader: "x-forwarded-host"}
	anyPeer := forwarded.Config{InsecureAnyPeer: true, ProtoHeader: "X-Forwarded-Proto", HostHeader: "X-Forwarded-Host"}
	params := forwarded.Config{Proxies: proxies, RFC7239: true, ProtoHeader: "Forwarded", HostHeader: "forwarded"}
	hops := forwarded.Config{Hops: 2, InsecureAnyPeer: true, RFC7239: true, ProtoHeader: "Forwarded", HostHeader: "Forwarded"}
	proto := func(s ...string) []string { return named("X-Forwarded-Proto", s) }
	host := func(s ...string) []string { return named("X-Forwarded-Host", s) }
	for _, c := range []struct {
		name   string
		config forwarded.Config
		peer   string
		lines  []string
		tls    bool
		https  bool
		host   string
	}{
		{"nothing said", byName, proxy, nil, false, false, "app.example"},
		{"nothing said over TLS", byName, proxy, nil, true, true, "app.example"},
		{"https", byName, proxy, proto("https"), false, true, "app.example"},
		{"in upper case", byName, proxy, proto("HTTPS"), false, true, "app.example"},
		{"wss", byName, proxy, proto("wss"), false, true, "app.example"},
		{"http over the proxy's own TLS", byName, proxy, proto("http"), true, false, "app.example"},
		{"something else", byName, proxy, proto("on"), true, false, "app.example"},
		{"not named", trusted, proxy, append(proto("https"), host("other.example")...), false, false, "app.example"},
		{"another peer", byName, alien, append(proto("https"), host("attacker.example")...), false, false, "app.example"},
		{"another peer over TLS", byName, alien, proto("http"), true, true, "app.example"},
		{"any peer", anyPeer, alien, append(proto("https"), host("shop.example")...), false, true, "shop.example"},
		{"the nearest proxy's value", byName, proxy, proto("https, http"), false, false, "app.example"},
		{"the nearest proxy's line", byName, proxy, append(proto("http", "https"), host("attacker.example", "shop.example:8443")...), false, true, "shop.example:8443"},
		{"an empty last value is not stepped over", byName, proxy, append(proto("https,"), host("attacker.example", "")...), false, false, "app.example"},
		{"a host that is none", byName, proxy, host("a b"), false, false, "app.example"},
		{"a host with userinfo", byName, proxy, host("app.example@attacker.example"), false, false, "app.example"},
		{"a host with a path", byName, proxy, host("attacker.example/app.example"), false, false, "app.example"},
		{"an IPv6 host", byName, proxy, host("[2001:db8::1]:80"), false, false, "[2001:db8::1]:80"},

		{"RFC 7239", params, proxy, fwd(`for=192.0.2.60;proto=https;host="shop.example:8443"`), false, true, "shop.example:8443"},
		{
			"what the outermost trusted proxy saw", params, proxy,
			fwd(`for=198.51.100.1;proto=http;host=attacker.example`, `for=192.0.2.60;proto=https;host=shop.example, for=10.0.0.2;proto=http;host=inner`), false, true, "shop.example",
		},
		{"it hides the client", params, proxy, fwd(`for=198.51.100.1;proto=http, for=_hidden;proto=https`), false, true, "app.example"},
		{"it says nothing but the scheme", params, proxy, fwd(`proto=http`), true, false, "app.example"},
		{"garbage is not stepped over", params, proxy, fwd(`for=192.0.2.60;proto=https, x, for=10.0.0.2;proto=http`), true, false, "app.example"},
		{"garbage alone", params, proxy, fwd(`proto=https;proto=https`), false, false, "app.example"},
		{"another peer, RFC 7239", params, alien, fwd(`for=192.0.2.60;proto=https;host=attacker.example`), false, false, "app.example"},
		{"an escaped host", params, proxy, fwd(`for=192.0.2.60;host="shop\.example"`), false, false, "app.example"},
		{"Hops", hops, alien, fwd(`for=198.51.100.1;host=attacker.example, for=192.0.2.60;proto=https;host=shop.example, for=_lb`), false, true, "shop.example"},
		{"Hops, a hidden client", hops, alien, fwd(`for=198.51.100.1;proto=http, for=_hidden;proto=https, for=_lb;proto=http`), false, true, "app.example"},
		{"Hops with too short a chain", hops, alien, fwd(`for=198.51.100.1;host=attacker.example;proto=https`), false, false, "app.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := resolver(t, c.config)
			r := request(c.peer, c.lines...)
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			assert.Equal(t, c.https, v.HTTPS(r), "HTTPS")
			assert.Equal(t, c.host, v.Host(r), "Host")
		})
	}
}

func TestWorkIsBounded(t *testing.T) {
	v := resolver(t, trusted)
	chain := func(n int) string { return client + strings.Repeat(", 10.0.0.2", n) }
	assert.Equal(t, ip(client), v.ClientIP(request(proxy, xff(chain(31))...)), "the 32nd element")
	assert.Equal(t, ip("10.0.0.2"), v.ClientIP(request(proxy, xff(chain(32))...)), "the 33rd element")
	assert.Equal(t, ip(client), v.ClientIP(request(proxy, xff(client, strings.Repeat(",", 30)+"10.0.0.2")...)))
	assert.Equal(t, ip("10.0.0.2"), v.ClientIP(request(proxy, xff(client, strings.Repeat(",", 31)+"10.0.0.2")...)),
		"empty elements are looked at too")
	assert.Equal(t, ip(client), v.ClientIP(request(proxy, xff(strings.Repeat("x", 1<<20)+", "+client)...)),
		"a megabyte of rubbish to the left")

	deep := resolver(t, forwarded.Config{Hops: 32, InsecureAnyPeer: true})
	assert.Equal(t, ip(client), deep.ClientIP(request(alien, xff(chain(31))...)))
	assert.Equal(t, ip("10.0.0.2"), deep.ClientIP(request(alien, xff(chain(32))...)))
	assert.Equal(t, ip("203.0.113.66"), deep.ClientIP(request(alien, xff(chain(30))...)))

	s := resolver(t, std)
	long := func(n int) string {
		return `for=192.0.2.60;ext="` + strings.Repeat(",", n-len(`for=192.0.2.60;ext=""`)) + `"`
	}
	assert.Equal(t, ip(client), s.ClientIP(request(proxy, fwd(long(512))...)))
	assert.Equal(t, ip("10.0.0.1"), s.ClientIP(request(proxy, fwd(long(513))...)))
	one := resolver(t, realIP)
	assert.Equal(t, ip("203.0.113.66"), one.ClientIP(request(alien, "X-Real-IP: "+strings.Repeat(" ", 600)+client)))
}

func TestManyNetworksAreSearchedRight(t *testing.T) {
	// Nested, neighbouring, duplicate, unsorted, both families.
	list := prefixes("10.1.0.0/16", "10.0.0.0/8", "10.2.0.0/16", "10.0.0.0/8", "11.0.0.0/32", "192.0.2.0/25",
		"192.0.2.128/26", "::/8", "fd00::/8", "fd00:1::/32", "255.255.255.255/32", "9.255.255.255/32", "0.0.0.0/32", "ffff::/16")
	for i := range 2000 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 16}), 28))
	}
	v := resolver(t, forwarded.Config{Proxies: list})
	check := func(a netip.Addr) {
		want := false
		for _, p := range list {
			want = want || p.Contains(a)
		}
		got := v.ClientIP(request(netip.AddrPortFrom(a, 1).String(), xff(client)...)) == ip(client)
		if got != want && a != ip(client) {
			t.Errorf("%v: trusted is %v, want %v", a, got, want)
		}
	}
	for _, p := range list {
		first := p.Addr()
		for _, a := range []netip.Addr{first, first.Prev(), first.Next()} {
			if a.IsValid() {
				check(a)
			}
		}
	}
	for _, s := range []string{
		"10.255.255.255", "11.0.0.1", "10.1.255.255", "10.200.0.1", "192.0.2.191", "192.0.2.192",
		"100.7.207.31", "100.7.207.32", "100.3.3.15", "100.3.3.16", "254.0.0.1", "::", "::1", "ff::1", "fdff::1", "fe00::1", "ffff:ffff::", "2001:db8::",
	} {
		check(ip(s))
	}
}

func TestAResolverIsSafeForConcurrentUseAndKeepsItsOwnConfig(t *testing.T) {
	list := prefixes("10.0.0.0/8")
	v := resolver(t, forwarded.Config{Proxies: list, ProtoHeader: "X-Forwarded-Proto", HostHeader: "X-Forwarded-Host"})
	list[0] = netip.MustParsePrefix("198.18.0.0/15")
	r := request(proxy, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example")
	before := fmt.Sprint(r.Header)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				if v.ClientIP(r) != ip(client) || !v.HTTPS(r) || v.Host(r) != "shop.example" {
					t.Error("another answer")
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, before, fmt.Sprint(r.Header), "the request is not changed")
}

func TestARequestWithoutAnythingIsNoPanic(t *testing.T) {
	for _, c := range []forwarded.Config{nobody, trusted, std, hop1, hop2std, realIP} {
		v := resolver(t, c)
		r := &http.Request{}
		assert.Equal(t, netip.Addr{}, v.ClientIP(r))
		assert.False(t, v.HTTPS(r))
		assert.Empty(t, v.Host(r))
	}
	var zero forwarded.Resolver
	assert.Equal(t, ip("10.0.0.1"), zero.ClientIP(request(proxy, xff(client)...)), "the zero Resolver trusts nobody")
}
