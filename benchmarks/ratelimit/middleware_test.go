package ratelimitbench

import (
	"context"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/didip/tollbooth/v8"
	"github.com/didip/tollbooth/v8/limiter"
	"github.com/go-chi/httprate"
	"github.com/sethvargo/go-limiter/httplimit"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	throttledmem "github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululestd "github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	ululemem "github.com/ulule/limiter/v3/drivers/store/memory"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// discard keeps nothing of an answer but its headers.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func handler(name string, h http.Handler) contestant {
	return contestant{name, func(n int) {
		w := &discard{http.Header{}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for range n {
			clear(w.h)
			h.ServeHTTP(w, r)
		}
	}}
}

// byHand is a sharded limiter that sets the same header fields and keeps to few
// allocations, as one would who cares: no bound on its memory,
// no IPv6 networks, no permit, one limit.
func byHand(next http.Handler) http.Handler {
	var s shards
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ip, _, _ := net.SplitHostPort(r.RemoteAddr)
		ok, tokens := s.take(ip)
		h := w.Header()
		h["Ratelimit-Policy"] = []string{`"per-ip";q=40000000;w=3456000000`}
		left := math.Floor(tokens)
		line := append(make([]byte, 0, 64), `"per-ip";r=`...)
		line = strconv.AppendInt(line, int64(left), 10)
		if tokens < burst { // t is the time to the next whole token
			line = append(line, ";t="...)
			line = strconv.AppendInt(line, int64(math.Ceil((left+1-tokens)*86400/perDay)), 10)
		}
		h["Ratelimit"] = []string{string(line)}
		if !ok {
			h["Retry-After"] = []string{"1"}
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withPermit does what lets a handler charge for its cost afterwards: it hands on
// a request with a value in its context.
func withPermit(next http.Handler) http.Handler {
	type permitKey struct{}
	type permit struct{ key string }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), permitKey{}, &permit{r.RemoteAddr})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func limiterFor(c ratelimit.Config) *ratelimit.Middleware {
	c.Rules = []ratelimit.Rule{{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: perDay, Per: 24 * time.Hour, Burst: burst}}}}
	return must(ratelimit.New(c))
}

func TestTheHandWrittenLimiterSetsTheSameFields(t *testing.T) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	hand, ours := &discard{http.Header{}}, &discard{http.Header{}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	byHand(next).ServeHTTP(hand, r)
	limiterFor(ratelimit.Config{}).Handler(next).ServeHTTP(ours, r)
	if !reflect.DeepEqual(hand.h, ours.h) {
		t.Fatalf("by hand %v, ours %v", hand.h, ours.h)
	}
}

func BenchmarkMiddleware(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	golimiter := must(memorystore.New(&memorystore.Config{Tokens: burst, Interval: 24 * time.Hour}))
	ul := ulule.New(ululemem.NewStore(), ulule.Rate{Period: 24 * time.Hour, Limit: burst})
	tm := must(throttledmem.NewCtx(0))
	th := must(throttled.NewGCRARateLimiterCtx(tm, throttled.RateQuota{MaxRate: throttled.PerDay(perDay), MaxBurst: burst}))
	tb := tollbooth.NewLimiter(perDay/86400.0, &limiter.ExpirableOptions{DefaultExpirationTTL: time.Hour}).
		SetBurst(burst).SetIPLookup(limiter.IPLookup{Name: "RemoteAddr"})
	byIP := func(r *http.Request) (string, error) {
		ip, _, err := net.SplitHostPort(r.RemoteAddr)
		return ip, err
	}
	all := []contestant{
		handler("by hand, same fields", byHand(next)),
		handler("by hand, and a permit", byHand(withPermit(next))),
		handler("gatehouse", limiterFor(ratelimit.Config{}).Handler(next)),
		handler("gatehouse, NoPermit", limiterFor(ratelimit.Config{NoPermit: true}).Handler(next)),
		handler("gatehouse, no fields", limiterFor(ratelimit.Config{Headers: ratelimit.HeadersNone}).Handler(next)),
		handler("gatehouse, KeySecret", limiterFor(ratelimit.Config{KeySecret: make([]byte, 32)}).Handler(next)),
		handler("bare handler", next),
		handler("sethvargo/go-limiter", must(httplimit.NewMiddleware(golimiter, httplimit.IPKeyFunc())).Handle(next)),
		handler("ulule/limiter", ululestd.NewMiddleware(ul).Handler(next)),
		handler("throttled (GCRA)", (&throttled.HTTPRateLimiterCtx{RateLimiter: th, VaryBy: &throttled.VaryBy{RemoteAddr: true}}).RateLimit(next)),
		handler("didip/tollbooth", tollbooth.HTTPMiddleware(tb)(next)),
		handler("go-chi/httprate", httprate.LimitBy(burst, 24*time.Hour, byIP)(next)),
	}
	sideBySide(b, 500, all)
}

func BenchmarkRefused(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	one := must(ratelimit.New(ratelimit.Config{
		Rules: []ratelimit.Rule{{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: 1, Per: 24 * time.Hour}}}},
	}))
	byIP := func(r *http.Request) (string, error) {
		ip, _, err := net.SplitHostPort(r.RemoteAddr)
		return ip, err
	}
	golimiter := must(memorystore.New(&memorystore.Config{Tokens: 1, Interval: 24 * time.Hour}))
	sideBySide(b, 500, []contestant{
		handler("gatehouse, problem+json", one.Handler(next)),
		handler("sethvargo/go-limiter", must(httplimit.NewMiddleware(golimiter, httplimit.IPKeyFunc())).Handle(next)),
		handler("go-chi/httprate", httprate.LimitBy(1, 24*time.Hour, byIP)(next)),
	})
}
