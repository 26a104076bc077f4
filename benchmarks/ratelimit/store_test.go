package ratelimitbench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/didip/tollbooth/v8"
	"github.com/didip/tollbooth/v8/limiter"
	"github.com/go-chi/httprate"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	throttledmem "github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululemem "github.com/ulule/limiter/v3/drivers/store/memory"
	"golang.org/x/time/rate"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// The limit of all benchmarks: 1000 a day, so that nothing refills meanwhile, and
// a burst that none of them exhausts.
const (
	perDay = 1000
	burst  = 40_000_000
)

// pick returns a function that walks through n keys in an order that looks random.
func pick(n int) func() int {
	var next atomic.Uint64
	return func() int { return int(next.Add(1) * 0x9e3779b97f4a7c15 >> 33 % uint64(n)) }
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	return out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func bare() contestant {
	l := rate.NewLimiter(perDay/86400.0, burst)
	return contestant{"one rate.Limiter", func(n int) {
		for range n {
			l.Allow()
		}
	}}
}

func buckets(keys []string, cost int64) []ratelimit.Bucket {
	out := make([]ratelimit.Bucket, len(keys))
	for i, k := range keys {
		sum := sha256.Sum256([]byte(k))
		out[i] = ratelimit.Bucket{
			Key: [16]byte(sum[:16]), Group: [16]byte(sum[16:]),
			Rate: 1, Period: 86_400_000, Cap: 86_400_000 * burst, Cost: cost * 86_400_000,
		}
	}
	return out
}

// ours is given 16 bytes as the peers are given strings: the Middleware hashes
// neither twice.
func ours(keys []string, cost int64) contestant {
	m := must(ratelimit.NewMemory(ratelimit.MemoryConfig{}))
	all, next := buckets(keys, cost), pick(len(keys))
	ids := make([][16]byte, len(all))
	for i := range all {
		ids[i] = all[i].Key
	}
	one := all[0]
	return contestant{"gatehouse Memory", func(n int) {
		var level [1]ratelimit.Level
		b := [1]ratelimit.Bucket{one}
		for range n {
			b[0].Key = ids[next()]
			b[0].Group = b[0].Key
			_ = m.Do(context.Background(), ratelimit.OpTake, b[:], level[:])
		}
	}}
}

// mapAndMutex is what one writes first.
func mapAndMutex(keys []string) contestant {
	var mu sync.Mutex
	m := make(map[string]*rate.Limiter)
	next := pick(len(keys))
	return contestant{"map, mutex, *rate.Limiter", func(n int) {
		for range n {
			k := keys[next()]
			mu.Lock()
			l := m[k]
			if l == nil {
				l = rate.NewLimiter(perDay/86400.0, burst)
				m[k] = l
			}
			mu.Unlock()
			l.Allow()
		}
	}}
}

// sharded is what one writes second.
func sharded(keys []string) contestant {
	var s shards
	next := pick(len(keys))
	return contestant{"64 maps, mutexes, *rate.Limiter", func(n int) {
		for range n {
			s.take(keys[next()])
		}
	}}
}

type shards struct {
	once sync.Once
	seed maphash.Seed
	all  [64]struct {
		mu sync.Mutex
		m  map[string]*rate.Limiter
	}
}

func (s *shards) take(k string) (ok bool, tokens float64) {
	s.once.Do(func() {
		s.seed = maphash.MakeSeed()
		for i := range s.all {
			s.all[i].m = make(map[string]*rate.Limiter)
		}
	})
	sh := &s.all[maphash.String(s.seed, k)%64]
	now := time.Now()
	sh.mu.Lock()
	l := sh.m[k]
	if l == nil {
		l = rate.NewLimiter(perDay/86400.0, burst)
		sh.m[k] = l
	}
	ok, tokens = l.AllowN(now, 1), l.TokensAt(now)
	sh.mu.Unlock()
	return ok, tokens
}

func peers(keys []string) []contestant {
	each := func(name string, take func(k string)) contestant {
		next := pick(len(keys))
		return contestant{name, func(n int) {
			for range n {
				take(keys[next()])
			}
		}}
	}
	ctx := context.Background()
	golimiter := must(memorystore.New(&memorystore.Config{Tokens: burst, Interval: 24 * time.Hour}))
	ul := ulule.New(ululemem.NewStore(), ulule.Rate{Period: 24 * time.Hour, Limit: burst})
	tm := must(throttledmem.NewCtx(0))
	th := must(throttled.NewGCRARateLimiterCtx(tm, throttled.RateQuota{MaxRate: throttled.PerDay(perDay), MaxBurst: burst}))
	tb := tollbooth.NewLimiter(perDay/86400.0, &limiter.ExpirableOptions{DefaultExpirationTTL: time.Hour}).SetBurst(burst)
	hr := httprate.NewRateLimiter(burst, 24*time.Hour)
	return []contestant{
		each("sethvargo/go-limiter", func(k string) { _, _, _, _, _ = golimiter.Take(ctx, k) }),
		each("ulule/limiter", func(k string) { _, _ = ul.Get(ctx, k) }),
		each("throttled (GCRA)", func(k string) { _, _, _ = th.RateLimitCtx(ctx, k, 1) }),
		each("didip/tollbooth", func(k string) { tb.LimitReached(k) }),
		each("go-chi/httprate", func(k string) {
			_ = hr.Counter().IncrementBy(k, time.Now().UTC().Truncate(24*time.Hour), 1)
			_, _, _ = hr.Status(k)
		}),
	}
}

func BenchmarkOneHotKey(b *testing.B) {
	keys := names(1)
	all := append([]contestant{bare(), ours(keys, 1), mapAndMutex(keys), sharded(keys)}, peers(keys)...)
	b.Run("serial", func(b *testing.B) { sideBySide(b, 500, all) })
	b.Run("two cores", func(b *testing.B) { sideBySide(b, 500, onTwoCores(all)) })
}

func BenchmarkDeniedKey(b *testing.B) {
	l := rate.NewLimiter(0, 0)
	sideBySide(b, 500, []contestant{
		{"one rate.Limiter, denying", func(n int) {
			for range n {
				l.Allow()
			}
		}},
		ours(names(1), burst+1),
	})
}

func BenchmarkHundredThousandRandomKeys(b *testing.B) {
	keys := names(100_000)
	all := append([]contestant{bare(), ours(keys, 1), mapAndMutex(keys), sharded(keys)}, peers(keys)...)
	for _, c := range all {
		c.run(300_000) // fill
	}
	b.Run("serial", func(b *testing.B) { sideBySide(b, 20_000, all) })
	b.Run("two cores", func(b *testing.B) { sideBySide(b, 20_000, onTwoCores(all)) })
}

// BenchmarkBytesPerKey tells what a million keys of one limit cost. It measures
// once, whatever b.N.
func BenchmarkBytesPerKey(b *testing.B) {
	const n = 1_000_000
	keys := names(n)
	all := buckets(keys, 1)
	measure := func(name string, f func() any) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		kept := f()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.Logf("%-34s %6.1f bytes/key", name, float64(after.HeapAlloc-before.HeapAlloc)/n)
		runtime.KeepAlive(kept)
	}
	ctx := context.Background()
	measure("gatehouse Memory", func() any {
		m := must(ratelimit.NewMemory(ratelimit.MemoryConfig{}))
		var level [1]ratelimit.Level
		for i := range all {
			_ = m.Do(ctx, ratelimit.OpTake, all[i:i+1], level[:])
		}
		if m.Stats().Keys != n {
			b.Fatal(m.Stats())
		}
		return m
	})
	measure("map, mutex, *rate.Limiter", func() any {
		m := make(map[string]*rate.Limiter)
		for _, k := range keys {
			m[k] = rate.NewLimiter(1, 1)
		}
		return m
	})
	measure("sethvargo/go-limiter", func() any {
		m := must(memorystore.New(&memorystore.Config{Tokens: burst, Interval: 24 * time.Hour}))
		for _, k := range keys {
			_, _, _, _, _ = m.Take(ctx, k)
		}
		return m
	})
	measure("ulule/limiter", func() any {
		m := ulule.New(ululemem.NewStore(), ulule.Rate{Period: 24 * time.Hour, Limit: burst})
		for _, k := range keys {
			_, _ = m.Get(ctx, k)
		}
		return m
	})
	runtime.KeepAlive(all)
	b.ReportMetric(0, "ns/op")
}
