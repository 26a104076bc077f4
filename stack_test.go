package gatehouse_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// stack is the whole composition in its recommended order, with a limit of
// `limit` API requests and its log in a buffer.
type stack struct {
	http.Handler
	log *bytes.Buffer
}

const frontend = "https://app.example.com"

func newStack(t *testing.T, limit int64) stack {
	t.Helper()
	var log bytes.Buffer
	ids, err := correlation.New(correlation.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	require.NoError(t, err)
	headers, err := secheaders.New(secheaders.Config{})
	require.NoError(t, err)
	hosts, err := trustedhost.New(trustedhost.Config{Hosts: []string{"api.example.com"}})
	require.NoError(t, err)
	cross, err := corsx.New(corsx.Config{Origins: []string{frontend}, Methods: []string{http.MethodDelete}})
	require.NoError(t, err)
	limiter, err := ratelimit.New(ratelimit.Config{Rules: []ratelimit.Rule{{
		Name:   "api",
		Limits: []ratelimit.Limit{{Requests: limit, Per: 1e12}},
		Match:  func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") },
	}}})
	require.NoError(t, err)
	app, err := spa.New(spa.Config{FS: fstest.MapFS{"index.html": {Data: []byte("<!doctype html><title>app</title>")}}})
	require.NoError(t, err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "item "+r.PathValue("id"))
	})
	mux.HandleFunc("GET /api/panic", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Length", "3")
		h.Set("Content-Encoding", "gzip")
		h.Set("Etag", `"v1"`)
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("Set-Cookie", "session=half-made")
		panic("boom")
	})
	mux.HandleFunc("GET /api/leak", func(w http.ResponseWriter, _ *http.Request) {
		for _, v := range w.Header() {
			v[0] = "overwritten"
		}
	})
	return stack{gatehouse.Chain(app.Handler(mux),
		ids.Handler, headers.Handler, hosts.Handler, cross.Handler, limiter.Handler), &log}
}

// request answers a request to api.example.com, changed by the edits.
func (s stack) request(method, target string, edits ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "api.example.com"
	for _, edit := range edits {
		edit(r)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec.Result()
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func host(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }

// lines decodes the log written so far.
func (s stack) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range bytes.Lines(s.log.Bytes()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal(line, &m), string(line))
		all = append(all, m)
	}
	return all
}

// hardened asserts what every answer of the stack carries.
func hardened(t *testing.T, resp *http.Response) {
	t.Helper()
	assert.NotEmpty(t, resp.Header.Get("X-Correlation-ID"))
	assert.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'")
	assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	assert.Equal(t, "DENY", resp.Header.Get("X-Frame-Options"))
}

func readable(t *testing.T, resp *http.Response) {
	t.Helper()
	assert.Equal(t, frontend, resp.Header.Get("Access-Control-Allow-Origin"))
}

func TestEveryKindOfAnswerHasIDHeadersAndOneLogLine(t *testing.T) {
	tests := []struct {
		name, method, target string
		edits                []func(*http.Request)
		status               int
	}{
		{"an API answer", "GET", "/api/items/1", nil, 200},
		{"the app's page", "GET", "/deep/link", []func(*http.Request){header("Sec-Fetch-Dest", "document")}, 200},
		{"a missing asset", "GET", "/assets/gone.js", nil, 404},
		{"an unknown API path", "GET", "/api/none", []func(*http.Request){header("Sec-Fetch-Dest", "document")}, 404},
		{"the API's own 405", "POST", "/api/items/1", nil, 405},
		{"a foreign host", "GET", "/api/items/1", []func(*http.Request){host("attacker.example")}, 400},
		{"a malformed host", "GET", "/api/items/1", []func(*http.Request){host("api.example.com:@attacker.example")}, 400},
		{"a preflight", "OPTIONS", "/api/items/1", []func(*http.Request){
			header("Origin", frontend), header("Access-Control-Request-Method", "DELETE"),
		}, 204},
		{"a refused preflight", "OPTIONS", "/api/items/1", []func(*http.Request){
			header("Origin", "https://attacker.example"), header("Access-Control-Request-Method", "DELETE"),
		}, 403},
		{"a panic", "GET", "/api/panic", nil, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t, 100)
			resp := s.request(tt.method, tt.target, tt.edits...)
			require.Equal(t, tt.status, resp.StatusCode)
			hardened(t, resp)
			lines := s.lines(t)
			require.Len(t, lines, 1)
			assert.EqualValues(t, tt.status, lines[0]["http.response.status_code"])
			assert.Equal(t, resp.Header.Get("X-Correlation-ID"), lines[0]["correlation_id"])
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.NotContains(t, string(body), "attacker")
		})
	}
}

// corsx stands outside ratelimit.
func TestA429IsReadableByTheFrontend(t *testing.T) {
	s := newStack(t, 1)
	require.Equal(t, 200, s.request("GET", "/api/items/1", header("Origin", frontend)).StatusCode)
	resp := s.request("GET", "/api/items/1", header("Origin", frontend))
	require.Equal(t, 429, resp.StatusCode)
	hardened(t, resp)
	readable(t, resp)
	assert.NotEmpty(t, resp.Header.Get("Retry-After"))
	assert.Len(t, s.lines(t), 2)
}

// trustedhost and corsx stand outside ratelimit.
func TestRequestsThatCannotBeServedSpendNoToken(t *testing.T) {
	s := newStack(t, 1)
	for range 5 {
		require.Equal(t, 400, s.request("GET", "/api/items/1", host("attacker.example")).StatusCode)
		require.Equal(t, 204, s.request("OPTIONS", "/api/items/1",
			header("Origin", frontend), header("Access-Control-Request-Method", "DELETE")).StatusCode)
	}
	assert.Equal(t, 200, s.request("GET", "/api/items/1").StatusCode)
	assert.Equal(t, 429, s.request("GET", "/api/items/1").StatusCode)
}

// trustedhost stands outside corsx.
func TestAPreflightForAForeignHostIsRefused(t *testing.T) {
	resp := newStack(t, 1).request("OPTIONS", "/api/items/1", host("attacker.example"),
		header("Origin", frontend), header("Access-Control-Request-Method", "DELETE"))
	assert.Equal(t, 400, resp.StatusCode)
	assert.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
}

// correlation stands outside everything; what the other layers had set stays.
func TestAPanicIsA500WithEverythingButTheHandlersHalfSetHeaders(t *testing.T) {
	s := newStack(t, 100)
	resp := s.request("GET", "/api/panic", header("Origin", frontend))
	require.Equal(t, 500, resp.StatusCode)
	hardened(t, resp)
	readable(t, resp)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.NotContains(t, string(body), "boom")
	for _, name := range []string{"Content-Encoding", "Etag", "Set-Cookie"} {
		assert.Empty(t, resp.Header.Get(name), name)
	}
	assert.NotContains(t, resp.Header.Get("Cache-Control"), "max-age")
	if n := resp.Header.Get("Content-Length"); n != "" {
		assert.NotEqual(t, "3", n)
	}
	lines := s.lines(t)
	require.Len(t, lines, 1)
	assert.Contains(t, s.log.String(), "stack_test.go", "the stack is in the line")
	assert.Equal(t, "/api/panic", lines[0]["http.route"])
}

// The route is known to the outermost layer although layers between copy the
// request.
func TestTheLogLineHasTheRoutePattern(t *testing.T) {
	s := newStack(t, 100)
	require.Equal(t, 200, s.request("GET", "/api/items/42").StatusCode)
	assert.Equal(t, "/api/items/{id}", s.lines(t)[0]["http.route"])
}

func TestAHandlerThatWritesIntoHeaderSlicesHarmsNoLaterAnswer(t *testing.T) {
	s := newStack(t, 100)
	for range 3 {
		s.request("GET", "/api/leak", header("Origin", frontend))
	}
	resp := s.request("GET", "/api/items/1", header("Origin", frontend))
	hardened(t, resp)
	readable(t, resp)
	for name, values := range resp.Header {
		assert.NotContains(t, values, "overwritten", name)
	}
}

func TestHEADIsAnsweredLikeGETWithoutABody(t *testing.T) {
	resp := newStack(t, 100).request("HEAD", "/api/items/1")
	assert.Equal(t, 200, resp.StatusCode)
	resp = newStack(t, 100).request("HEAD", "/deep/link", header("Sec-Fetch-Dest", "document"))
	assert.Equal(t, 200, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Empty(t, body)
}
