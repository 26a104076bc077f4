package correlation_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// seen is the header with which a request to the URL leaves.
func seen(t testing.TB, m *correlation.Middleware, ctx context.Context, target string, edit func(*http.Request)) []string {
	t.Helper()
	var got []string
	rt := m.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.Header["X-Correlation-Id"]
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	}))
	u, err := url.Parse(target)
	require.NoError(t, err)
	r := (&http.Request{Method: "GET", URL: u, Header: http.Header{"X-Other": {"1"}}}).WithContext(ctx)
	if edit != nil {
		edit(r)
	}
	before := r.Header.Clone()
	resp, err := rt.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, before, r.Header, "a RoundTripper must not change the request")
	return got
}

func TestTheIDGoesToTheListedHostsOnly(t *testing.T) {
	m := build(t, correlation.Config{PropagateTo: []string{"api.internal", "Pay.internal:8080", "tls.internal:443", "10.0.0.7", "[fd00::1]:9000"}})
	ctx := job(t, "abc")
	for target, sent := range map[string]bool{
		"http://api.internal/":                   true,
		"https://api.internal/":                  true,
		"http://api.internal:1234/x":             true,
		"http://API.internal./":                  true,
		"http://pay.internal:8080/":              true,
		"http://pay.internal/":                   false,
		"http://pay.internal:8081/":              false,
		"https://tls.internal/":                  true,
		"http://tls.internal/":                   false,
		"http://tls.internal:443/":               true,
		"http://10.0.0.7:5000/":                  true,
		"http://10.0.0.70/":                      false,
		"http://[fd00::1]:9000/":                 true,
		"http://[fd00:0::1]:9000/":               true,
		"http://[fd00::1]/":                      false,
		"http://api.internal.attacker.example/":  false,
		"http://xapi.internal/":                  false,
		"http://attacker.example/api.internal":   false,
		"http://api.internal@attacker.example/":  false,
		"http://sub.api.internal/":               false,
		"http://attacker.example?x=api.internal": false,
	} {
		got := seen(t, m, ctx, target, nil)
		if sent {
			assert.Equal(t, []string{"abc"}, got, target)
		} else {
			assert.Nil(t, got, target)
		}
	}
	assert.Nil(t, seen(t, m, ctx, "http://attacker.example/", func(r *http.Request) { r.Host = "api.internal" }),
		"the host that is connected to counts")
	assert.Nil(t, seen(t, m, t.Context(), "http://api.internal/", nil), "no request, no ID")
	assert.Equal(t, []string{"own"}, seen(t, m, ctx, "http://api.internal/", func(r *http.Request) { r.Header.Set("X-Correlation-ID", "own") }),
		"what the caller set himself stays")
	assert.Equal(t, []string{"abc"}, seen(t, m, ctx, "http://api.internal/", func(r *http.Request) { r.Header = nil }))
	assert.Nil(t, seen(t, build(t, correlation.Config{}), ctx, "http://api.internal/", nil), "nobody is listed by default")
}

func TestARedirectToAnotherHostDoesNotTakeTheIDAlong(t *testing.T) {
	var elsewhere http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere = r.Header.Clone() }))
	defer other.Close()
	var listed http.Header
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		listed = r.Header.Clone()
		http.Redirect(w, r, other.URL, http.StatusFound)
	}))
	defer first.Close()
	m := build(t, correlation.Config{PropagateTo: []string{first.Listener.Addr().String()}})
	client := &http.Client{Transport: m.Transport(nil)}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(job(t, "abc"), http.MethodGet, first.URL, nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "abc", listed.Get("X-Correlation-ID"))
	assert.NotContains(t, elsewhere, "X-Correlation-Id")
}

// tracing does what otelhttp.Transport does: it copies the request with a
// context of its own and sets traceparent.
func tracing(next http.RoundTripper) http.RoundTripper {
	type key struct{}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(context.WithValue(r.Context(), key{}, "span"))
		r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		return next.RoundTrip(r)
	})
}

func TestTransportWorksInsideAndOutsideOfATracingTransport(t *testing.T) {
	m := build(t, correlation.Config{PropagateTo: []string{"api.internal"}})
	var got http.Header
	end := roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	})
	for name, rt := range map[string]http.RoundTripper{"inside": tracing(m.Transport(end)), "outside": m.Transport(tracing(end))} {
		req, err := http.NewRequestWithContext(job(t, "abc"), http.MethodGet, "http://api.internal/", nil)
		require.NoError(t, err)
		resp, err := rt.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "abc", got.Get("X-Correlation-ID"), name)
		assert.NotEmpty(t, got.Get("Traceparent"), name)
	}
}

func TestAReverseProxyBehindTheMiddleware(t *testing.T) {
	var atBackend []string
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		atBackend = r.Header["X-Correlation-Id"]
		w.Header().Set("X-Correlation-ID", "the backend's own")
		_, _ = io.WriteString(w, "hello")
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	l, logger := newLogs()
	m := build(t, correlation.Config{Logger: logger, PropagateTo: []string{target.Host}})
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = m.Transport(nil)
	for i, sent := range []string{"abc", "not a token"} {
		r := get("/")
		r.Header.Set("X-Correlation-ID", sent)
		rec := httptest.NewRecorder()
		m.Handler(proxy).ServeHTTP(rec, r)
		id := l.lines(t)[i]["correlation_id"].(string)
		assert.Equal(t, []string{id}, rec.Header()["X-Correlation-Id"], "not doubled by the proxy")
		assert.Equal(t, []string{id}, atBackend)
		assert.Equal(t, i == 0, id == "abc")
	}
}
