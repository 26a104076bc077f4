// Package metrics shows how the packages' observers become Prometheus metrics.
// The library itself depends on no metrics client: it calls plain functions.
//
// Labels are names from the configuration and fixed words, never a client's
// address, key or path: those have no bound, and each value is a time series.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// Metrics holds the collectors. Its methods are safe for concurrent use.
type Metrics struct {
	limits  *prometheus.CounterVec
	store   *prometheus.HistogramVec
	hosts   *prometheus.CounterVec
	origins *prometheus.CounterVec
}

// New registers the collectors.
func New(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		limits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ratelimit_events_total", Help: "Decisions and incidents of the rate limiter.",
		}, []string{"rule", "policy", "event"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ratelimit_store_seconds", Help: "How long the store took to decide.",
			Buckets: []float64{1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 25e-3},
		}, []string{"rule"}),
		hosts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trustedhost_rejected_total", Help: "Requests refused for their host.",
		}, []string{"reason"}),
		origins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cors_decisions_total", Help: "Requests with an Origin.",
		}, []string{"kind", "reason"}),
	}
	for _, c := range []prometheus.Collector{m.limits, m.store, m.hosts, m.origins} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// RateLimit is a ratelimit.Config's Observe. It does not block.
func (m *Metrics) RateLimit(e ratelimit.Event) {
	m.limits.WithLabelValues(e.Rule, e.Policy, e.Kind.String()).Inc()
	if e.Kind == ratelimit.EventAllow || e.Kind == ratelimit.EventDeny {
		m.store.WithLabelValues(e.Rule).Observe(e.Latency.Seconds())
	}
}

// CORS is a corsx.Config's OnDecision.
func (m *Metrics) CORS(_ *http.Request, d corsx.Decision) {
	m.origins.WithLabelValues(string(d.Kind), string(d.Reason)).Inc()
}

// RejectHost is a trustedhost.Config's OnReject: it counts and answers.
func (m *Metrics) RejectHost(w http.ResponseWriter, _ *http.Request, e *trustedhost.RejectError) {
	m.hosts.WithLabelValues(string(e.Reason)).Inc()
	http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
}
