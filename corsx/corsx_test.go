package corsx_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/internal/mwtest"
)

const (
	app      = "https://app.example.com"
	attacker = "https://attacker.example"

	varyThree = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
)

// usual is a Config with everything in it.
func usual() corsx.Config {
	return corsx.Config{
		Origins:        []string{app, "http://localhost:5173", "https://[2001:db8::1]:8443"},
		Methods:        []string{"PUT", "DELETE"},
		RequestHeaders: []string{"Authorization", "Content-Type"},
		ExposedHeaders: []string{"Retry-After", "X-Correlation-ID"},
		Credentials:    true,
		MaxAge:         10 * time.Minute,
	}
}

func build(t testing.TB, cfg corsx.Config) *corsx.Middleware {
	t.Helper()
	m, err := corsx.New(cfg)
	require.NoError(t, err)
	return m
}

// request makes a request from pairs of header names and values; a name twice
// is two lines.
func request(method string, pairs ...string) *http.Request {
	r := httptest.NewRequest(method, "http://api.example.com/items", nil)
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func preflight(origin, method string, names ...string) *http.Request {
	r := request("OPTIONS", "Origin", origin, "Access-Control-Request-Method", method)
	if len(names) > 0 {
		r.Header["Access-Control-Request-Headers"] = names
	}
	return r
}

// teapot answers 418, so that it is seen when it ran.
var teapot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

// answers checks the status and all headers: these and nothing more.
func answers(t *testing.T, h http.Handler, r *http.Request, status int, pairs ...string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	want := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		want.Add(pairs[i], pairs[i+1])
	}
	assert.Equal(t, status, w.Code)
	assert.Equal(t, want, w.Header())
	for name, v := range w.Header() {
		assert.Equal(t, len(v), cap(v), "%s has room behind it", name)
	}
}

var shared = []string{
	"Vary", "Origin", "Access-Control-Allow-Origin", app, "Access-Control-Allow-Credentials", "true",
	"Access-Control-Expose-Headers", "Retry-After, X-Correlation-Id",
}

var granted = []string{
	"Vary", varyThree, "Access-Control-Allow-Origin", app, "Access-Control-Allow-Credentials", "true",
	"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE",
	"Access-Control-Allow-Headers", "authorization,content-type", "Access-Control-Max-Age", "600",
}

func TestAnswersToActualRequestsCarryTheseHeadersAndNothingMore(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PURGE"} {
		answers(t, h, request(method), 418, "Vary", "Origin")
		answers(t, h, request(method, "Origin", app), 418, shared...)
		answers(t, h, request(method, "Origin", attacker), 418, "Vary", "Origin")
	}
	plain := build(t, corsx.Config{Origins: []string{app}}).Handler(teapot)
	answers(t, plain, request("GET", "Origin", app), 418, "Vary", "Origin", "Access-Control-Allow-Origin", app)
}

func TestOnlyTheExactOriginIsShared(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	for _, origin := range []string{
		"", "*", "null", "NULL", "https://app.example.com/", "https://app.example.com:443", "https://app.example.com:8443",
		"https://APP.example.com", "HTTPS://app.example.com", "http://app.example.com", "https://app.example.com.",
		"https://example.com", "https://x.app.example.com", "https://app.example.com.attacker.example",
		"https://app.example.comx", "https://xapp.example.com", "https://app.example.com@attacker.example",
		"https://attacker.example/https://app.example.com", "https://app.example.com https://attacker.example",
		"https://app.example.com,https://attacker.example", "https://app.example.com, https://app.example.com",
		" https://app.example.com", "https://app.example.com ", "https://app.example.com\x00", "https:app.example.com",
		"//app.example.com", "app.example.com", "https://", "://", "http://localhost", "http://localhost:5174",
		"https://localhost:5173", "http://127.0.0.1:5173", "https://[2001:db8:0::1]:8443", "https://[2001:DB8::1]:8443",
		"https://аpp.example.com", "https://app\xff.example.com", strings.Repeat("a", 1<<20),
	} {
		answers(t, h, request("GET", "Origin", origin), 418, "Vary", "Origin")
		answers(t, h, preflight(origin, "GET"), 403, "Vary", varyThree)
	}
	for _, origin := range usual().Origins {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("GET", "Origin", origin))
		assert.Equal(t, []string{origin}, w.Header()["Access-Control-Allow-Origin"])
	}
}

func TestPreflightsAre204Or403(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		answers(t, h, preflight(app, method), 204, granted...)
	}
	for _, method := range []string{"", "put", "Put", "delete", "PATCH", "OPTIONS", "TRACE", "*", "PUT,DELETE", " PUT", "PUT ", strings.Repeat("P", 1<<20)} {
		answers(t, h, preflight(app, method), 403, "Vary", varyThree)
	}
	for _, names := range [][]string{
		{""},
		{"authorization"},
		{"authorization,content-type"},
		{"content-type,authorization"},
		{"Content-Type, Authorization"},
		{"AUTHORIZATION"},
		{"authorization", "content-type"},
		{"content-type", "", "authorization"},
		{" \tauthorization \t,\t content-type  "},
		{"authorization,authorization"},
		{",,authorization,,"},
	} {
		answers(t, h, preflight(app, "PUT", names...), 204, granted...)
	}
	for _, names := range [][]string{
		{"x-other"},
		{"authorization,x-other"},
		{"authorization content-type"},
		{"authorization;content-type"},
		{"authorizatio"},
		{"authorizations"},
		{"authorization", "x-other"},
		{"*"},
		{"authorization\x00"},
		{"\vauthorization"},
		{"authorızation"},
		{strings.Repeat(",", 1<<20)},
		{strings.Repeat("authorization,", 1<<16)},
		{strings.Repeat("a", 1<<20)},
		{strings.Repeat(" ", 1<<20)},
		make([]string, 1<<16),
	} {
		answers(t, h, preflight(app, "PUT", names...), 403, "Vary", varyThree)
	}
	answers(t, h, preflight(attacker, "GET"), 403, "Vary", varyThree)
}

func TestPreflightsWithDuplicateLinesAreRefused(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	for name, value := range map[string]string{"Origin": app, "Access-Control-Request-Method": "PUT"} {
		r := preflight(app, "PUT")
		r.Header.Add(name, value)
		answers(t, h, r, 403, "Vary", varyThree)
	}
}

func TestAnOptionsRequestThatIsNoPreflightReachesTheHandler(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	answers(t, h, request("OPTIONS"), 418, "Vary", varyThree)
	answers(t, h, request("OPTIONS", "Access-Control-Request-Method", "PUT"), 418, "Vary", varyThree)
	answers(t, h, request("OPTIONS", "Origin", attacker), 418, "Vary", varyThree)
	want := append([]string{"Vary", varyThree}, shared[2:]...)
	answers(t, h, request("OPTIONS", "Origin", app), 418, want...)
	// and another method with the header is no preflight either
	answers(t, h, request("GET", "Origin", app, "Access-Control-Request-Method", "PUT"), 418, shared...)
}

func TestTheZeroConfigAllowsNobody(t *testing.T) {
	h := build(t, corsx.Config{}).Handler(teapot)
	answers(t, h, request("GET"), 418) // nothing depends on the Origin
	answers(t, h, request("GET", "Origin", app), 418)
	answers(t, h, preflight(app, "GET"), 403, "Vary", varyThree)
	answers(t, h, request("OPTIONS"), 418, "Vary", varyThree)
}

func TestPrivateNetworkAccessIsNeverGranted(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	r := preflight(app, "PUT")
	r.Header.Set("Access-Control-Request-Private-Network", "true")
	answers(t, h, r, 204, granted...)
}

func TestMaxAge(t *testing.T) {
	for d, want := range map[time.Duration][]string{0: nil, -1: {"0"}, -time.Hour: {"0"}, time.Second: {"1"}, 24 * time.Hour: {"86400"}} {
		w := httptest.NewRecorder()
		build(t, corsx.Config{Origins: []string{app}, MaxAge: d}).Handler(teapot).ServeHTTP(w, preflight(app, "GET"))
		assert.Equal(t, want, w.Header()["Access-Control-Max-Age"], d)
	}
}

func TestVaryIsMergedWithWhatOuterLayersSet(t *testing.T) {
	h := build(t, usual()).Handler(teapot)
	for _, c := range []struct {
		outer, actual, preflight []string
	}{
		{[]string{"Accept-Encoding"}, []string{"Accept-Encoding", "Origin"}, []string{"Accept-Encoding", varyThree}},
		{[]string{"origin"}, []string{"origin"}, []string{"origin", "Access-Control-Request-Method, Access-Control-Request-Headers"}},
		{[]string{"Accept, ORIGIN"}, []string{"Accept, ORIGIN"}, []string{"Accept, ORIGIN", "Access-Control-Request-Method, Access-Control-Request-Headers"}},
		{[]string{"*"}, []string{"*"}, []string{"*"}},
		{[]string{varyThree}, []string{varyThree}, []string{varyThree}},
	} {
		for _, origin := range []string{app, attacker, ""} {
			for _, r := range []*http.Request{request("GET"), request("OPTIONS")} {
				want := c.actual
				if r.Method == "OPTIONS" {
					want = c.preflight
					r.Header.Set("Access-Control-Request-Method", "PUT")
				}
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				w := httptest.NewRecorder()
				outer := append(make([]string, 0, 8), c.outer...) // with room behind it
				w.Header()["Vary"] = outer
				h.ServeHTTP(w, r)
				assert.Equal(t, want, w.Header()["Vary"])
				assert.Equal(t, c.outer, outer)
				assert.Empty(t, outer[:len(outer)+1][len(outer)], "wrote behind the outer layer's slice")
			}
		}
	}
}

func TestOnlyTheConfigDecidesNotWhatAnOuterLayerHasSet(t *testing.T) {
	cfg := usual()
	cfg.Credentials, cfg.ExposedHeaders = false, nil
	h := build(t, cfg).Handler(teapot)
	for r, want := range map[*http.Request][]string{
		request("GET", "Origin", attacker): {"Vary", "Origin"},
		preflight(attacker, "PUT"):         {"Vary", varyThree},
		request("GET", "Origin", app):      {"Vary", "Origin", "Access-Control-Allow-Origin", app},
	} {
		answers(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.Header().Set("Access-Control-Expose-Headers", "*")
			h.ServeHTTP(w, r)
		}), r, map[bool]int{false: 418, true: 403}[r.Method == "OPTIONS"], want...)
	}
}

func TestAHandlersOwnAllowOriginIsItsOwnAffairAndAddingOneFailsClosed(t *testing.T) {
	m := build(t, usual())
	w := httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	})).ServeHTTP(w, request("GET", "Origin", app))
	assert.Equal(t, []string{"*"}, w.Header()["Access-Control-Allow-Origin"])
	assert.False(t, sharedWith(w.Result(), app, true), "with credentials a browser refuses *")

	w = httptest.NewRecorder()
	m.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Access-Control-Allow-Origin", "*") // as httputil.ReverseProxy does
	})).ServeHTTP(w, request("GET", "Origin", app))
	assert.False(t, sharedWith(w.Result(), app, false), "two values are none to a browser")
}

func TestAnswersThatNetHTTPWritesCarryTheHeadersToo(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /dir/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) })
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "no such file") })
	h := build(t, usual()).Handler(mux)
	for _, c := range []struct {
		method, path string
		status       int
	}{{"DELETE", "/items", 405}, {"GET", "/none", 404}, {"GET", "/dir", 307}, {"GET", "/error", 500}, {"GET", "/file", 404}} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Origin", app)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, c.status, w.Code)
		assert.True(t, sharedWith(w.Result(), app, true), "%s %s", c.method, c.path)
	}
}

func TestHandlersThatWriteIntoHeaderSlicesChangeOnlyTheirOwnAnswer(t *testing.T) {
	h := build(t, usual()).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, v := range w.Header() {
			v[0] = "overwritten"
			_ = append(v, "appended")
		}
		assert.Equal(t, app, r.Header.Get("Origin"), "the request's slice is not the response's")
		r.Header["Origin"][0] = attacker
	}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "Origin", app))
	h.ServeHTTP(httptest.NewRecorder(), preflight(app, "PUT"))
	calm := build(t, usual()).Handler(teapot)
	answers(t, calm, request("GET", "Origin", app), 418, shared...)
	answers(t, calm, preflight(app, "PUT"), 204, granted...)
}

func TestDecideTellsKindReasonAndOrigin(t *testing.T) {
	cfg := usual()
	cfg.Subdomains = []string{"https://*.tenants.example.com"}
	var told []corsx.Decision
	cfg.OnDecision = func(_ *http.Request, d corsx.Decision) { told = append(told, d) }
	m := build(t, cfg)
	two := preflight(app, "PUT")
	two.Header.Add("Access-Control-Request-Method", "DELETE")
	for _, c := range []struct {
		r    *http.Request
		want corsx.Decision
	}{
		{request("GET"), corsx.Decision{Kind: corsx.NotCORS, Reason: corsx.NoOrigin}},
		{request("OPTIONS", "Access-Control-Request-Method", "PUT"), corsx.Decision{Kind: corsx.NotCORS, Reason: corsx.NoOrigin}},
		{request("GET", "Origin", app), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Allowed, Origin: app}},
		{request("OPTIONS", "Origin", app), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Allowed, Origin: app}},
		{request("GET", "Origin", "https://a.tenants.example.com"), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Allowed, Origin: "https://a.tenants.example.com"}},
		{request("GET", "Origin", attacker), corsx.Decision{Kind: corsx.Actual, Reason: corsx.OriginDenied, Origin: attacker}},
		{request("GET", "Origin", "null"), corsx.Decision{Kind: corsx.Actual, Reason: corsx.OriginDenied, Origin: "null"}},
		{request("GET", "Origin", "chrome-extension://abcdefghijklmnop"), corsx.Decision{Kind: corsx.Actual, Reason: corsx.OriginDenied, Origin: "chrome-extension://abcdefghijklmnop"}},
		{request("GET", "Origin", app, "Origin", app), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Malformed}},
		{request("GET", "Origin", app+", "+attacker), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Malformed}},
		{request("GET", "Origin", app+"/x\x1b[31m"), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Malformed}},
		{request("GET", "Origin", ""), corsx.Decision{Kind: corsx.Actual, Reason: corsx.Malformed}},
		{preflight(app, "PUT", "authorization"), corsx.Decision{Kind: corsx.Preflight, Reason: corsx.Allowed, Origin: app}},
		{preflight(attacker, "PUT"), corsx.Decision{Kind: corsx.Preflight, Reason: corsx.OriginDenied, Origin: attacker}},
		{preflight(app, "PATCH"), corsx.Decision{Kind: corsx.Preflight, Reason: corsx.MethodDenied, Origin: app}},
		{preflight(app, "PUT", "x-other"), corsx.Decision{Kind: corsx.Preflight, Reason: corsx.HeaderDenied, Origin: app}},
		{two, corsx.Decision{Kind: corsx.Preflight, Reason: corsx.Malformed, Origin: app}},
	} {
		before := c.r.Header.Clone()
		assert.Equal(t, c.want, m.Decide(c.r))
		assert.Equal(t, before, c.r.Header, "Decide is pure")
		assert.Empty(t, told, "Decide tells nobody")
		m.Handler(teapot).ServeHTTP(httptest.NewRecorder(), c.r)
		if c.want.Reason == corsx.NoOrigin {
			assert.Empty(t, told)
		} else {
			assert.Equal(t, []corsx.Decision{c.want}, told)
		}
		told = nil
	}
}

func TestSubdomainsAreAllowedAtAnyDepthButNotTheApex(t *testing.T) {
	m := build(t, corsx.Config{Subdomains: []string{
		"https://*.example.com", "https://*.example.net:8443", "http://*.localhost:3000", "https://*.amazonaws.com", "https://*.corp.internal",
	}})
	for _, origin := range []string{
		"https://a.example.com", "https://a.b.c.example.com", "https://a_b.example.com", "https://xn--bcher-kva.example.com",
		"https://example.com.example.com", "https://a.example.net:8443", "http://tenant.localhost:3000", "https://a.corp.internal",
	} {
		assert.Equal(t, corsx.Allowed, m.Decide(request("GET", "Origin", origin)).Reason, origin)
	}
	for _, origin := range []string{
		"https://example.com", "http://a.example.com", "https://a.example.com:8443", "https://a.example.com:443", "https://a.example.net",
		"https://aexample.com", "https://a.example.com.", "https://.example.com", "https://a..example.com", "https://A.example.com",
		"https://attacker.example/.example.com", "https://a@b.example.com", "https://attacker.example#.example.com",
		"https://attacker.example?.example.com", "https://attacker.example\\.example.com", "https://*.example.com",
		"https://attacker.example, https://a.example.com", "https://a.example.com https://b.example.com",
		"https://a.example.com.attacker.example", "https://-a.example.com", "https://a%2eexample.com", "https://ä.example.com",
		"https://" + strings.Repeat("a.", 200) + "example.com", "https://" + strings.Repeat("a", 64) + ".example.com",
		"https://a.example.com:", "https://a.example.net:08443", "https://localhost:3000", "http://tenant.localhost:3001",
		"https://127.0.0.1", "https://[::1].example.com", "ftp://a.example.com", "null",
		// names that belong to anybody below a domain that looks like one owner's
		"https://evil.s3.amazonaws.com", "https://s3.amazonaws.com", "https://d1.us-east-1.elasticbeanstalk.com",
	} {
		assert.NotEqual(t, corsx.Allowed, m.Decide(request("GET", "Origin", origin)).Reason, origin)
	}
	assert.Equal(t, corsx.Allowed, m.Decide(request("GET", "Origin", "https://console.amazonaws.com")).Reason)
}

func TestAllowLoopbackAllowsAnyPortOfThreeNames(t *testing.T) {
	m := build(t, corsx.Config{AllowLoopback: true})
	for _, origin := range []string{
		"http://localhost", "https://localhost", "http://localhost:1", "http://localhost:65535", "https://localhost:5173",
		"http://127.0.0.1", "http://127.0.0.1:8080", "http://[::1]", "http://[::1]:49152",
	} {
		assert.Equal(t, corsx.Allowed, m.Decide(request("GET", "Origin", origin)).Reason, origin)
	}
	for _, origin := range []string{
		"http://localhost:0", "http://localhost:", "http://localhost:080", "http://localhost:65536", "http://localhost:8080x", "http://localhost.",
		"http://localhost.attacker.example", "http://localhost@attacker.example", "http://localhost:80@attacker.example",
		"http://attacker.example:80", "http://127.0.0.2", "http://127.1", "http://[0:0:0:0:0:0:0:1]", "http://[::ffff:127.0.0.1]",
		"http://0.0.0.0", "ws://localhost:80", "http://LOCALHOST", "http://a.localhost", "null", "http://localhost:1, http://localhost:2",
	} {
		assert.NotEqual(t, corsx.Allowed, m.Decide(request("GET", "Origin", origin)).Reason, origin)
	}
	m = build(t, corsx.Config{Origins: []string{app}})
	assert.Equal(t, corsx.OriginDenied, m.Decide(request("GET", "Origin", "http://localhost:5173")).Reason)
}

func TestEnforceRefusesUnlistedOriginsAndLetsTheServicesOwnPagesPass(t *testing.T) {
	cfg := usual()
	cfg.Enforce = true
	h := build(t, cfg).Handler(teapot)
	for _, c := range []struct {
		what   string
		status int
		host   string
		tls    bool
		pairs  []string
	}{
		{"curl", 418, "api.example.com", true, nil},
		{"a navigation from elsewhere", 418, "api.example.com", true, []string{"Sec-Fetch-Site", "cross-site"}},
		{"a listed origin", 418, "api.example.com", true, []string{"Origin", app, "Sec-Fetch-Site", "same-site"}},
		{"an unlisted origin", 403, "api.example.com", true, []string{"Origin", attacker, "Sec-Fetch-Site", "cross-site"}},
		{"an unlisted origin of an old browser", 403, "api.example.com", true, []string{"Origin", attacker}},
		{"another subdomain", 403, "api.example.com", true, []string{"Origin", "https://blog.example.com", "Sec-Fetch-Site", "same-site"}},
		{"its own page", 418, "api.example.com", true, []string{"Origin", "https://api.example.com", "Sec-Fetch-Site", "same-origin"}},
		{"its own page behind a proxy that rewrites Host", 418, "10.0.0.7:8080", false, []string{"Origin", "https://api.example.com", "Sec-Fetch-Site", "same-origin"}},
		{"its own page in an old browser", 418, "api.example.com", true, []string{"Origin", "https://api.example.com"}},
		{"its own page, TLS ends at the proxy", 418, "api.example.com", false, []string{"Origin", "https://api.example.com"}},
		{"its own page over http", 418, "api.example.com:8080", false, []string{"Origin", "http://api.example.com:8080"}},
		{"its own page, Host with the default port", 418, "api.example.com:443", true, []string{"Origin", "https://api.example.com"}},
		{"its own page after a restored session", 418, "api.example.com", true, []string{"Origin", "https://api.example.com", "Sec-Fetch-Site", "none"}},
		{"its own page with Referrer-Policy no-referrer", 418, "api.example.com", true, []string{"Origin", "null", "Sec-Fetch-Site", "same-origin"}},
		{"a sandboxed frame", 403, "api.example.com", true, []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}},
		{"a sandboxed frame in an old browser", 403, "api.example.com", true, []string{"Origin", "null"}},
		{"null as the Host too", 403, "null", false, []string{"Origin", "null"}},
		{"an http page of the same host, on https", 403, "api.example.com", true, []string{"Origin", "http://api.example.com"}},
		{"a Host that only folds to the same", 403, "api.e\u017fample.com", true, []string{"Origin", "https://api.esample.com"}},
		{"another port", 403, "api.example.com", true, []string{"Origin", "https://api.example.com:8443"}},
		{"the browser says cross-site although the host is the same", 403, "api.example.com", true, []string{"Origin", "https://api.example.com", "Sec-Fetch-Site", "cross-site"}},
		{"an extension that says none", 403, "abc", true, []string{"Origin", "chrome-extension://abc", "Sec-Fetch-Site", "none"}},
		{"Sec-Fetch-Site twice", 403, "api.example.com", true, []string{"Origin", attacker, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "same-origin"}},
		{"Sec-Fetch-Site in upper case", 403, "api.example.com", true, []string{"Origin", attacker, "Sec-Fetch-Site", "SAME-ORIGIN"}},
		{"two Origin lines", 403, "api.example.com", true, []string{"Origin", app, "Origin", app, "Sec-Fetch-Site", "same-origin"}},
		{"joined origins", 403, "api.example.com", true, []string{"Origin", app + " " + app, "Sec-Fetch-Site", "same-origin"}},
		{"an empty Origin", 403, "api.example.com", true, []string{"Origin", ""}},
	} {
		for _, upgrade := range []bool{false, true} { // WebSockets get no answer of their own
			r := request("GET", c.pairs...)
			r.Host = c.host
			if c.tls {
				r.TLS = new(tls.ConnectionState)
			}
			if upgrade {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, c.status, w.Code, c.what)
			assert.Contains(t, w.Header().Get("Vary"), "Origin", c.what)
		}
	}
}

func TestTheRefusalOfEnforceIsTheSameForEverybody(t *testing.T) {
	h := build(t, corsx.Config{Enforce: true}).Handler(teapot)
	const body = `{"title":"Forbidden","status":403,"detail":"This origin may not call this service."}` + "\n"
	answer := func(vary string) []string {
		return []string{
			"Content-Type", "application/problem+json", "Content-Length", fmt.Sprint(len(body)),
			"X-Content-Type-Options", "nosniff", "Cache-Control", "no-store", "Vary", vary,
		}
	}
	answers(t, h, request("POST", "Origin", attacker), 403, answer("Origin, Sec-Fetch-Site")...)
	answers(t, h, request("POST", "Origin", "<script>"), 403, answer("Origin")...)
	answers(t, h, request("GET", "Origin", "http://api.example.com"), 418, "Vary", "Origin, Sec-Fetch-Site")
	answers(t, h, request("GET"), 418, "Vary", "Origin")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("POST", "Origin", attacker))
	assert.Equal(t, body, w.Body.String())
}

func TestDecideTellsTheServicesOwnOriginApartUnderEnforce(t *testing.T) {
	own := func() *http.Request { return request("POST", "Origin", "http://api.example.com") }
	m := build(t, corsx.Config{Enforce: true})
	assert.Equal(t, corsx.Decision{Kind: corsx.Actual, Reason: corsx.SameOrigin, Origin: "http://api.example.com"}, m.Decide(own()))
	m = build(t, corsx.Config{})
	assert.Equal(t, corsx.OriginDenied, m.Decide(own()).Reason)
}

func TestReconfigureIsAtomicAndAMistakeLeavesTheOldConfig(t *testing.T) {
	other := "https://other.example.com"
	one := corsx.Config{Origins: []string{app}, Methods: []string{"PUT"}}
	two := corsx.Config{Origins: []string{other}, Methods: []string{"DELETE"}, Credentials: true}
	m := build(t, one)
	h := m.Handler(teapot)
	require.Error(t, m.Reconfigure(corsx.Config{Origins: []string{other, "*"}}))
	answers(t, h, request("GET", "Origin", app), 418, "Vary", "Origin", "Access-Control-Allow-Origin", app)

	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, preflight(app, "PUT"))
				if w.Code == 204 && (w.Header().Get("Access-Control-Allow-Credentials") != "" ||
					w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, POST, PUT") {
					t.Error("an answer of two Configs at once", w.Header())
					return
				}
			}
		})
	}
	for i := range 200 {
		require.NoError(t, m.Reconfigure([]corsx.Config{two, one}[i%2]))
	}
	close(done)
	wg.Wait()
	require.NoError(t, m.Reconfigure(two))
	answers(t, h, request("GET", "Origin", app), 418, "Vary", "Origin")
	require.NoError(t, m.Reconfigure(corsx.Config{}))
	answers(t, h, request("GET", "Origin", app), 418)
}

func TestTheSuiteOfAllMiddleware(t *testing.T) {
	for name, cfg := range map[string]corsx.Config{"usual": usual(), "enforced": {Origins: []string{app}, Enforce: true}} {
		newMiddleware := func(t testing.TB) (mwtest.Middleware, func()) {
			c := cfg
			c.Origins = append([]string(nil), cfg.Origins...)
			c.Methods = append([]string(nil), cfg.Methods...)
			m := build(t, c)
			return m.Handler, func() {
				c.Origins[0] = attacker
				if len(c.Methods) > 0 {
					c.Methods[0] = "PURGE"
				}
			}
		}
		for pass, origin := range map[string]string{"from an allowed origin": app, "without Origin": ""} {
			t.Run(name+" "+pass, func(t *testing.T) {
				mwtest.Run(t, mwtest.Suite{
					New: newMiddleware,
					Pass: func(method, url string) *http.Request {
						r := httptest.NewRequest(method, url, nil)
						if origin != "" {
							r.Header.Set("Origin", origin)
						}
						return r
					},
					Reject: func() *http.Request {
						if name == "enforced" {
							return request("POST", "Origin", attacker)
						}
						return preflight(attacker, "PUT")
					},
				})
			})
		}
		t.Run(name+", preflights", func(t *testing.T) {
			mwtest.Run(t, mwtest.Suite{New: newMiddleware, Reject: func() *http.Request { return preflight(app, "GET") }})
		})
	}
}

func TestANilHandlerIsAMistakeOfTheProgram(t *testing.T) {
	m := build(t, corsx.Config{})
	assert.PanicsWithValue(t, "corsx: Handler: next is nil; for the default mux pass http.DefaultServeMux", func() { m.Handler(nil) })
}

// What Subdomains has allowed is remembered; the memory must neither mix names
// up nor outlive the Config.
func TestTheMemoryOfSubdomainsIsExact(t *testing.T) {
	m := build(t, corsx.Config{Subdomains: []string{"https://*.example.com"}})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 { // many more than are remembered
				name := fmt.Sprintf("https://t%d-%d.example.", g%2, i)
				if d := m.Decide(request("GET", "Origin", name+"com")); d.Reason != corsx.Allowed || d.Origin != name+"com" {
					t.Errorf("%+v", d)
				}
				if d := m.Decide(request("GET", "Origin", name+"net")); d.Reason != corsx.OriginDenied {
					t.Errorf("%+v", d)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, m.Reconfigure(corsx.Config{Subdomains: []string{"https://*.example.net"}}))
	assert.Equal(t, corsx.OriginDenied, m.Decide(request("GET", "Origin", "https://t0-1999.example.com")).Reason)
}

func TestOnHTTP2TheSameHolds(t *testing.T) {
	srv := httptest.NewUnstartedServer(build(t, usual()).Handler(teapot))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	ask := func(r *http.Request) *http.Response {
		t.Helper()
		to := httptest.NewRequest(r.Method, srv.URL, nil)
		to.RequestURI, to.Header = "", r.Header
		resp, err := srv.Client().Do(to)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 2, resp.ProtoMajor)
		return resp
	}
	assert.True(t, sharedWith(ask(request("GET", "Origin", app)), app, true))
	for _, pairs := range [][]string{{"Origin", app, "Origin", app}, {"Origin", app + "," + app}, {"Origin", attacker}, {"Origin", ""}} {
		resp := ask(request("GET", pairs...))
		assert.Equal(t, []string{"Origin"}, resp.Header["Vary"])
		assert.NotContains(t, resp.Header, "Access-Control-Allow-Origin")
	}
	assert.True(t, mayBeSent(ask(preflight(app, "PUT", "Authorization", "content-type")), app, "PUT", []string{"authorization", "content-type"}, true))
	assert.Equal(t, 403, ask(preflight(app, "PUT", "authorization", "x-other")).StatusCode)
}
