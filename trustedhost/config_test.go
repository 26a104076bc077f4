package trustedhost_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// mistakes is every error of New, as text.
func mistakes(err error) []string {
	if err == nil {
		return nil
	}
	var texts []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var c *gatehouse.ConfigError
		if !errors.As(e, &c) || c.Package != "trustedhost" {
			return []string{"not a ConfigError of this package: " + e.Error()}
		}
		texts = append(texts, strings.TrimPrefix(e.Error(), "trustedhost: "))
	}
	return texts
}

func TestAWrongEntryIsAnErrorThatNamesTheRepair(t *testing.T) {
	for entry, want := range map[string]string{
		"":                            `Hosts[0]: is empty; remove the entry`,
		" example.com":                `Hosts[0] " example.com": has white space around it; did you mean "example.com"?`,
		"example.com\n":               `Hosts[0] "example.com\n": has white space around it; did you mean "example.com"?`,
		"https://example.com":         `Hosts[0] "https://example.com": has a scheme; did you mean "example.com"?`,
		"https://example.com/a/b":     `Hosts[0] "https://example.com/a/b": has a scheme; did you mean "example.com"?`,
		"https://*.example.com":       `Hosts[0] "https://*.example.com": has a scheme; did you mean "*.example.com"?`,
		"https://a b":                 `Hosts[0] "https://a b": has a scheme; list a host like "example.com"`,
		"example.com/":                `Hosts[0] "example.com/": has a path; did you mean "example.com"?`,
		"example.com/a":               `Hosts[0] "example.com/a": has a path; did you mean "example.com"?`,
		".example.com":                `Hosts[0] ".example.com": begins with a dot; did you mean "*.example.com"?`,
		"*.com":                       `Hosts[0] "*.com": would accept a whole top-level domain; list the domains that are yours`,
		"*.":                          `Hosts[0] "*.": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"*example.com":                `Hosts[0] "*example.com": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"*.*.example.com":             `Hosts[0] "*.*.example.com": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"a.*.example.com":             `Hosts[0] "a.*.example.com": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"example.*":                   `Hosts[0] "example.*": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"*:8000":                      `Hosts[0] "*:8000": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		"*.127.0.0.1":                 `Hosts[0] "*.127.0.0.1": has a wildcard before an address; list a network, like "10.0.0.0/8"`,
		"*.[::1]":                     `Hosts[0] "*.[::1]": has a wildcard before an address; list a network, like "10.0.0.0/8"`,
		"*.a_b.example.com":           `Hosts[0] "*.a_b.example.com": has an underscore in a wildcard; a name with one is accepted only where it is listed itself`,
		"10.1.2.3/8":                  `Hosts[0] "10.1.2.3/8": has bits set behind its length; did you mean "10.0.0.0/8"?`,
		"fd00::1/8":                   `Hosts[0] "fd00::1/8": has bits set behind its length; did you mean "fd00::/8"?`,
		"10.0.0.0/33":                 `Hosts[0] "10.0.0.0/33": is no network of an IP address and a length, like "10.0.0.0/8" or "fd00::/8"`,
		"10.0/8":                      `Hosts[0] "10.0/8": is no network of an IP address and a length, like "10.0.0.0/8" or "fd00::/8"`,
		"[fd00::]/8":                  `Hosts[0] "[fd00::]/8": is no network of an IP address and a length, like "10.0.0.0/8" or "fd00::/8"`,
		"example.com/8":               `Hosts[0] "example.com/8": is no network of an IP address and a length, like "10.0.0.0/8" or "fd00::/8"`,
		"::1":                         `Hosts[0] "::1": is an IPv6 address without brackets; did you mean "[::1]"?`,
		"bücher.example":              `Hosts[0] "bücher.example": is not ASCII; list the A-label, the form that begins with xn--`,
		"127.1":                       `Hosts[0] "127.1": ends in a number but is no IPv4 address of four decimal parts; list a host like "example.com", "example.com:8443" or "[::1]"`,
		"example.com:0":               `Hosts[0] "example.com:0": has a port that is not a number from 1 to 65535; list a host like "example.com", "example.com:8443" or "[::1]"`,
		"example.com:8443:1":          `Hosts[0] "example.com:8443:1": has a port that is not a number from 1 to 65535; list a host like "example.com", "example.com:8443" or "[::1]"`,
		"user@example.com":            `Hosts[0] "user@example.com": has user information before an @; list a host like "example.com", "example.com:8443" or "[::1]"`,
		"a..b":                        `Hosts[0] "a..b": has an empty label, or one longer than 63 octets; list a host like "example.com", "example.com:8443" or "[::1]"`,
		"example.com,www.example.com": `Hosts[0] "example.com,www.example.com": has a byte that no host name has; list a host like "example.com", "example.com:8443" or "[::1]"`,
	} {
		_, err := trustedhost.New(trustedhost.Config{Hosts: []string{entry}})
		assert.Equal(t, []string{want}, mistakes(err), "%q", entry)
		err = mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}}).SetHosts([]string{entry})
		assert.Equal(t, []string{want}, mistakes(err), "SetHosts %q", entry)
	}
}

func TestEntriesThatMayLookWrongAndAreNot(t *testing.T) {
	for _, entry := range []string{
		"localhost", "*.localhost", "EXAMPLE.com", "example.com.", "example.com:", "a_b.example.com", "a_b", "0.0.0.0/0", "::/0",
		"10.0.0.1/32", "::1/128", "[::ffff:10.0.0.1]", "*.co.uk", "xn--bcher-kva.example", "*.example.com:08443", "com",
	} {
		_, err := trustedhost.New(trustedhost.Config{Hosts: []string{entry, entry}})
		assert.NoError(t, err, entry)
	}
}

func TestNewReturnsEveryMistakeAtOnce(t *testing.T) {
	_, err := trustedhost.New(trustedhost.Config{
		Hosts:       []string{"ok.example", "*", "https://x.example"},
		ExemptPaths: []string{"/ok", "health", "/health?x", "/a*", "/%2e", ""},
		ExemptPeers: []netip.Prefix{{}, netip.MustParsePrefix("10.1.0.0/8"), netip.MustParsePrefix("::ffff:10.0.0.0/104")},
		Redirects: map[string]string{
			"a.example": "https://ok.example", "b.example:80": "ok.example", "*.c.example": "ok.example:443",
			"D.example": "ok.example", "d.example": "ok.example",
		},
	})
	assert.Equal(t, []string{
		`Redirects["*.c.example"] "*.c.example": has a * that is not its whole first label; the one form of a wildcard is "*.example.com"`,
		`Redirects["*.c.example"] "ok.example:443": has a port; a redirect keeps the port of the request`,
		`Redirects["a.example"] "https://ok.example": has a scheme; did you mean "ok.example"?`,
		`Redirects["b.example:80"] "b.example:80": has a port; a redirect keeps the port of the request`,
		`Redirects["d.example"] "d.example": is the same host as another alias; keep one`,
		`ExemptPaths[1] "health": is no path; it begins with a slash: "/health"`,
		`ExemptPaths[2] "/health?x": has a ?, #, * or percent sign; a path is compared whole and decoded, without its query`,
		`ExemptPaths[3] "/a*": has a ?, #, * or percent sign; a path is compared whole and decoded, without its query`,
		`ExemptPaths[4] "/%2e": has a ?, #, * or percent sign; a path is compared whole and decoded, without its query`,
		`ExemptPaths[5]: is no path; it begins with a slash: "/health"`,
		`ExemptPeers[0]: is the zero netip.Prefix; use netip.MustParsePrefix or remove it`,
		`ExemptPeers[1] "10.1.0.0/8": has bits set behind its length; did you mean "10.0.0.0/8"?`,
		`ExemptPeers[2] "::ffff:10.0.0.0/104": is IPv4 written as IPv6 and would match no peer; write it as IPv4`,
		`Hosts[1] "*": turns the list off and so must be its only entry`,
		`Hosts[2] "https://x.example": has a scheme; did you mean "x.example"?`,
	}, mistakes(err))
}

func TestAListThatIsMissingOrUselessIsAnError(t *testing.T) {
	for _, c := range []struct {
		config trustedhost.Config
		want   string
	}{
		{trustedhost.Config{}, `Hosts: is empty, so that every request would be refused; list the hosts of this server, or set Allow`},
		{
			trustedhost.Config{Hosts: []string{"a.example"}, ExemptPeers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			`ExemptPeers: is set without ExemptPaths, so that it exempts nothing; set the paths or remove it`,
		},
		{
			trustedhost.Config{Hosts: []string{"*"}, RedirectHTTPS: true},
			`RedirectHTTPS: cannot be used with "*" in Hosts, where the client would choose where the redirect leads; list the hosts`,
		},
	} {
		_, err := trustedhost.New(c.config)
		assert.Equal(t, []string{c.want}, mistakes(err))
	}
	allow := func(context.Context, string) bool { return true }
	m, err := trustedhost.New(trustedhost.Config{Allow: allow})
	require.NoError(t, err)
	require.NoError(t, m.SetHosts(nil))
}

func TestARedirectMustLeadToAListedHostInOneStep(t *testing.T) {
	for _, c := range []struct {
		hosts     []string
		redirects map[string]string
		want      []string
	}{
		{[]string{"a.example"}, map[string]string{"www.a.example": "a.example"}, nil},
		{[]string{"*.a.example"}, map[string]string{"a.example": "www.a.example"}, nil},
		{[]string{"*"}, map[string]string{"a.example": "b.example"}, nil},
		{[]string{"10.0.0.0/8"}, map[string]string{"a.example": "10.0.0.1"}, nil},
		{[]string{"a.example"}, map[string]string{"[::1]": "a.example", "127.0.0.1": "a.example"}, nil},
		{[]string{"a_b.example"}, map[string]string{"c_d.example": "a_b.example"}, nil},
		{
			[]string{"a.example:8443"},
			map[string]string{"www.a.example": "a.example"},
			[]string{`Redirects["www.a.example"] "a.example": is not in Hosts for every port, so that the redirect would lead to a refusal; add it there without a port`},
		},
		{
			[]string{"a.example"},
			map[string]string{"www.a.example": "b.example"},
			[]string{`Redirects["www.a.example"] "b.example": is not in Hosts for every port, so that the redirect would lead to a refusal; add it there without a port`},
		},
		{
			[]string{"a.example"},
			map[string]string{"a.example": "A.example."},
			[]string{`Redirects["a.example"] "a.example": is an alias itself, so that the redirects follow each other or never end; name the final host`},
		},
		{
			[]string{"*.x.example"},
			map[string]string{"a.x.example": "b.x.example", "b.x.example": "a.x.example", "c.x.example": "a.x.example"},
			[]string{
				`Redirects["a.x.example"] "b.x.example": is an alias itself, so that the redirects follow each other or never end; name the final host`,
				`Redirects["b.x.example"] "a.x.example": is an alias itself, so that the redirects follow each other or never end; name the final host`,
				`Redirects["c.x.example"] "a.x.example": is an alias itself, so that the redirects follow each other or never end; name the final host`,
			},
		},
	} {
		_, err := trustedhost.New(trustedhost.Config{Hosts: c.hosts, Redirects: c.redirects})
		assert.Equal(t, c.want, mistakes(err), "%v", c)
	}
}

func TestSetHostsIsAllOrNothing(t *testing.T) {
	m := mustNew(t, trustedhost.Config{
		Hosts: []string{"a.example", "old.example"}, Redirects: map[string]string{"www.a.example": "a.example"},
	})
	for _, bad := range [][]string{nil, {"new.example"}, {"a.example", "new.example", "bad host"}, {"a.example:443", "new.example"}} {
		assert.Error(t, m.SetHosts(bad))
		assert.True(t, m.Allowed("old.example"), "the old list stays")
		assert.False(t, m.Allowed("new.example"), "and nothing of the new one is taken")
	}
	hosts := []string{"a.example", "new.example"}
	require.NoError(t, m.SetHosts(hosts))
	hosts[1] = "attacker.example"
	assert.True(t, m.Allowed("new.example"))
	assert.False(t, m.Allowed("old.example"))
	assert.False(t, m.Allowed("attacker.example"))
	assert.True(t, m.Allowed("www.a.example"), "the redirects stay")

	m = mustNew(t, trustedhost.Config{Hosts: []string{"a.example"}, RedirectHTTPS: true})
	assert.Error(t, m.SetHosts([]string{"*"}))
}

// Every list holds the target of the redirect: no request may ever miss it.
func TestSetHostsUnderLoad(t *testing.T) {
	lists := [2][]string{{"both.example", "*.one.example", "10.0.0.0/8"}, {"*.both.example", "both.example", "*.two.example"}}
	m := mustNew(t, trustedhost.Config{Hosts: lists[0], Redirects: map[string]string{"www.example": "both.example"}})
	h := m.Handler(nop)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := range 200 {
				if g < 4 {
					assert.NoError(t, m.SetHosts(lists[(g+i)%2]))
					assert.Error(t, m.SetHosts([]string{"www.example"}))
					continue
				}
				assert.Equal(t, 200, serve(h, request("both.example")).Code)
				assert.Equal(t, 308, serve(h, request("www.example:81")).Code)
				assert.Equal(t, 400, serve(h, request("three.example")).Code)
				_ = m.Check(request("a.one.example"))
				_ = m.Allowed("10.1.1.1")
			}
		})
	}
	wg.Wait()
}
