package secheaders_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

// everyAnswer is a mux with one route for each way of answering.
func everyAnswer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	mux.HandleFunc("/implicit", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/dir/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /get", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) })
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	files := http.FileServerFS(fstest.MapFS{"f.txt": {Data: []byte("0123456789")}})
	mux.Handle("/f.txt", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		files.ServeHTTP(w, r)
	}))
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("boom") })
	return mux
}

func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "sorry", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func serveTLS(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = http2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return srv
}

func TestEveryFinalAnswerCarriesEveryHeaderOnceOnBothVersionsOfHTTP(t *testing.T) {
	type ask struct {
		method, path string
		header       http.Header
		status       int
	}
	asks := []ask{
		{"GET", "/implicit", nil, 200},
		{"HEAD", "/implicit", nil, 200},
		{"GET", "/empty", nil, 200},
		{"GET", "/dir", nil, 307}, // by the mux
		{"GET", "//dir//x/..", nil, 307},
		{"POST", "/get", nil, 405},
		{"GET", "/nowhere", nil, 404},
		{"GET", "/error", nil, 418},
		{"GET", "/hints", nil, 200},
		{"GET", "/stream", nil, 200},
		{"GET", "/f.txt", nil, 200},
		{"HEAD", "/f.txt", nil, 200},
		{"GET", "/f.txt", http.Header{"Range": {"bytes=2-4"}}, 206},
		{"GET", "/f.txt", http.Header{"Range": {"bytes=90-"}}, 416},
		{"GET", "/f.txt", http.Header{"If-None-Match": {`"v1"`}}, 304},
		{"GET", "/panic", nil, 500},
	}
	for _, code := range []int{200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 409, 410, 418, 421, 422, 429, 451, 500, 501, 502, 503, 504, 511, 599} {
		asks = append(asks, ask{"GET", fmt.Sprintf("/status/%d", code), nil, code})
	}
	for name, c := range map[string]secheaders.Config{"static": secheaders.Default(), "nonce": nonceConfig()} {
		h := recovering(build(t, c).Handler(everyAnswer()))
		var seen [2][]string
		for i, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
			srv := serveTLS(t, h, i == 1)
			for _, a := range asks {
				req, _ := http.NewRequest(a.method, srv.URL+a.path, nil)
				req.Header = a.header.Clone()
				if req.Header == nil {
					req.Header = http.Header{}
				}
				resp, err := srv.Client().Do(req)
				require.NoError(t, err, a.path)
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				require.Equal(t, version, resp.Proto)
				require.Equal(t, a.status, resp.StatusCode, a.path)
				for header, want := range secureByDefault {
					if header == "Content-Security-Policy" && name == "nonce" {
						if a.status == 304 {
							assert.NotContains(t, resp.Header, header, "%s %s", version, a.path)
							continue
						}
						assert.Len(t, nonces(strings.Join(resp.Header[header], ",")), 1)
						want = resp.Header[header][:1]
					}
					assert.Equal(t, want, resp.Header[header], "%s %s %s: %s", name, version, a.path, header)
				}
				for _, n := range []string{"Date", "Content-Security-Policy"} {
					resp.Header.Del(n) // differ by their nature
				}
				seen[i] = append(seen[i], fmt.Sprint(a.path, resp.StatusCode, resp.Header))
			}
		}
		assert.Equal(t, seen[0], seen[1], "HTTP/1.1 and HTTP/2 differ")
	}
}

func TestEarlyHintsCarryTheSetAsWell(t *testing.T) {
	srv := serveTLS(t, build(t, secheaders.Config{}).Handler(everyAnswer()), true)
	var hints textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		hints = h
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/hints", nil)
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "DENY", hints.Get("X-Frame-Options"))
	assert.Equal(t, []string{"DENY"}, resp.Header["X-Frame-Options"])
}

func TestAnUpgradedConnectionStaysUntouched(t *testing.T) {
	for name, c := range map[string]secheaders.Config{"static": secheaders.Default(), "nonce": nonceConfig()} {
		srv := serveTLS(t, build(t, c).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello")
				conn.Close()
			}
		})), false)
		conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own server
		require.NoError(t, err)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		all, _ := io.ReadAll(conn)
		conn.Close()
		assert.Equal(t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello", string(all), name)
	}
}

// proxied serves the upstream through a ReverseProxy behind m.
func proxied(t *testing.T, m *secheaders.Middleware, upstream http.HandlerFunc) *http.Response {
	t.Helper()
	up := httptest.NewServer(upstream)
	t.Cleanup(up.Close)
	target, _ := url.Parse(up.URL)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: m.ModifyResponse,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	srv := serveTLS(t, m.Handler(proxy), false)
	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestAReverseProxyDoublesNothingAndNamesNoSoftware(t *testing.T) {
	upstream := func(w http.ResponseWriter, _ *http.Request) {
		for header := range secureByDefault {
			w.Header().Set(header, "the upstream's")
		}
		w.Header().Set("Server", "Apache/2.4.1")
		w.Header().Set("X-Powered-By", "PHP/5.3")
		w.Header().Set("X-AspNet-Version", "2.0")
		w.Header().Set("Vary", "Accept")
		w.Header().Set("Cache-Control", "max-age=5")
		w.Header().Set("X-App", "stays")
	}
	for name, c := range map[string]secheaders.Config{"static": secheaders.Default(), "nonce": nonceConfig()} {
		got := proxied(t, build(t, c), upstream).Header
		want := secureByDefault.Clone()
		want["Content-Security-Policy"] = got["Content-Security-Policy"][:1]
		want["Vary"], want["Cache-Control"], want["X-App"] = []string{"Accept"}, []string{"max-age=5"}, []string{"stays"}
		want["Date"], want["Content-Length"] = got["Date"], got["Content-Length"]
		assert.Equal(t, want, got, name)
	}
	omitting := build(t, secheaders.Config{InsecureOmit: []string{"Content-Security-Policy"}})
	assert.Equal(t, []string{"the upstream's"}, proxied(t, omitting, upstream).Header["Content-Security-Policy"])
}

func TestAProxyWhoseUpstreamIsAwayAnswersWithTheSet(t *testing.T) {
	resp := proxied(t, build(t, secheaders.Config{}), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	assert.Equal(t, secureByDefault["X-Frame-Options"], resp.Header["X-Frame-Options"])
}

// plainWriter can do less than the writers of net/http.
type plainWriter struct{ http.ResponseWriter }

func TestTheNonceWriterCanDoNoMoreThanTheOneBelow(t *testing.T) {
	h := build(t, nonceConfig()).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		assert.False(t, flusher || hijacker || readerFrom)
	}))
	h.ServeHTTP(plainWriter{httptest.NewRecorder()}, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
}

func TestAProxyKeepsItsHeadersWhenTheUpstreamSendsEarlyHints(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload; as=style")
		w.Header().Set("X-Powered-By", "PHP/5.3")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-Frame-Options", "ALLOWALL")
		w.Header().Set("Vary", "Accept")
		w.WriteHeader(http.StatusOK)
	}))
	defer up.Close()
	target, _ := url.Parse(up.URL)
	for name, c := range map[string]secheaders.Config{"static": secheaders.Default(), "nonce": nonceConfig()} {
		proxy := &httputil.ReverseProxy{
			Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
			ModifyResponse: func(r *http.Response) error { r.Header.Set("X-Own", "ran"); return nil },
		}
		h := build(t, c).Proxy(proxy)
		srv := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Correlation-Id", "1") // an outer layer's
			w.Header().Set("Vary", "Origin")
			h.ServeHTTP(w, r)
		}), false)
		resp, err := srv.Client().Get(srv.URL)
		require.NoError(t, err)
		resp.Body.Close()
		for header, want := range secureByDefault {
			if header == "Content-Security-Policy" && name == "nonce" {
				want = resp.Header[header][:1]
			}
			assert.Equal(t, want, resp.Header[header], "%s: %s", name, header)
		}
		assert.ElementsMatch(t, []string{"Accept", "Origin"}, resp.Header["Vary"], name)
		assert.Equal(t, "1", resp.Header.Get("X-Correlation-Id"), name)
		assert.Equal(t, "ran", resp.Header.Get("X-Own"), name)
		assert.NotContains(t, resp.Header, "X-Powered-By", name)
	}
}

func TestAProxyWithoutEarlyHintsIsLeftAlone(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Vary", "Accept") }))
	defer up.Close()
	target, _ := url.Parse(up.URL)
	m := build(t, secheaders.Config{})
	h := m.Proxy(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	got := get(h, "https://example.com/").Header()
	got.Del("Date")
	got.Del("Content-Length")
	want := secureByDefault.Clone()
	want.Set("Vary", "Accept")
	assert.Equal(t, want, got)
}

func TestTheProxysOwnModifyResponseStillDecides(t *testing.T) {
	up := httptest.NewServer(nothing)
	defer up.Close()
	target, _ := url.Parse(up.URL)
	h := build(t, secheaders.Config{}).Proxy(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(*http.Response) error { return io.ErrUnexpectedEOF },
		ErrorLog:       log.New(io.Discard, "", 0),
	})
	rec := get(h, "https://example.com/")
	assert.Equal(t, http.StatusBadGateway, rec.Code)
	assert.Equal(t, secureByDefault, rec.Header())
}
