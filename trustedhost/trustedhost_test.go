package trustedhost_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

func mustNew(t testing.TB, c trustedhost.Config) *trustedhost.Middleware {
	t.Helper()
	m, err := trustedhost.New(c)
	require.NoError(t, err)
	return m
}

// reason is that of the refusal, "" for none.
func reason(err error) trustedhost.Reason {
	var reject *trustedhost.RejectError
	if errors.As(err, &reject) {
		return reject.Reason
	}
	return ""
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestItBehavesAsAMiddlewareMust(t *testing.T) {
	for name, c := range map[string]trustedhost.Config{
		"by default":           {},
		"with a host function": {Host: func(r *http.Request) string { return r.Host }},
	} {
		t.Run(name, func(t *testing.T) {
			mwtest.Run(t, mwtest.Suite{
				New: func(t testing.TB) (mwtest.Middleware, func()) {
					c.Hosts = []string{"127.0.0.1", "app.example.com", "new.example.com"}
					c.ExemptPaths = []string{"/health"}
					c.ExemptPeers = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
					c.Redirects = map[string]string{"old.example.com": "new.example.com"}
					return mustNew(t, c).Handler, func() {
						c.Hosts[0], c.Hosts[1] = "x.example", "attacker.example"
						c.ExemptPaths[0], c.ExemptPeers[0] = "/", netip.MustParsePrefix("0.0.0.0/0")
						c.Redirects["attacker.example"] = "x.example"
					}
				},
				Reject: func() *http.Request { return request("attacker.example") },
			})
		})
	}
}

// patterns is one list with every form; the tables below are read against it.
var patterns = []string{
	"example.com", "api.example.com:8443", "api.example.com:9443", "*.example.org", "*.ports.example:8443",
	"a_b.example.net", "127.0.0.1", "[::1]:8000", "10.1.0.0/16", "10.2.3.4:80", "fd00::/8", "localhost",
}

func TestWhatTheListAccepts(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: patterns})
	for _, host := range []string{
		// an exact name: any port or none, any case, one trailing dot
		"example.com", "example.com:80", "example.com:443", "example.com:1", "example.com:65535",
		"EXAMPLE.COM", "eXaMpLe.CoM:8080", "example.com.", "example.com.:8080", "example.com:", "example.com:0080",
		// with a port: that one
		"api.example.com:8443", "API.example.com.:08443", "api.example.com:9443",
		// a wildcard: any depth
		"a.example.org", "a.b.c.d.example.org", "A.Example.ORG", "a.example.org.", "a.example.org:444",
		"xn--bcher-kva.example.org", strings.Repeat("a.", 120) + "example.org",
		"a.ports.example:8443", "a.b.ports.example:8443",
		"a_b.example.net", "A_B.example.net:80",
		// addresses by value
		"127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[0:0:0:0:0:0:0:1]:8000", "[0000::0001]:08000",
		"10.1.0.0", "10.1.255.255:99", "10.2.3.4:80", "[fd12::3]", "[FDff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
		"localhost", "LOCALHOST:3000",
	} {
		assert.NoError(t, m.Check(request(host)), host)
		assert.True(t, m.Allowed(host), host)
	}
}

func TestWhatIsWellFormedButNotListed(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: patterns})
	for _, host := range []string{
		"attacker.example", "com", "www.example.com", "xexample.com", "example.com.attacker.example", "example.co",
		"api.example.com", "api.example.com:443", "api.example.com:843", // the port
		"example.org", "example.org.", "xexample.org", "a.example.org.attacker.example", // the apex, and no label border
		"a_b.example.org", "_x.a.example.org", // an underscore only where listed
		"a.ports.example", "a.ports.example:443", "ports.example:8443",
		"x.a_b.example.net",
		"127.0.0.2", "[::1]", "[::1]:80", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "10.0.255.255", "10.2.0.0",
		"10.2.3.4", "10.2.3.4:443", "[fc00::1]", "[fe00::]", "[::ffff:10.1.0.1]", "localhost.localdomain",
	} {
		assert.Equal(t, trustedhost.NotAllowed, reason(m.Check(request(host))), host)
		assert.False(t, m.Allowed(host), host)
	}
}

func TestAMalformedHostIsRefusedEvenByAStar(t *testing.T) {
	m := mustNew(t, trustedhost.Config{
		Hosts: []string{"*"},
		Allow: func(context.Context, string) bool { t.Error("asked about a malformed host"); return true },
	})
	for _, host := range []string{
		"*", "*.example.com", "a..b", ".example.com", "example.com..", "example.com:abc", "localhost:99999",
		"localhost:443:80", "app.example.com:@attacker.example", "evil.test/.example.org", "a b", "a#b", `a\b`,
		"ex%61mple.com", "bücher.example", "[::1", "[::1%eth0]", "[v1.a]", "::1", "127.1", "0x7f.1", "2130706433",
		"127.0.0.1.", "-a.example", "a-.example", strings.Repeat("a", 64), strings.Repeat("a.", 4<<10), "xn--zz",
		"a,b", "a\x00", "example.com:0", "example.com:+80", ":80", "http://example.com",
	} {
		assert.Equal(t, trustedhost.Malformed, reason(m.Check(request(host))), "%q", host)
		assert.False(t, m.Allowed(host), "%q", host)
	}
	assert.Equal(t, trustedhost.Missing, reason(m.Check(request(""))))
	assert.False(t, m.Allowed(""))
	for _, host := range []string{"anything.example", "1.2.3.4", "[::1]:8"} {
		assert.NoError(t, m.Check(request(host)), host)
	}
	assert.Equal(t, trustedhost.NotAllowed, reason(mustNew(t, trustedhost.Config{Hosts: []string{"*"}}).Check(request("a_b"))),
		"an underscore only where it is listed itself")
}

func TestARefusalIsOneConstantAnswer(t *testing.T) {
	h := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}}).Handler(nop)
	want := `{"title":"Bad Request","status":400,"detail":"The host of the request is missing, malformed or not served here."}` + "\n"
	for _, host := range []string{"", "attacker.example", "<script>", "a b", strings.Repeat("x.", 4<<10)} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "CONNECT"} {
			r := request(host)
			r.Method = method
			w := serve(h, r)
			assert.Equal(t, http.StatusBadRequest, w.Code)
			assert.Equal(t, http.Header{
				"Content-Type":           {"application/problem+json"},
				"Content-Length":         {strconv.Itoa(len(want))},
				"X-Content-Type-Options": {"nosniff"},
				"Cache-Control":          {"no-store"},
			}, w.Header(), "these headers and nothing more")
			if method == "HEAD" {
				assert.Empty(t, w.Body.String())
			} else {
				assert.Equal(t, want, w.Body.String())
			}
		}
	}
}

func TestOnRejectIsToldTheReasonAndTheErrorHoldsNoHost(t *testing.T) {
	var got []trustedhost.Reason
	h := mustNew(t, trustedhost.Config{
		Hosts: []string{"example.com"},
		OnReject: func(w http.ResponseWriter, _ *http.Request, e *trustedhost.RejectError) {
			got = append(got, e.Reason)
			assert.NotContains(t, e.Error(), "attacker")
			assert.Contains(t, e.Error(), "trustedhost: ")
			e.Reason = "a handler may keep and change its error"
			w.WriteHeader(http.StatusMisdirectedRequest)
		},
	}).Handler(nop)
	two := request("example.com")
	two.ProtoMajor, two.Header["Host"] = 2, []string{"attacker.example"}
	for _, r := range []*http.Request{request(""), request("attacker.example:x"), two, request("attacker.example"), request("attacker.example")} {
		assert.Equal(t, http.StatusMisdirectedRequest, serve(h, r).Code)
	}
	assert.Equal(t, []trustedhost.Reason{
		trustedhost.Missing, trustedhost.Malformed, trustedhost.Conflict, trustedhost.NotAllowed, trustedhost.NotAllowed,
	}, got)
}

func TestAllowIsAskedWithTheNormalNameAfterAMiss(t *testing.T) {
	type key struct{}
	var asked []string
	m := mustNew(t, trustedhost.Config{
		Allow: func(ctx context.Context, name string) bool {
			asked = append(asked, name)
			assert.Equal(t, "of the request", ctx.Value(key{}))
			return name == "shop.customer.example"
		},
	})
	check := func(host string) trustedhost.Reason {
		r := request(host)
		return reason(m.Check(r.WithContext(context.WithValue(r.Context(), key{}, "of the request"))))
	}
	assert.Empty(t, check("shop.customer.example"))
	assert.Empty(t, check("SHOP.Customer.Example.:8443"))
	assert.Equal(t, trustedhost.NotAllowed, check("attacker.example"))
	assert.Equal(t, []string{"shop.customer.example", "shop.customer.example", "attacker.example"}, asked)

	asked = nil
	assert.Equal(t, trustedhost.NotAllowed, check("127.0.0.1"), "an address is no customer's domain")
	assert.Equal(t, trustedhost.NotAllowed, check("a_b.example"))
	assert.Equal(t, trustedhost.Malformed, check("a b"))
	assert.Equal(t, trustedhost.Missing, check(""))
	require.NoError(t, m.SetHosts([]string{"listed.example"}))
	assert.Empty(t, check("listed.example"))
	assert.Empty(t, asked, "none of these is asked about")
}

func TestAllowedAsksAllow(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Allow: func(_ context.Context, name string) bool { return name == "a.example" }})
	assert.True(t, m.Allowed("A.example:99"))
	assert.False(t, m.Allowed("b.example"))
}

func TestAnExemptPathSkipsTheListAndNeverTheSyntax(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}, ExemptPaths: []string{"/health", "/a b"}})
	for _, c := range []struct {
		method, target, host string
		want                 trustedhost.Reason
	}{
		{"GET", "/health", "healthcheck.railway.app", ""},
		{"HEAD", "/health", "10.0.3.7:8080", ""},
		{"GET", "/health?verbose=1", "[fd00::1]:8080", ""},
		{"GET", "/%68ealth", "probe.example", ""}, // the decoded path is what a mux routes
		{"GET", "/a%20b", "probe.example", ""},
		{"GET", "/health", "a_b", ""},
		{"POST", "/health", "probe.example", trustedhost.NotAllowed},
		{"OPTIONS", "/health", "probe.example", trustedhost.NotAllowed},
		{"GET", "/health/", "probe.example", trustedhost.NotAllowed},
		{"GET", "/health/x", "probe.example", trustedhost.NotAllowed},
		{"GET", "/Health", "probe.example", trustedhost.NotAllowed},
		{"GET", "//health", "probe.example", trustedhost.NotAllowed},
		{"GET", "/x/../health", "probe.example", trustedhost.NotAllowed},
		{"GET", "/?/health", "probe.example", trustedhost.NotAllowed},
		{"GET", "/health", "a b", trustedhost.Malformed},
		{"GET", "/health", "probe.example:x", trustedhost.Malformed},
		{"GET", "/health", "", trustedhost.Missing},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Host = c.host
		assert.Equal(t, c.want, reason(m.Check(r)), "%s %s of %q", c.method, c.target, c.host)
	}
	for proto, minor := range map[string]int{"HTTP/1.0": 0, "HTTP/1.1": 1} {
		for _, target := range []string{"/health", "/"} {
			r := httptest.NewRequest("GET", target, nil)
			r.Host, r.Proto, r.ProtoMinor = "", proto, minor
			want := trustedhost.Missing
			if minor == 0 && target == "/health" {
				want = ""
			}
			assert.Equal(t, want, reason(m.Check(r)), "%s %s without a host", proto, target)
		}
	}
}

func TestAnExemptionMayHoldForSomePeersOnly(t *testing.T) {
	peers := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	m := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}, ExemptPaths: []string{"/health"}, ExemptPeers: peers})
	peers[1] = netip.MustParsePrefix("192.0.2.0/24") // a changed Config changes nothing
	for peer, want := range map[string]trustedhost.Reason{
		"10.1.2.3:4000":            "",
		"[::ffff:10.1.2.3]:4000":   "", // a dual-stack listener
		"[fe80::1%eth0]:4000":      "",
		"192.0.2.1:4000":           trustedhost.NotAllowed,
		"[2001:db8::1]:4000":       trustedhost.NotAllowed,
		"@":                        trustedhost.NotAllowed, // a unix socket
		"":                         trustedhost.NotAllowed,
		"10.1.2.3":                 trustedhost.NotAllowed,
		"10.1.2.3:4000, 192.0.2.1": trustedhost.NotAllowed,
	} {
		r := httptest.NewRequest("GET", "/health", nil)
		r.Host, r.RemoteAddr = "probe.example", peer
		r.Header.Set("X-Forwarded-For", "10.0.0.1")
		assert.Equal(t, want, reason(m.Check(r)), peer)
	}
}

func TestNextSeesTheValidatedHostWhereAHostFunctionIsSet(t *testing.T) {
	var seen *http.Request
	h := mustNew(t, trustedhost.Config{
		Hosts: []string{"example.com"},
		Host:  func(r *http.Request) string { return r.Header.Get("X-Forwarded-Host") },
	}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r }))

	r := httptest.NewRequest("GET", "http://upstream:8000/x", nil)
	r.Header["Host"] = []string{"upstream:8000"}
	r.Header.Set("X-Forwarded-Host", "EXAMPLE.com.:08443")
	assert.Equal(t, 200, serve(h, r).Code)
	assert.Equal(t, "example.com:8443", seen.Host)
	assert.Equal(t, "example.com:8443", seen.URL.Host)
	assert.NotContains(t, seen.Header, "Host")
	assert.Equal(t, "upstream:8000", r.Host, "the request of those outside stays as it is")
	assert.Equal(t, "upstream:8000", r.URL.Host)
	assert.Contains(t, r.Header, "Host")

	for header, want := range map[string]trustedhost.Reason{
		"": trustedhost.Missing, "a b": trustedhost.Malformed, "upstream:8000": trustedhost.NotAllowed,
		"example.com, attacker.example": trustedhost.Malformed,
	} {
		r := request("example.com")
		r.Header.Set("X-Forwarded-Host", header)
		seen = nil
		assert.Equal(t, 400, serve(h, r).Code, want)
		assert.Nil(t, seen)
	}
}

// The server removes the temporary files of r.MultipartForm, and an access log
// outside reads r.Pattern: both look at their own request, not at a copy.
func TestRouteAndUploadsReachThoseOutside(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload/{id}", func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1)
		if r.URL.Path == "/upload/2" {
			panic(http.ErrAbortHandler)
		}
	})
	h := mustNew(t, trustedhost.Config{
		Hosts: []string{"example.com"}, Host: func(r *http.Request) string { return r.Host },
	}).Handler(mux)
	for _, target := range []string{"/upload/1", "/upload/2"} {
		body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 1000) + "\r\n--b--\r\n"
		r := httptest.NewRequest("POST", target, strings.NewReader(body))
		r.Host = "example.com"
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		func() {
			defer func() { _ = recover() }()
			serve(h, r)
		}()
		assert.Equal(t, "POST /upload/{id}", r.Pattern)
		if assert.NotNil(t, r.MultipartForm, target) {
			assert.NoError(t, r.MultipartForm.RemoveAll())
		}
	}
}

func TestParseHostNormalises(t *testing.T) {
	for in, want := range map[string]struct {
		host trustedhost.Host
		text string
	}{
		"EXAMPLE.com.:080": {trustedhost.Host{Name: "example.com", Port: 80, HasPort: true}, "example.com:80"},
		"a":                {trustedhost.Host{Name: "a"}, "a"},
		"127.0.0.1:":       {trustedhost.Host{Addr: netip.MustParseAddr("127.0.0.1")}, "127.0.0.1"},
		"[0:0::1]":         {trustedhost.Host{Addr: netip.MustParseAddr("::1")}, "[::1]"},
		"[::FFFF:1.2.3.4]:65535": {
			trustedhost.Host{Addr: netip.MustParseAddr("::ffff:1.2.3.4"), Port: 65535, HasPort: true},
			"[::ffff:1.2.3.4]:65535",
		},
	} {
		h, err := trustedhost.ParseHost(in)
		require.NoError(t, err, in)
		assert.Equal(t, want.host, h, in)
		assert.Equal(t, want.text, h.String())
		again, err := trustedhost.ParseHost(h.String())
		require.NoError(t, err)
		assert.True(t, h == again, "the normal form reads back to the same host")
	}
	_, err := trustedhost.ParseHost("user@attacker.example")
	assert.EqualError(t, err, "trustedhost: the host has user information before an @")
}

func TestAcceptingAllocatesNothingAndRefusingOnce(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: patterns})
	h := m.Handler(nop)
	run := func(host string) float64 {
		r, w := request(host), discard{http.Header{"X": nil}}
		return testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) })
	}
	for _, host := range []string{
		"example.com", "EXAMPLE.com.:8443", "a.b.example.org", "A.EXAMPLE.ORG", "[0::1]:8000", "10.1.2.3", "api.example.com:8443",
	} {
		assert.Zero(t, run(host), host)
		assert.Zero(t, testing.AllocsPerRun(100, func() { m.Allowed(host) }), host)
	}
	for _, host := range []string{
		"", "attacker.example", "ATTACKER.example", "[::2]", "[1:2:3]", "127.1", "a b", strings.Repeat("a.", 126) + "a", strings.Repeat("x", 8<<10),
	} {
		assert.LessOrEqual(t, run(host), 1.0, "%.30q", host)
		assert.Zero(t, testing.AllocsPerRun(100, func() { m.Allowed(host) }), "%.30q", host)
		if host != "ATTACKER.example" && host != "attacker.example" && host != "[::2]" {
			assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = trustedhost.ParseHost(host) }), "%.30q", host)
		}
	}
	two := request("example.com")
	two.ProtoMajor, two.Header["Host"] = 2, []string{"EXAMPLE.com"}
	assert.NoError(t, m.Check(two))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = m.Check(two) }))
}

func TestANilNextIsAPanicAtStartUp(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}})
	assert.PanicsWithValue(t, "trustedhost: Handler: next is nil; for the default mux pass http.DefaultServeMux", func() { m.Handler(nil) })
}
