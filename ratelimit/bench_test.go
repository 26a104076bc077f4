package ratelimit_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/time/rate"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// discard is a ResponseWriter that keeps nothing but its header map.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func generous(names ...string) []ratelimit.Rule {
	var rules []ratelimit.Rule
	for _, name := range names {
		rules = append(rules, ratelimit.Rule{Name: name, Limits: []ratelimit.Limit{{Requests: 1_000_000_000, Per: 24 * time.Hour}}})
	}
	return rules
}

func TestTheMiddlewareAllocatesThreeTimesAtMost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	none := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	measure := func(c ratelimit.Config) float64 {
		h := newLimiter(t, c).Handler(none)
		w, r := &discard{http.Header{}}, byAlice()
		return testing.AllocsPerRun(1000, func() {
			clear(w.h)
			h.ServeHTTP(w, r)
		})
	}
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: generous("a")}), 3.0, "one rule")
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: generous("a"), KeySecret: make([]byte, 32)}), 3.0, "with a secret")
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: generous("a", "b")}), 3.0, "two rules")
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: generous("a"), NoPermit: true}), 2.0, "without a permit")
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: generous("a"), Headers: ratelimit.HeadersNone}), 2.0, "without headers")
	assert.LessOrEqual(t, measure(ratelimit.Config{Rules: []ratelimit.Rule{perIP(1)}}), 4.0, "refused")
}

func BenchmarkMiddleware(b *testing.B) {
	none := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	user := ratelimit.ByValue(func(r *http.Request) string { return r.Header.Get("X-User") })
	two := generous("ip", "user")
	two[1].Key = user
	for _, c := range []struct {
		name string
		c    *ratelimit.Config
	}{
		{"bare handler", nil},
		{"allowed", &ratelimit.Config{Rules: generous("a")}},
		{"allowed, with a secret", &ratelimit.Config{Rules: generous("a"), KeySecret: make([]byte, 32)}},
		{"allowed by two rules", &ratelimit.Config{Rules: two}},
		{"allowed, no permit", &ratelimit.Config{Rules: generous("a"), NoPermit: true}},
		{"allowed, no headers", &ratelimit.Config{Rules: generous("a"), Headers: ratelimit.HeadersNone}},
		{"refused", &ratelimit.Config{Rules: []ratelimit.Rule{{Name: "a", Limits: []ratelimit.Limit{{Requests: 1, Per: 24 * time.Hour}}}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var h http.Handler = none
			if c.c != nil {
				h = newLimiter(b, *c.c).Handler(none)
			}
			w, r := &discard{http.Header{}}, byAlice()
			r.Header.Set("X-User", "0d7a35c2-3a6e-4bd6-9b43-5f5f9b0c7c11")
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkMiddlewareUnderAttack(b *testing.B) {
	h := newLimiter(b, ratelimit.Config{
		Store: newMemory(b, ratelimit.MemoryConfig{MaxKeys: 100_000}),
		Rules: []ratelimit.Rule{{Name: "a", Limits: []ratelimit.Limit{{Requests: 1000, Per: 24 * time.Hour}}}},
	}).Handler(ok)
	w, r := &discard{http.Header{}}, byAlice()
	var peer []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		peer = append(peer[:0], "[2001:db8:"...)
		peer = strconv.AppendInt(peer, int64(i>>16&0xffff), 16)
		peer = append(peer, ':')
		peer = strconv.AppendInt(peer, int64(i&0xffff), 16)
		peer = append(peer, "::1]:1"...)
		r.RemoteAddr = string(peer)
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// keyed returns n buckets of different keys that never run dry.
func keyed(n int) []ratelimit.Bucket {
	out := make([]ratelimit.Bucket, n)
	for i := range out {
		out[i] = ratelimit.Bucket{Rate: 1, Period: 1000, Cap: 1 << 50, Cost: 1000}
		binary.LittleEndian.PutUint64(out[i].Key[:], rand.Uint64())
		out[i].Group = out[i].Key
	}
	return out
}

// BenchmarkStore stands beside a bare rate.Limiter, which is one hot key.
func BenchmarkStore(b *testing.B) {
	b.Run("bare Limiter", func(b *testing.B) {
		l := rate.NewLimiter(1e12, 1e12)
		for b.Loop() {
			l.Allow()
		}
	})
	for _, c := range []struct {
		name string
		keys int
		cost int64
	}{{"hot key", 1, 1000}, {"denied key", 1, 1<<50 + 1}, {"100 000 keys", 100_000, 1000}, {"1 000 000 keys", 1_000_000, 1000}} {
		buckets := keyed(c.keys)
		for i := range buckets {
			buckets[i].Cost = c.cost
		}
		fill := func(b *testing.B) *ratelimit.Memory {
			m := newMemory(b, ratelimit.MemoryConfig{})
			var l [1]ratelimit.Level
			for i := range buckets {
				_ = m.Do(context.Background(), ratelimit.OpTake, buckets[i:i+1], l[:])
			}
			b.ReportAllocs()
			b.ResetTimer()
			return m
		}
		b.Run(c.name, func(b *testing.B) {
			m := fill(b)
			var l [1]ratelimit.Level
			for n := 0; b.Loop(); n++ {
				i := n * 7919 % c.keys
				_ = m.Do(context.Background(), ratelimit.OpTake, buckets[i:i+1], l[:])
			}
		})
		b.Run(c.name+", parallel", func(b *testing.B) {
			m := fill(b)
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				var l [1]ratelimit.Level
				for n := int(worker.Add(1)) * 104_729; pb.Next(); n++ {
					i := n * 7919 % c.keys
					_ = m.Do(context.Background(), ratelimit.OpTake, buckets[i:i+1], l[:])
				}
			})
		})
	}
}
