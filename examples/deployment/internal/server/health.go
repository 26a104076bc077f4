package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
)

// health answers two questions. /health: does this process answer? It asks
// nobody else, or an outage of the database would have the platform restart every
// replica. /health/ready: should it get requests? It asks the services that it
// cannot do without. All replicas share those, so what can be missing for a while
// must not be among them.
type health struct {
	checks   map[string]func(context.Context) error
	log      *slog.Logger
	limits   *storeWatch // nil: no shared store
	draining atomic.Bool

	gate chan struct{} // taken while asking: many probes, one question
	at   time.Time
	last map[string]string
	ok   bool
}

const (
	readyFor     = time.Second     // how long an answer is good
	checkTimeout = 2 * time.Second // a frozen database is no answer
)

func newHealth(checks map[string]func(context.Context) error, log *slog.Logger) *health {
	return &health{checks: checks, log: log, gate: make(chan struct{}, 1)}
}

func (h *health) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) {
		if h.draining.Load() {
			problems.Unavailable(w, r, 5*time.Second)
			return
		}
		result, ok := h.ask()
		status := http.StatusOK
		if !ok {
			status = http.StatusServiceUnavailable
			w.Header().Set("Retry-After", "5")
		}
		writeJSON(w, status, result)
	})
}

// drain turns readiness off, so that the load balancer sends no more.
func (h *health) drain() { h.draining.Store(true) }

// lastAnswers says on every answer from then on that its connection ends with it:
// fewer are left open when the port closes, and who asks again comes elsewhere.
func (h *health) lastAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.draining.Load() {
			w.Header().Set("Connection", "close") // HTTP/2: GOAWAY
		}
		next.ServeHTTP(w, r)
	})
}

// ask asks all services at once, at most once a second whoever asks. What is
// wrong goes into the log; the answer says only which.
func (h *health) ask() (result map[string]string, ok bool) {
	h.gate <- struct{}{}
	defer func() { <-h.gate }()
	if time.Since(h.at) < readyFor {
		return h.last, h.ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout) // not the first prober's: others wait too
	defer cancel()
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, len(h.checks))
	for name, check := range h.checks {
		go func() { answers <- answer{name, check(ctx)} }()
	}
	result, ok = map[string]string{}, true
	for range h.checks {
		a := <-answers
		result[a.name] = "ok"
		if a.err != nil {
			result[a.name], ok = "unavailable", false
			if h.ok || h.at.IsZero() {
				h.log.Warn("not ready", "service", a.name, "error", a.err)
			}
		}
	}
	if h.limits != nil {
		result["redis"] = h.limits.state() // told, but no reason: the limits hold without it
	}
	if ok && !h.ok && !h.at.IsZero() {
		h.log.Info("ready again")
	}
	h.last, h.ok, h.at = result, ok, time.Now()
	return result, ok
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings only
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
