package correlation_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// discard is a ResponseWriter that costs nothing, with the interfaces of
// net/http's own on HTTP/1.
type discard struct{ h http.Header }

func (d discard) Header() http.Header               { return d.h }
func (d discard) Write(p []byte) (int, error)       { return len(p), nil }
func (d discard) WriteString(s string) (int, error) { return len(s), nil }
func (d discard) WriteHeader(int)                   {}
func (d discard) Flush()                            {}

var okBody = []byte("ok")

var okHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	r.Pattern = "GET /api/items/{id}"
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(okBody)
})

func benchRequest() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/api/items/42", nil)
	r.RemoteAddr = "203.0.113.7:4711"
	return r
}

func jsonTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func build(t testing.TB, cfg correlation.Config) *correlation.Middleware {
	t.Helper()
	m, err := correlation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func BenchmarkHandler(b *testing.B) {
	run := func(name string, h http.Handler, edit func(*http.Request)) {
		b.Run(name, func(b *testing.B) {
			r := benchRequest()
			if edit != nil {
				edit(r)
			}
			w := discard{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
	run("bare handler", okHandler, nil)
	b.Run("bare slog line of the same attributes", func(b *testing.B) {
		l := jsonTo(io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			bareLine(l)
		}
	})
	logged := build(b, correlation.Config{Logger: jsonTo(io.Discard)})
	run("line", logged.Handler(okHandler), nil)
	run("line, ID given", logged.Handler(okHandler), func(r *http.Request) { r.Header.Set("X-Correlation-ID", "abc-123") })
	run("line, ID of 64 KB", logged.Handler(okHandler), func(r *http.Request) {
		r.Header.Set("X-Correlation-ID", strings.Repeat("a", 64<<10))
	})
	run("line, path of 64 KB", logged.Handler(okHandler), func(r *http.Request) { r.URL.Path = strings.Repeat("\x1b", 64<<10) })
	wrapped := build(b, correlation.Config{Logger: slog.New(correlation.NewLogHandler(slog.NewJSONHandler(io.Discard, nil)))})
	run("line, through NewLogHandler", wrapped.Handler(okHandler), nil)
	skipping := build(b, correlation.Config{Logger: jsonTo(io.Discard), Skip: func(*http.Request) bool { return true }})
	run("skipped", skipping.Handler(okHandler), nil)
	run("4xx flood", logged.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
	})), nil)
}

// bareLine is what the goal is measured against: slog alone, with the attributes
// of a usual access line.
func bareLine(l *slog.Logger) {
	start := time.Now()
	l.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("http.request.method", "GET"),
		slog.String("url.path", "/api/items/42"),
		slog.String("http.route", "/api/items/{id}"),
		slog.Int("http.response.status_code", 200),
		slog.Int64("http.response.body.size", 2),
		slog.Float64("duration", time.Since(start).Seconds()),
		slog.Float64("ttfb", time.Since(start).Seconds()),
		slog.String("client.address", "203.0.113.7"),
		slog.String("correlation_id", "0b9d0d3c-6d0a-4b0e-8f3c-2f8d7a3b1c55"),
		slog.String("request_id", "6f1c2f9e-1d8b-4a7f-9a53-0c1b8f0f6c1e"),
	)
}

func BenchmarkLogHandler(b *testing.B) {
	ctx, err := correlation.NewContext(context.Background(), "abc-123")
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, l *slog.Logger) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.LogAttrs(ctx, slog.LevelInfo, "charged", slog.Int("cents", 1999))
			}
		})
	}
	bare := slog.NewJSONHandler(io.Discard, nil)
	run("bare", slog.New(bare))
	run("with the ID", slog.New(correlation.NewLogHandler(bare)))
	run("bare, in a group", slog.New(bare).WithGroup("pay"))
	run("with the ID, in a group", slog.New(correlation.NewLogHandler(bare)).WithGroup("pay"))
}
