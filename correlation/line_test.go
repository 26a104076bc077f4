package correlation_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// server serves h behind the middleware on a real socket.
func server(t testing.TB, cfg correlation.Config, h http.HandlerFunc) (*httptest.Server, *logs) {
	t.Helper()
	l, logger := newLogs()
	cfg.Logger = logger
	srv := httptest.NewUnstartedServer(build(t, cfg).Handler(h))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // superfluous WriteHeader and the like
	srv.EnableHTTP2 = true
	t.Cleanup(srv.Close)
	return srv, l
}

// raw sends bytes and returns all that comes back until the server closes.
func raw(t testing.TB, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, request)
	require.NoError(t, err)
	answer, err := io.ReadAll(c)
	if err != nil {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	return string(answer)
}

// split takes an HTTP/1 answer apart; informational answers come first.
func split(t testing.TB, answer, method string) (resp *http.Response, body string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(answer))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		require.NoError(t, err, "answer %q", answer)
		if resp.StatusCode >= 200 {
			b, _ := io.ReadAll(resp.Body)
			return resp, string(b)
		}
	}
}

func TestStatusAndBytesAreThoseTheClientGot(t *testing.T) {
	write := func(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
	for _, c := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		status  int
		bytes   int
	}{
		{"nothing written", "GET", nothing, 200, 0},
		{"a body without WriteHeader", "GET", func(w http.ResponseWriter, _ *http.Request) { write(w, "hello") }, 200, 5},
		{"an empty Write", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil); w.WriteHeader(404) }, 200, 0},
		{"404 with a body", "GET", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 404) }, 404, 3},
		{"103, then 200", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			w.WriteHeader(103)
			write(w, "hello")
		}, 200, 5},
		{"103 alone", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }, 200, 0},
		{"several WriteHeader", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }, 201, 0},
		{"WriteHeader after a body", "GET", func(w http.ResponseWriter, _ *http.Request) { write(w, "x"); w.WriteHeader(500) }, 200, 1},
		{"Flush first", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.WriteHeader(500)
			write(w, "ab")
		}, 200, 2},
		{"flush by controller first", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			w.WriteHeader(500)
		}, 200, 0},
		{"HEAD with a body", "HEAD", func(w http.ResponseWriter, _ *http.Request) { write(w, "hello") }, 200, 0},
		{"204 with a body", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); write(w, "hello") }, 204, 0},
		{"304 with a body", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304); write(w, "hello") }, 304, 0},
		{"more than Content-Length", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			write(w, "abc")
			write(w, "def")
		}, 200, 3},
		{"io.Copy", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 70000))})
		}, 200, 70000},
		{"io.Copy of a short source that is a plain Reader", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, iotest.OneByteReader(strings.NewReader("hello")))
		}, 200, 5},
		{"io.Copy of an empty source, then a status", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, iotest.DataErrReader(strings.NewReader("")))
			w.WriteHeader(404)
		}, 404, 0},
		{"io.Copy of a source that fails, then 502", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.Copy(w, iotest.ErrReader(errBoom)); err != nil {
				http.Error(w, "bad gateway", http.StatusBadGateway)
			}
		}, 502, 12},
		{"a panic before the header", "GET", func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, len(internalErrorBody)},
		{"a panic after 103", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); panic("boom") }, 500, len(internalErrorBody)},
		{"an impossible status", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(0) }, 500, len(internalErrorBody)},
		{"a panic of HEAD", "HEAD", func(http.ResponseWriter, *http.Request) { panic("boom") }, 500, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, l := server(t, correlation.Config{}, c.handler)
			srv.Start()
			answer := raw(t, srv.Listener.Addr().String(), c.method+" /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			resp, body := split(t, answer, c.method)
			line := l.wait(t, 1)[0]
			assert.Equal(t, c.status, resp.StatusCode)
			assert.Len(t, body, c.bytes)
			assert.EqualValues(t, c.status, line["http.response.status_code"])
			assert.EqualValues(t, c.bytes, line["http.response.body.size"])
			assert.Equal(t, resp.Header["X-Correlation-Id"], []string{line["correlation_id"].(string)})
			assert.Len(t, l.lines(t), 1)
		})
	}
}

func TestStatusAndBytesOverHTTP2(t *testing.T) {
	srv, l := server(t, correlation.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(103)
			_, _ = io.WriteString(w, "hello")
		case "/panic":
			panic("boom")
		case "/copy":
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("0123456789")})
		}
	})
	srv.StartTLS()
	for i, c := range []struct {
		path   string
		status int
		size   int
	}{{"/", 200, 0}, {"/early", 200, 5}, {"/panic", 500, len(internalErrorBody)}, {"/copy", 200, 10}} {
		resp, err := srv.Client().Get(srv.URL + c.path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
		line := l.wait(t, i+1)[i]
		assert.Equal(t, "HTTP/2.0", resp.Proto)
		assert.Equal(t, c.status, resp.StatusCode)
		assert.Len(t, body, c.size)
		assert.EqualValues(t, c.status, line["http.response.status_code"], c.path)
		assert.EqualValues(t, c.size, line["http.response.body.size"], c.path)
	}
}

func TestAHijackedConnectionHasALineWithoutStatus(t *testing.T) {
	for name, hijack := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"by assertion": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() },
		"by controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
	} {
		for _, crash := range []bool{false, true} {
			var noise logs
			srv, l := server(t, correlation.Config{SlowAfter: 1}, func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := hijack(w)
				if !assert.NoError(t, err) {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				_ = c.Close()
				if crash {
					panic("boom")
				}
			})
			srv.Config.ErrorLog = log.New(&noise, "", 0)
			srv.Start()
			answer := raw(t, srv.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			assert.Equal(t, "HTTP/1.1 101 Switching Protocols\r\n\r\n", answer, name)
			line := l.wait(t, 1)[0]
			assert.Equal(t, true, line["hijacked"])
			assert.NotContains(t, line, "http.response.status_code")
			assert.NotContains(t, line, "ttfb")
			srv.Close()
			assert.Empty(t, noise.String(), "nothing may be written to it any more")
			if crash {
				assert.Equal(t, "panic", line["error.type"])
			} else {
				assert.Equal(t, "INFO", line["level"], "a stream is never slow")
				assert.NotContains(t, line, "error.type")
			}
		}
	}
}

func TestTheEndOfAHijackedConnectionsContextIsNoError(t *testing.T) {
	l, logger := newLogs()
	h := build(t, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_ = c.Close()
		}
		<-r.Context().Done()
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	}))
	defer srv.Close()
	raw(t, srv.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	assert.NotContains(t, l.wait(t, 1)[0], "error.type")
}

// unwrapOnly is what a foreign middleware below may be: Unwrap and nothing else.
type unwrapOnly struct{ http.ResponseWriter }

func (u unwrapOnly) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestAHijackThroughAForeignWriterIsSeen(t *testing.T) {
	l, logger := newLogs()
	h := build(t, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if assert.NoError(t, err) {
			_ = c.Close()
		}
	}))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(unwrapOnly{w}, r) }))
	defer srv.Close()
	raw(t, srv.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	assert.Equal(t, true, l.wait(t, 1)[0]["hijacked"])
}

func TestTheClientLeaves(t *testing.T) {
	finished := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "done")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    any
	}{
		{"before the answer", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); _, _ = io.WriteString(w, "late") }, "client_gone"},
		{"before an answer with Content-Length", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "late")
		}, "client_gone"},
		{"before a 204", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); w.WriteHeader(204) }, "client_gone"},
		{"before the 503 of a handler that was cancelled", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(503)
		}, "client_gone"},
		{"in the middle", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "client_gone"},
		{"in the middle of a 500", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "500"},
		{"in a stream", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "client_gone"},
		{"with all it was promised", finished, nil},
		{"with the header that HEAD asked for", finished, nil},
		{"with a 304", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotModified)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			entered := make(chan struct{})
			srv, l := server(t, correlation.Config{}, func(w http.ResponseWriter, r *http.Request) { close(entered); c.handler(w, r) })
			srv.Start()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			method := "GET"
			if strings.Contains(c.name, "HEAD") {
				method = "HEAD"
			}
			_, err = io.WriteString(conn, method+" / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			<-entered
			if !strings.HasPrefix(c.name, "before") {
				_, err = conn.Read(make([]byte, 4096))
				require.NoError(t, err)
			}
			require.NoError(t, conn.Close())
			line := l.wait(t, 1)[0]
			assert.Equal(t, c.want, line["error.type"])
			assert.Equal(t, c.want == "500", line["level"] == "ERROR")
		})
	}
}

func TestDeadlines(t *testing.T) {
	t.Run("of the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, line := serve(t, correlation.Config{}, get("/").WithContext(ctx), func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			assert.Equal(t, "timeout", line["error.type"])
			assert.EqualValues(t, 503, line["http.response.status_code"])
			assert.EqualValues(t, 1, line["duration"])
			assert.EqualValues(t, 1, line["ttfb"])
		})
	})
	t.Run("as the cause of a cancellation", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, line := serve(t, correlation.Config{}, get("/").WithContext(ctx), func(http.ResponseWriter, *http.Request) {
			cancel(fmt.Errorf("the budget of this call: %w", context.DeadlineExceeded))
		})
		assert.Equal(t, "timeout", line["error.type"])
	})
	t.Run("for writing", func(t *testing.T) {
		srv, l := server(t, correlation.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30*time.Millisecond)))
			chunk := make([]byte, 1<<20)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
		srv.Start()
		conn, err := net.Dial("tcp", srv.Listener.Addr().String()) // and never reads
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		assert.Equal(t, "timeout", l.wait(t, 1)[0]["error.type"])
	})
	t.Run("of http.TimeoutHandler inside", func(t *testing.T) {
		_, line := serve(t, correlation.Config{}, get("/"), http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}), time.Millisecond, "").ServeHTTP)
		assert.EqualValues(t, 503, line["http.response.status_code"])
		assert.Equal(t, "503", line["error.type"])
	})
}

func TestDurationTTFBAndSlow(t *testing.T) {
	for _, c := range []struct {
		name, contentType string
		flush             bool
		level             string
	}{
		{"a slow page", "text/html", true, "WARN"},
		{"a slow page without a flush", "", false, "WARN"},
		{"a stream", "text/event-stream", true, "INFO"},
		{"a stream with parameters, in odd case", "Text/Event-Stream; charset=utf-8", true, "INFO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o correlation.Outcome
				cfg := correlation.Config{SlowAfter: time.Second, Level: func(got correlation.Outcome) slog.Level {
					o = got
					if got.Slow {
						return slog.LevelWarn
					}
					return slog.LevelInfo
				}}
				_, line := serve(t, cfg, get("/"), func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(250 * time.Millisecond)
					if c.flush {
						w.Header().Set("Content-Type", c.contentType)
						w.(http.Flusher).Flush()
					}
					time.Sleep(2 * time.Second)
				})
				want := 0.25
				if !c.flush {
					want = 2.25 // the header went out when the handler returned
				}
				assert.InEpsilon(t, want, line["ttfb"], 1e-9)
				assert.InEpsilon(t, 2.25, line["duration"], 1e-9)
				assert.Equal(t, c.level, line["level"])
				assert.Equal(t, c.level == "WARN", o.Slow)
				assert.Equal(t, 2250*time.Millisecond, o.Duration)
			})
		})
	}
}

func TestLevels(t *testing.T) {
	for status, want := range map[int]string{200: "INFO", 302: "INFO", 404: "INFO", 429: "INFO", 500: "ERROR", 503: "ERROR"} {
		_, line := serve(t, correlation.Config{}, get("/"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		assert.Equal(t, want, line["level"], status)
		if status >= 500 {
			assert.Equal(t, fmt.Sprint(status), line["error.type"])
		} else {
			assert.NotContains(t, line, "error.type")
		}
	}
	calls := 0
	_, line := serve(t, correlation.Config{Level: func(o correlation.Outcome) slog.Level {
		calls++
		assert.Equal(t, 404, o.Status)
		assert.EqualValues(t, 2, o.Bytes)
		assert.Empty(t, o.Error)
		return slog.LevelError
	}}, get("/"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); _, _ = io.WriteString(w, "no") })
	assert.Equal(t, "ERROR", line["level"])
	assert.Equal(t, 1, calls)
}

func TestALineThatTheLoggerDoesNotWantIsNotMade(t *testing.T) {
	l := &logs{}
	logger := slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h := build(t, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(nothing))
	h.ServeHTTP(httptest.NewRecorder(), get("/"))
	assert.Empty(t, l.String())
}

func TestSkipIsForSuccessesOnly(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		logged  bool
	}{
		{"200", nothing, false},
		{"302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, false},
		{"404", http.NotFound, true},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, true},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("boom") }, true},
		{"slow", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, true},
		{"Goexit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, logger := newLogs()
				pattern := ""
				m := build(t, correlation.Config{Logger: logger, SlowAfter: time.Millisecond, Skip: func(r *http.Request) bool {
					pattern = r.Pattern
					return true
				}})
				mux := http.NewServeMux()
				mux.HandleFunc("GET /health", c.handler)
				done := make(chan struct{})
				go func() {
					defer close(done)
					m.Handler(mux).ServeHTTP(httptest.NewRecorder(), get("/health"))
				}()
				<-done
				if c.logged {
					l.one(t)
				} else {
					assert.Empty(t, l.String())
					assert.Equal(t, "GET /health", pattern, "Skip may ask for the route")
				}
			})
		})
	}
}

func TestAStreamThatIsSkippedIsSkippedWhenItsClientLeaves(t *testing.T) {
	l, logger := newLogs()
	ctx, cancel := context.WithCancel(t.Context())
	build(t, correlation.Config{Logger: logger, Skip: func(*http.Request) bool { return true }}).
		Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() })).
		ServeHTTP(httptest.NewRecorder(), get("/").WithContext(ctx))
	assert.Empty(t, l.String())
}

func TestTheRoute(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("set") {
			correlation.SetRoute(r.Context(), "/set/{id}")
		}
	}
	for _, c := range []struct {
		pattern, target string
		want            any
	}{
		{"/x/{id}", "/x/1", "/x/{id}"},
		{"GET /x/{id}", "/x/1", "/x/{id}"},
		{"GET \t/x/{id}", "/x/1", "/x/{id}"},
		{"GET example.com/x/{rest...}", "/x/1/2", "/x/{rest...}"},
		{"GET /x/{$}", "/x/", "/x/{$}"},
		{"/x", "/none", nil},
		{"/x", "/x?set=1", "/set/{id}"},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc(c.pattern, page)
		r := get(c.target)
		_, line := serve(t, correlation.Config{}, r, mux.ServeHTTP)
		assert.Equal(t, c.want, line["http.route"], c.pattern)
		if c.want == "/x/{id}" {
			assert.Equal(t, c.pattern, r.Pattern, "layers outside see the pattern too")
		}
	}
}

func TestTheRouteComesThroughALayerThatCopiesTheRequestAndCopiesBack(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /x/{id}", nothing)
	type key struct{}
	_, line := serve(t, correlation.Config{}, get("/x/1"), func(w http.ResponseWriter, r *http.Request) {
		r2 := r.WithContext(context.WithValue(r.Context(), key{}, 1))
		mux.ServeHTTP(w, r2)
		r.Pattern = r2.Pattern
	})
	assert.Equal(t, "/x/{id}", line["http.route"])
}

func TestAHandlerThatRewritesTheURLDoesNotRewriteTheLine(t *testing.T) {
	_, line := serve(t, correlation.Config{Query: correlation.QueryKeys}, get("/as/sent?a=1"), func(_ http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.Method = "/rewritten", "", "b=2", "PUT"
	})
	assert.Equal(t, "/as/sent", line["url.path"])
	assert.Equal(t, "a=REDACTED", line["url.query"])
	assert.Equal(t, "GET", line["http.request.method"])
}

func TestHostileValuesCannotBreakALine(t *testing.T) {
	const ansi = "\x1b[2J\x1b]0;owned\x07\u202e\u2028\x00\"\\\n{}\xff\xc3\x28é"
	long := strings.Repeat("\x1b\"", 4096)
	for name, value := range map[string]string{"odd bytes": ansi, "8 KB": long, "1 MB": strings.Repeat("é", 1<<19)} {
		for kind, newHandler := range map[string]func(io.Writer) slog.Handler{
			"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
			"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
			"raw":  func(w io.Writer) slog.Handler { return rawHandler{w} },
		} {
			l := &logs{}
			m := build(t, correlation.Config{
				Logger: slog.New(newHandler(l)), Query: correlation.QueryKeys, LogHeaders: []string{"User-Agent", "Referer"},
			})
			r := get("/")
			r.Method, r.URL.Path, r.URL.RawQuery = value, "/"+value, value+"=1&"+value
			r.Header["User-Agent"] = []string{value, value, value, value, value, value, value, value, value, value}
			r.Header["Referer"] = []string{"https://a.example/" + value}
			r.Header["X-Correlation-Id"] = []string{value}
			r.Header["Traceparent"] = []string{value}
			m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				correlation.SetUser(r.Context(), value)
				correlation.SetRoute(r.Context(), value)
				panic(value)
			})).ServeHTTP(httptest.NewRecorder(), r)
			line := strings.TrimSuffix(l.String(), "\n")
			assert.True(t, utf8.ValidString(line), "%s, %s", name, kind)
			assert.Less(t, len(line), 32<<10, "%s, %s", name, kind)
			if kind == "raw" { // its stack has our own line breaks, in its last attribute
				line, _, _ = strings.Cut(line, " exception.stacktrace=")
			}
			for _, c := range line {
				assert.False(t, c < ' ' || c == 0x7f || c == '\u202e' || c == '\u2028', "%s, %s: %q in the line", name, kind, c)
			}
		}
	}
}

// rawHandler escapes nothing, as many handlers for the console.
type rawHandler struct{ w io.Writer }

func (h rawHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h rawHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h rawHandler) WithGroup(string) slog.Handler            { return h }
func (h rawHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.Key + "=" + a.Value.String(); return true })
	_, err := fmt.Fprintln(h.w, line)
	return err
}

func TestThePathIsLoggedAsItStandsInAURL(t *testing.T) {
	for target, want := range map[string]string{
		"/a%20b":                        "/a%20b",
		"/a%2Fb/c":                      "/a%2Fb/c",
		"/é":                            "/%C3%A9",
		"/100%25":                       "/100%25",
		"/%1b[2J%22%0a":                 "/%1b[2J%22%0a",
		"/a'b(c)":                       "/a'b(c)",
		"/" + strings.Repeat("a", 5000): "/" + strings.Repeat("a", 1023) + "...",
	} {
		_, line := serve(t, correlation.Config{}, get(target), nothing)
		assert.Equal(t, want, line["url.path"])
	}
	r := httptest.NewRequest(http.MethodOptions, "*", nil)
	_, line := serve(t, correlation.Config{}, r, nothing)
	assert.Equal(t, "*", line["url.path"])
	_, line = serve(t, correlation.Config{}, &http.Request{Method: "GET"}, nothing)
	assert.Empty(t, line["url.path"], "a request without URL is no reason to panic")
}

func TestUnknownMethodsAreOther(t *testing.T) {
	r := get("/")
	r.Method = "FROBNICATE"
	_, line := serve(t, correlation.Config{}, r, nothing)
	assert.Equal(t, "_OTHER", line["http.request.method"])
	assert.Equal(t, "FROBNICATE", line["http.request.method_original"])
}

func TestQueryKeysHaveNoValues(t *testing.T) {
	for query, want := range map[string]any{
		"": nil, "q=shoes&page=2": "q=REDACTED&page=REDACTED", "eyJhbGciOiJIUzI1NiJ9": "REDACTED",
		"a=b=c": "a=REDACTED", "&&": "REDACTED&REDACTED", "a%20b=1": "a%20b=REDACTED",
		strings.Repeat("k", 100) + "=1": strings.Repeat("k", 64) + "...=REDACTED",
		strings.Repeat("k=1&", 40):      strings.Repeat("k=REDACTED&", 32) + "...",
	} {
		r := get("/")
		r.URL.RawQuery = query
		_, line := serve(t, correlation.Config{Query: correlation.QueryKeys}, r, nothing)
		assert.Equal(t, want, line["url.query"], query)
		_, line = serve(t, correlation.Config{}, r, nothing)
		assert.NotContains(t, line, "url.query")
	}
}

func TestListedHeadersAreLoggedBoundedAndWithoutARefererQuery(t *testing.T) {
	r := get("/")
	r.Header["User-Agent"] = []string{"curl/8"}
	r.Header["Referer"] = []string{"https://a.example/p?token=secret#frag", "https://b.example/#t=secret"}
	r.Header["X-Many"] = make([]string, 100)
	r.Header["X-Original-Url"] = []string{"/cb?code=secret"}
	_, line := serve(t, correlation.Config{LogHeaders: []string{"user-agent", "Referer", "X-Original-URL", "X-Many", "X-Absent"}}, r, nothing)
	assert.Equal(t, []any{"curl/8"}, line["http.request.header.user-agent"])
	assert.Equal(t, []any{"https://a.example/p", "https://b.example/"}, line["http.request.header.referer"])
	assert.Equal(t, []any{"/cb"}, line["http.request.header.x-original-url"])
	assert.Len(t, line["http.request.header.x-many"], 8)
	assert.NotContains(t, line, "http.request.header.x-absent")
}

// spyConn tells what net/http copies into the connection by sendfile.
type spyConn struct {
	*net.TCPConn
	copied *atomic.Int64
}

func (c spyConn) ReadFrom(r io.Reader) (int64, error) {
	src := r
	if l, ok := r.(*io.LimitedReader); ok {
		src = l.R
	}
	n, err := c.TCPConn.ReadFrom(r)
	if kind := fmt.Sprintf("%T", src); kind == "*os.File" || kind == "os.fileWithoutWriteTo" {
		c.copied.Add(n)
	}
	return n, err
}

type spyListener struct {
	net.Listener
	copied *atomic.Int64
}

func (l spyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return spyConn{c.(*net.TCPConn), l.copied}, nil
}

func TestSendfileStays(t *testing.T) {
	const size = 1 << 20
	name := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(name, make([]byte, size), 0o600))
	for kind, h := range map[string]http.HandlerFunc{
		"http.ServeFile": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) },
		"io.Copy": func(w http.ResponseWriter, _ *http.Request) {
			f, err := os.Open(name)
			if assert.NoError(t, err) {
				defer f.Close()
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = io.Copy(w, f)
			}
		},
	} {
		var copied atomic.Int64
		srv, l := server(t, correlation.Config{}, h)
		srv.Listener = spyListener{srv.Listener, &copied}
		srv.Start()
		_, body := split(t, raw(t, srv.Listener.Addr().String(), "GET / HTTP/1.0\r\n\r\n"), "GET")
		assert.Len(t, body, size)
		assert.EqualValues(t, size, l.wait(t, 1)[0]["http.response.body.size"], kind)
		assert.Greater(t, copied.Load(), int64(size-4096), "%s: net/http must get the file itself", kind)
	}
}

func TestTheTemporaryFilesOfAnUploadAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	inHandler := 0
	srv, l := server(t, correlation.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(1))
		files, _ := filepath.Glob(filepath.Join(dir, "multipart-*"))
		inHandler = len(files)
	})
	srv.Start()
	var body strings.Builder
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("f", "f.bin")
	require.NoError(t, err)
	_, _ = part.Write(make([]byte, 64<<10))
	require.NoError(t, form.Close())
	raw(t, srv.Listener.Addr().String(), fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		form.FormDataContentType(), body.Len(), body.String()))
	l.wait(t, 1)
	assert.Equal(t, 1, inHandler)
	files, err := filepath.Glob(filepath.Join(dir, "multipart-*"))
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestAnAnswerOfAStreamIsLoggedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, line := serve(t, correlation.Config{SlowAfter: time.Millisecond}, get("/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 10 {
				_, _ = io.WriteString(w, "data: x\n\n")
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		})
		assert.InEpsilon(t, 1.0, line["duration"], 1e-9)
		assert.EqualValues(t, 90, line["http.response.body.size"])
		assert.Equal(t, "INFO", line["level"])
	})
}
