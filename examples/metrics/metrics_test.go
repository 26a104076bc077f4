package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/examples/metrics"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

func TestWhatThePackagesDecideCanBeScraped(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry)
	require.NoError(t, err)
	hosts, err := trustedhost.New(trustedhost.Config{Hosts: []string{"api.example.com"}, OnReject: m.RejectHost})
	require.NoError(t, err)
	cors, err := corsx.New(corsx.Config{Origins: []string{"https://app.example.com"}, OnDecision: m.CORS})
	require.NoError(t, err)
	limiter, err := ratelimit.New(ratelimit.Config{
		Rules:   []ratelimit.Rule{{Name: "api", Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}}}},
		Observe: m.RateLimit,
	})
	require.NoError(t, err)
	h := gatehouse.Chain(http.NotFoundHandler(), hosts.Handler, cors.Handler, limiter.Handler)
	for _, host := range []string{"api.example.com", "api.example.com", "api.example.com", "attacker.example"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		r.Header.Set("Origin", "https://app.example.com")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}

	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	page := w.Body.String()
	for _, line := range []string{
		`ratelimit_events_total{event="allow",policy="",rule="api"} 2`,
		`ratelimit_events_total{event="deny",policy="api",rule="api"} 1`,
		`ratelimit_store_seconds_count{rule="api"} 3`,
		`trustedhost_rejected_total{reason="not allowed"} 1`,
		`cors_decisions_total{kind="actual",reason="allowed"} 3`,
	} {
		assert.Contains(t, page, line+"\n")
	}
	for _, secret := range []string{"192.0.2.1", "attacker"} { // httptest's client address
		assert.False(t, strings.Contains(page, secret), secret)
	}
}
