package spa_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/spa"
)

// discard is a ResponseWriter that keeps its header map between requests, as the
// allocations of net/http's own are none of ours.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// benchApp is viteFS with an asset of 100 KiB and its brotli, a tenth of it.
func benchApp(tb testing.TB) *spa.Middleware {
	fsys := viteFS()
	fsys["assets/big-Q2Fz8_aB.js"] = &fstest.MapFile{Data: repeated("let a = 1;\n\t\t\t\t\t\t", 100<<10/16)}
	fsys["assets/big-Q2Fz8_aB.js.br"] = &fstest.MapFile{Data: repeated("x", 10<<10)}
	return newApp(tb, spa.Config{FS: fsys})
}

func benchRequest(target string, header ...string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

const browserEncodings = "gzip, deflate, br, zstd"

// benchCases are what a browser asks of an app.
func benchCases(tb testing.TB, app http.Handler) map[string]*http.Request {
	tb.Helper()
	etag := ask(app, "GET", "/").Header().Get("ETag")
	nav := []string{"Accept", chrome, "Sec-Fetch-Dest", "document", "Accept-Encoding", browserEncodings}
	return map[string]*http.Request{
		"index":      benchRequest("/", nav...),
		"fallback":   benchRequest("/projects/42", nav...),
		"identity":   benchRequest("/assets/big-Q2Fz8_aB.js"),
		"compressed": benchRequest("/assets/big-Q2Fz8_aB.js", "Accept-Encoding", browserEncodings),
		"304":        benchRequest("/", "If-None-Match", etag),
		"miss":       benchRequest("/assets/gone.js", "Accept-Encoding", browserEncodings),
		"hostile":    benchRequest("/"+strings.Repeat("a/", 4000), nav...),
		"ranges":     benchRequest("/assets/big-Q2Fz8_aB.js", "Range", "bytes="+strings.Repeat("0-0,", 1000)+"0-0"),
	}
}

func TestAnAnswerIsOneAllocation(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	app := benchApp(t)
	h := app.Handler(http.NotFoundHandler())
	w := &discard{header: http.Header{}}
	for name, r := range benchCases(t, app) {
		for through, h := range map[string]http.Handler{"ServeHTTP": app, "Handler": h} {
			if through == "Handler" && (name == "miss" || name == "hostile") {
				continue // next's
			}
			got := testing.AllocsPerRun(100, func() { clear(w.header); h.ServeHTTP(w, r) })
			assert.LessOrEqual(t, got, 1.0, "%s of %s", through, name)
		}
	}
}

// bare writes the bytes and headers that the app would, and decides nothing.
func bare(tb testing.TB, app http.Handler, r *http.Request) http.Handler {
	tb.Helper()
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, r)
	body, header, status := rec.Body.Bytes(), rec.Header(), rec.Code
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, name := range names {
			h.Set(name, header[name][0])
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

func BenchmarkServe(b *testing.B) {
	app := benchApp(b)
	mux := app.Handler(apiMux())
	for _, name := range []string{"index", "fallback", "identity", "compressed", "304", "miss", "hostile", "ranges"} {
		r := benchCases(b, app)[name]
		for _, c := range []struct {
			name string
			h    http.Handler
		}{{"bare", bare(b, app, r)}, {"app", app}, {"app around a mux", mux}} {
			b.Run(fmt.Sprintf("%s/%s", name, c.name), func(b *testing.B) {
				w := &discard{header: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					c.h.ServeHTTP(w, r)
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		benchApp(b)
	}
}
