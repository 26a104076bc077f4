package redisstore_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// The whole way: requests through a Middleware, while Redis is there, frozen,
// there again.
func TestRequestsThroughAMiddlewareWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var failed, back atomic.Int64
	limiter := func(mode ratelimit.FailMode) http.Handler {
		m, err := ratelimit.New(ratelimit.Config{
			Rules:    []ratelimit.Rule{{Name: "r", Limits: []ratelimit.Limit{{Requests: 20, Per: time.Hour}}, OnStoreError: mode}},
			Store:    open(t, redisstore.Config{Client: server.Client(), Timeout: 100 * time.Millisecond, MaxStale: -1}),
			Replicas: 4,
			Observe: func(e ratelimit.Event) {
				switch e.Kind {
				case ratelimit.EventStoreError:
					failed.Add(1)
				case ratelimit.EventRecovered:
					back.Add(1)
				}
			},
		})
		require.NoError(t, err)
		return m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	try := func(h http.Handler) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		rec := httptest.NewRecorder()
		began := time.Now()
		h.ServeHTTP(rec, r)
		require.Less(t, time.Since(began), 100*time.Millisecond+slack)
		return rec
	}
	local, open, closed := limiter(ratelimit.FailLocal), limiter(ratelimit.FailOpen), limiter(ratelimit.FailClosed)
	all := []http.Handler{local, open, closed}
	for _, h := range all {
		require.Eventually(t, func() bool { // connected
			before := failed.Load()
			return try(h).Code == 200 && failed.Load() == before
		}, 10*time.Second, 10*time.Millisecond)
	}
	failed.Store(0)

	server.Freeze()
	codes := map[int]int{}
	for range 20 {
		codes[try(local).Code]++
		require.Equal(t, 200, try(open).Code)
		rec := try(closed)
		require.Equal(t, 503, rec.Code)
		require.NotEmpty(t, rec.Header().Get("Retry-After"))
	}
	require.Equal(t, 20, codes[200]+codes[429])
	require.LessOrEqual(t, codes[200], 5, "a quarter of the limit in each of four replicas")
	require.Positive(t, codes[200])
	require.EqualValues(t, 60, failed.Load(), "none of it is silent")

	server.Thaw()
	require.Eventually(t, func() bool {
		for _, h := range all {
			if try(h).Code == 503 {
				return false
			}
		}
		return back.Load() >= 3
	}, 20*time.Second, 10*time.Millisecond)
}
