package correlation_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// free takes every line and allocates nothing: what is left is ours. slog's own
// JSONHandler allocates 8 bytes more for each of the two floats.
type free struct{ slog.Handler }

func (free) Enabled(context.Context, slog.Level) bool      { return true }
func (free) Handle(_ context.Context, r slog.Record) error { _ = r.NumAttrs(); return nil }

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes what is allocated")
	}
	const perRequest, perLine = 2, 1 // one less per request than promised
	notFound := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	logger := slog.New(free{slog.DiscardHandler})
	for _, c := range []struct {
		name string
		cfg  correlation.Config
		edit func(*http.Request)
		next http.Handler
		want float64
	}{
		{"a line", correlation.Config{Logger: logger}, nil, okHandler, perRequest + perLine},
		{"a line, ID and trace given", correlation.Config{Logger: logger}, func(r *http.Request) {
			r.Header["X-Correlation-Id"] = []string{"abc-123"}
			r.Header["Traceparent"] = []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
		}, okHandler, perRequest + perLine},
		{"through NewLogHandler", correlation.Config{Logger: slog.New(correlation.NewLogHandler(free{slog.DiscardHandler}))}, nil, okHandler, perRequest + perLine},
		{"skipped", correlation.Config{Logger: logger, Skip: func(*http.Request) bool { return true }}, nil, okHandler, perRequest},
		{"not enabled", correlation.Config{Logger: slog.New(slog.DiscardHandler)}, nil, okHandler, perRequest},
		{"a handler that writes nothing", correlation.Config{Logger: slog.New(slog.DiscardHandler)}, nil, http.HandlerFunc(nothing), perRequest},
		{"a flood of 4xx", correlation.Config{Logger: logger, ClientErrorLines: 1}, nil, notFound, perRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := benchRequest()
			if c.edit != nil {
				c.edit(r)
			}
			h, w := build(t, c.cfg).Handler(c.next), discard{h: http.Header{}}
			assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { h.ServeHTTP(w, r) }), c.want)
		})
	}
	t.Run("reading the ID", func(t *testing.T) {
		build(t, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			assert.Zero(t, testing.AllocsPerRun(200, func() { _, _ = correlation.ID(ctx), correlation.RequestID(ctx) }))
		})).ServeHTTP(httptest.NewRecorder(), benchRequest())
	})
	t.Run("a record of four attributes through NewLogHandler", func(t *testing.T) {
		l := slog.New(correlation.NewLogHandler(free{slog.DiscardHandler}))
		ctx := job(t, "abc")
		assert.Zero(t, testing.AllocsPerRun(200, func() {
			l.LogAttrs(ctx, slog.LevelInfo, "m", slog.Int("a", 1), slog.Int("b", 1), slog.Int("c", 1), slog.Int("d", 1))
		}))
	})
}
