// Package correlationbench measures the correlation middleware beside its
// peers: each writes one line per request to a handler that throws it away.
//
//	go test -bench AccessLine -benchtime=1s -count=5 ./correlation/
//	go test -bench Ratio -benchtime=20x ./correlation/
//
// The second measures all of them in turn, in short batches, and reports the
// median of each as a multiple of the yardstick: what else the machine does then
// falls on all alike.
//
// The yardstick is a bare slog JSON line of the attributes that ours has. The
// peers write other attributes, named where they are built; zerolog has an
// encoder of its own and no slog.
package correlationbench

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/httplog/v3"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/hlog"
	sloghttp "github.com/samber/slog-http"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// writer is a ResponseWriter that costs nothing.
type writer struct{ h http.Header }

func (w writer) Header() http.Header         { return w.h }
func (w writer) Write(p []byte) (int, error) { return len(p), nil }
func (w writer) WriteHeader(int)             {}
func (w writer) Flush()                      {}

var body = []byte("ok")

var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	r.Pattern = "GET /api/items/{id}"
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
})

func jsonLogger() *slog.Logger { return slog.New(slog.NewJSONHandler(io.Discard, nil)) }

// line is the yardstick.
func line(l *slog.Logger) {
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

func gatehouse(b *testing.B, l *slog.Logger) http.Handler {
	m, err := correlation.New(correlation.Config{Logger: l})
	if err != nil {
		b.Fatal(err)
	}
	return m.Handler(handler)
}

// zerologChain logs the same things as ours as far as hlog can: no route, no
// time to first byte, one ID.
func zerologChain() http.Handler {
	h := hlog.AccessHandler(func(r *http.Request, status, size int, d time.Duration) {
		hlog.FromRequest(r).Info().Int("status", status).Int("size", size).Dur("duration", d).Msg("request")
	})(handler)
	h = hlog.RequestIDHandler("correlation_id", "X-Correlation-ID")(h)
	h = hlog.RemoteIPHandler("client.address")(h)
	h = hlog.MethodHandler("http.request.method")(h)
	h = hlog.URLHandler("url.path")(h)
	return hlog.NewHandler(zerolog.New(io.Discard).With().Timestamp().Logger())(h)
}

type contender struct {
	name string
	h    http.Handler // nil: the yardstick
}

func contenders(b *testing.B) []contender {
	return []contender{
		{"bare slog line", nil},
		{"gatehouse", gatehouse(b, jsonLogger())},
		{"gatehouse through NewLogHandler", gatehouse(b, slog.New(correlation.NewLogHandler(slog.NewJSONHandler(io.Discard, nil))))},
		{"slog-http", sloghttp.New(jsonLogger())(handler)},
		{"httplog", httplog.RequestLogger(jsonLogger(), &httplog.Options{Level: slog.LevelInfo, Schema: httplog.SchemaOTEL})(handler)},
		{"zerolog hlog", zerologChain()},
	}
}

// once returns what serves one request.
func (c contender) once() func() {
	if c.h == nil {
		l := jsonLogger()
		return func() { line(l) }
	}
	w := writer{h: http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/api/items/42", nil)
	r.RemoteAddr = "203.0.113.7:4711"
	return func() {
		clear(r.Header) // slog-http writes its ID into the request
		c.h.ServeHTTP(w, r)
	}
}

func BenchmarkAccessLine(b *testing.B) {
	for _, c := range contenders(b) {
		b.Run(c.name, func(b *testing.B) {
			once := c.once()
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

func BenchmarkRatio(b *testing.B) {
	const rounds, batch = 50, 100
	all := contenders(b)
	took := make([][]time.Duration, len(all))
	serve := make([]func(), len(all))
	for i, c := range all {
		serve[i] = c.once()
	}
	for b.Loop() {
		for range rounds {
			for i, once := range serve {
				start := time.Now()
				for range batch {
					once()
				}
				took[i] = append(took[i], time.Since(start))
			}
		}
	}
	yardstick := median(took[0])
	for i, c := range all {
		name := strings.ReplaceAll(c.name, " ", "-")
		b.ReportMetric(float64(median(took[i]))/float64(yardstick), name+"/bare-line")
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
