package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// perIP is a rule of n requests a minute for each address.
func perIP(n int64) ratelimit.Rule {
	return ratelimit.Rule{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: n, Per: time.Minute}}}
}

func newLimiter(t testing.TB, c ratelimit.Config) *ratelimit.Middleware {
	t.Helper()
	m, err := ratelimit.New(c)
	require.NoError(t, err)
	return m
}

// ok is a handler that answers 200.
var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

// from makes a GET of / from a peer.
func from(ip string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = ip
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func status(h http.Handler, r *http.Request) int { return serve(h, r).Code }

// statuses is what n equal requests get.
func statuses(h http.Handler, n int, r func() *http.Request) []int {
	var out []int
	for range n {
		out = append(out, status(h, r()))
	}
	return out
}

// events records what Observe is told.
type events struct {
	mu  sync.Mutex
	all []ratelimit.Event
}

func (e *events) observe(ev ratelimit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Latency = 0
	e.all = append(e.all, ev)
}

// take returns the kinds and policies since the last call.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, ev := range e.all {
		s := ev.Kind.String() + " " + ev.Rule
		if ev.Policy != "" {
			s += "/" + ev.Policy
		}
		out = append(out, s)
	}
	e.all = nil
	return out
}

var errDown = errors.New("the store is away")

// flaky is a store that can be away.
type flaky struct {
	ratelimit.Store
	down  atomic.Bool
	calls atomic.Int64
}

func (f *flaky) Do(ctx context.Context, op ratelimit.Op, b []ratelimit.Bucket, l []ratelimit.Level) error {
	f.calls.Add(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.down.Load() {
		return errDown
	}
	return f.Store.Do(ctx, op, b, l)
}

func newFlaky(t testing.TB) *flaky { return &flaky{Store: newMemory(t, ratelimit.MemoryConfig{})} }
