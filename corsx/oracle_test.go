package corsx_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/cors"
	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/corsx"
)

// sharedWith is the Fetch standard's CORS check (section 4.10): whether a
// browser lets a page of the origin read the response.
func sharedWith(resp *http.Response, origin string, credentials bool) bool {
	allow, ok := combined(resp.Header, "Access-Control-Allow-Origin") // 1.
	if !ok {
		return false // 2.
	}
	if !credentials && allow == "*" {
		return true // 3.
	}
	if allow != origin {
		return false // 4.
	}
	if !credentials {
		return true // 5.
	}
	allowed, _ := combined(resp.Header, "Access-Control-Allow-Credentials") // 6.
	return allowed == "true"                                                // 7., 8.
}

// combined is the standard's "get" of a header list: all lines joined.
func combined(h http.Header, name string) (string, bool) {
	lines, ok := h[name]
	return strings.Join(lines, ", "), ok
}

// list is the standard's "extracting header list values" for a list of tokens.
func list(h http.Header, name string) []string {
	var out []string
	for _, line := range h[name] {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.Trim(item, " \t"); item != "" {
				out = append(out, item)
			}
		}
	}
	return out
}

// mayBeSent is the standard's CORS-preflight fetch (section 4.8, step 7): what a
// browser decides from the answer to a preflight. names are the CORS-unsafe
// request-header names, in lower case.
func mayBeSent(resp *http.Response, origin, method string, names []string, credentials bool) bool {
	if !sharedWith(resp, origin, credentials) || resp.StatusCode < 200 || resp.StatusCode > 299 { // 7., "ok status"
		return false
	}
	methods := list(resp.Header, "Access-Control-Allow-Methods") // 7.1
	headers := list(resp.Header, "Access-Control-Allow-Headers") // 7.2
	if !slices.Contains(methods, method) && !slices.Contains([]string{"GET", "HEAD", "POST"}, method) &&
		(credentials || !slices.Contains(methods, "*")) { // 7.5
		return false
	}
	for _, name := range names {
		has := slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, name) })
		wild := !credentials && slices.Contains(headers, "*") && name != "authorization" // 7.6, 7.7
		if !has && !wild {
			return false
		}
	}
	return true
}

// preflightOf makes the preflight that a browser would send (section 4.8, steps
// 1 to 5).
func preflightOf(origin, method string, names []string) *http.Request {
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Access-Control-Request-Method", method)
	r.Header.Set("Origin", origin)
	if len(names) > 0 {
		sorted := slices.Clone(names)
		slices.Sort(sorted)
		r.Header.Set("Access-Control-Request-Headers", strings.Join(slices.Compact(sorted), ","))
	}
	return r
}

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// allows says in plain Go what the Config of these tests allows.
func allows(cfg corsx.Config, origin string) bool { return slices.Contains(cfg.Origins, origin) }

// agree checks the whole of a cross-origin fetch against the standard: a
// browser lets it through if and only if the Config allows it.
func agree(t *testing.T, cfg corsx.Config, h http.Handler, origin, method string, names []string, credentials bool) {
	t.Helper()
	origins := allows(cfg, origin) && (cfg.Credentials || !credentials)
	actual := request(method, "Origin", origin)
	assert.Equal(t, origins, sharedWith(serve(h, actual), origin, credentials), "%q shared", origin)

	sendable := origins && slices.Contains(append([]string{"GET", "HEAD", "POST"}, cfg.Methods...), method)
	for _, n := range names {
		sendable = sendable && slices.ContainsFunc(cfg.RequestHeaders, func(h string) bool { return strings.EqualFold(h, n) })
	}
	resp := serve(h, preflightOf(origin, method, names))
	assert.Equal(t, sendable, mayBeSent(resp, origin, method, names, credentials), "%q %q %q sendable", origin, method, names)
	if resp.StatusCode == http.StatusForbidden {
		assert.Equal(t, http.Header{"Vary": {varyThree}}, resp.Header)
	} else {
		assert.Equal(t, http.StatusNoContent, resp.StatusCode)
	}
}

func TestABrowserSharesAnAnswerIfAndOnlyIfTheConfigAllowsIt(t *testing.T) {
	origins := []string{app, "http://localhost:5173", attacker, "null", "https://app.example.com:8443"}
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "put", "patch", "OPTIONS", "QUERY"}
	names := [][]string{nil, {"authorization"}, {"content-type", "authorization"}, {"x-other"}, {"authorization", "x-other"}, {"*"}}
	for _, cfg := range []corsx.Config{
		{},
		usual(),
		{Origins: []string{app}},
		{Origins: []string{app}, Credentials: true},
		{Origins: []string{app}, Methods: []string{"PATCH", "OPTIONS"}, RequestHeaders: []string{"X-Other"}},
	} {
		h := build(t, cfg).Handler(teapot)
		for _, origin := range origins {
			for _, method := range methods {
				for _, n := range names {
					agree(t, cfg, h, origin, method, n, false)
					agree(t, cfg, h, origin, method, n, true)
				}
			}
		}
	}
}

// Two implementations agree: to whatever is allowed, rs/cors itself, asked
// with the very request, gives the same answer but for the lists of methods and
// headers, of which it names only those asked for.
func TestAnAllowedAnswerIsWhatRSCorsAnswers(t *testing.T) {
	cfg := usual()
	engine := cors.New(cors.Options{
		AllowedOrigins: cfg.Origins, AllowedMethods: append([]string{"GET", "HEAD", "POST"}, cfg.Methods...),
		AllowedHeaders: cfg.RequestHeaders, ExposedHeaders: cfg.ExposedHeaders,
		AllowCredentials: cfg.Credentials, MaxAge: int(cfg.MaxAge.Seconds()),
	})
	theirs, ours := engine.Handler(teapot), build(t, cfg).Handler(teapot)
	for _, origin := range cfg.Origins {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			a, b := serve(theirs, request(method, "Origin", origin)), serve(ours, request(method, "Origin", origin))
			assert.Equal(t, a.StatusCode, b.StatusCode)
			assert.Equal(t, a.Header, b.Header)
			for _, names := range [][]string{nil, {"authorization"}, {"authorization", "content-type"}} {
				a, b := serve(theirs, preflightOf(origin, method, names)), serve(ours, preflightOf(origin, method, names))
				assert.Equal(t, a.StatusCode, b.StatusCode)
				for _, name := range []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} {
					assert.Subset(t, list(b.Header, name), list(a.Header, name))
					a.Header.Del(name)
					b.Header.Del(name)
				}
				assert.Equal(t, a.Header, b.Header)
			}
		}
	}
}

// rs/cors is asked about every name that New accepts, odd ones too; were it to
// refuse one, the answers would lack their headers.
func TestWhateverNewAcceptsABrowserMaySend(t *testing.T) {
	long := strings.Repeat("x", 128)
	cfg := corsx.Config{
		Origins:        []string{app},
		Methods:        []string{"PATCH", "OPTIONS", "QUERY", "VERSION-CONTROL", "M-SEARCH", "!#$%&'*+-.^_`|~"},
		RequestHeaders: []string{"X_Odd~Name", "!#$%&'*+-.^_`|~", "9", long, "Range", "ACCEPT"},
	}
	h := build(t, cfg).Handler(teapot)
	for _, method := range cfg.Methods {
		var lower []string
		for _, n := range cfg.RequestHeaders {
			lower = append(lower, strings.ToLower(n))
		}
		agree(t, cfg, h, app, method, lower, false)
	}
	for _, name := range cfg.RequestHeaders { // any case, not only a browser's
		assert.Equal(t, 204, serve(h, preflight(app, "GET", strings.ToUpper(name))).StatusCode, name)
	}
	assert.Equal(t, 403, serve(h, preflight(app, "GET", long+"x")).StatusCode)
	_, err := corsx.New(corsx.Config{RequestHeaders: []string{long + "x"}})
	assert.ErrorContains(t, err, "is longer than a header name should be (128 bytes)")
}
