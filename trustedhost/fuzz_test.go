package trustedhost_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// listedNaively is the list read entry by entry, as slow and as plain as can be.
func listedNaively(h trustedhost.Host) bool {
	for _, p := range patterns {
		if prefix, err := netip.ParsePrefix(p); err == nil {
			if h.Addr.IsValid() && prefix.Contains(h.Addr) {
				return true
			}
			continue
		}
		parent, wildcard := strings.CutPrefix(p, "*")
		if wildcard {
			parent = "x" + parent
		}
		want, err := trustedhost.ParseHost(parent)
		if err != nil {
			panic(p)
		}
		if want.HasPort && (!h.HasPort || h.Port != want.Port) {
			continue
		}
		if wildcard && strings.HasSuffix(h.Name, want.Name[1:]) && !strings.Contains(h.Name, "_") ||
			!wildcard && h.Name == want.Name && h.Addr == want.Addr {
			return true
		}
	}
	return false
}

// FuzzAllowed: a host is accepted if and only if it parses and the list, read
// naively, holds it; the normal form is accepted exactly when the host is, and
// reads back to the same; and the URL that a program builds from an accepted
// host leads to that host and nowhere else.
func FuzzAllowed(f *testing.F) {
	for _, s := range append(slices.Clone(patterns), "", "a.example.org", "A.EXAMPLE.ORG.:080", "[::1]:8000", "10.1.2.3", "10.2.3.4:80",
		"a_b.example.net:1", "a_b.example.org", "example.com:@attacker.example", "attacker.example/.example.org", "127.1", "a.ports.example:8443") {
		f.Add(s)
	}
	m := mustNew(f, trustedhost.Config{Hosts: patterns})
	f.Fuzz(func(t *testing.T, s string) {
		h, err := trustedhost.ParseHost(s)
		if got, want := m.Allowed(s), err == nil && listedNaively(h); got != want {
			t.Fatalf("%q: allowed %v, want %v", s, got, want)
		}
		if got := m.Check(request(s)) == nil; got != m.Allowed(s) {
			t.Fatalf("%q: Check %v, Allowed %v", s, got, !got)
		}
		if err != nil {
			return
		}
		again, err := trustedhost.ParseHost(h.String())
		if err != nil || again != h || m.Allowed(h.String()) != m.Allowed(s) {
			t.Fatalf("%q: the normal form %q is %+v %v", s, h, again, err)
		}
		u, err := url.Parse("https://" + s + "/path?query")
		if err != nil || u.User != nil || u.Path != "/path" || u.RawQuery != "query" || u.Host != s {
			t.Fatalf("%q: a URL with it is %+v %v", s, u, err)
		}
	})
}

// FuzzCheck builds what net/http's HTTP/2 server makes of :authority, Host and
// :path. An accepted request names one host, and that is listed; a refusal is
// the constant answer; a redirect leads to the Config's host.
func FuzzCheck(f *testing.F) {
	f.Add("example.com", "example.com", "/")
	f.Add("example.com", "", "http://attacker.example/x")
	f.Add("example.com", "attacker.example", "/")
	f.Add("EXAMPLE.com.", "example.com", "https://example.com/health")
	f.Add("old.example:1", "", "//attacker.example/x?y#z")
	f.Add("a.example.org", "", "*")
	c := trustedhost.Config{Hosts: patterns, Redirects: map[string]string{"old.example": "example.com"}}
	m := mustNew(f, c)
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	const refusal = `{"title":"Bad Request","status":400,"detail":"The host of the request is missing, malformed or not served here."}` + "\n"
	f.Fuzz(func(t *testing.T, authority, line, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor, r.URL, r.RequestURI, r.Host = "HTTP/2.0", 2, 0, u, path, authority
		if line != "" {
			r.Header["Host"] = []string{line}
		}
		w := serve(h, r)
		switch w.Code {
		case http.StatusTeapot:
			named, err := trustedhost.ParseHost(authority)
			if err != nil || !listedNaively(named) || m.Check(r) != nil {
				t.Fatalf("%q passed: %+v %v", authority, named, err)
			}
			for _, other := range []string{line, u.Host} {
				if same, err := trustedhost.ParseHost(other); other != "" && (err != nil || same != named) {
					t.Fatalf("%q passed beside %q", other, authority)
				}
			}
			if u.User != nil || u.Opaque != "" {
				t.Fatalf("passed: %q", path)
			}
		case http.StatusPermanentRedirect:
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || to.Hostname() != "example.com" || to.Scheme != "http" || to.User != nil || to.Fragment != "" ||
				strings.TrimRight(to.Path, "*") != strings.TrimRight(u.Path, "*") {
				t.Fatalf("%q %q: redirected to %q", authority, path, w.Header().Get("Location"))
			}
		case http.StatusBadRequest:
			if w.Body.String() != refusal || len(w.Header()) != 4 {
				t.Fatalf("%q: %v %q", authority, w.Header(), w.Body)
			}
		default:
			t.Fatalf("%q: status %d", authority, w.Code)
		}
	})
}
