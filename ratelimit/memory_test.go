package ratelimit_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/storetest"
)

func newMemory(t testing.TB, c ratelimit.MemoryConfig) *ratelimit.Memory {
	t.Helper()
	m, err := ratelimit.NewMemory(c)
	require.NoError(t, err)
	return m
}

func TestMemoryIsAStore(t *testing.T) {
	for name, c := range map[string]ratelimit.MemoryConfig{
		"default":                      {},
		"one shard":                    {Shards: 1, MaxKeys: 1024},
		"three shards, which are four": {Shards: 3, OnFull: ratelimit.DenyNew},
	} {
		t.Run(name, func(t *testing.T) {
			newStore := func(t *testing.T) ratelimit.Store { return newMemory(t, c) }
			storetest.RunFake(t, newStore)
		})
	}
	t.Run("real clock", func(t *testing.T) {
		t.Parallel() // it mostly sleeps
		storetest.Run(t, func(t *testing.T) ratelimit.Store { return newMemory(t, ratelimit.MemoryConfig{}) })
	})
}

// takeOf asks a store for one token of a key of its own.
func takeOf(t testing.TB, m *ratelimit.Memory, n uint64, limit ratelimit.Bucket) ratelimit.Level {
	b := [1]ratelimit.Bucket{limit}
	binary.LittleEndian.PutUint64(b[0].Key[:], n)
	b[0].Group = b[0].Key
	var l [1]ratelimit.Level
	if err := m.Do(context.Background(), ratelimit.OpTake, b[:], l[:]); err != nil {
		t.Fatal(err)
	}
	return l[0]
}

var (
	perDay    = ratelimit.Bucket{Rate: 1, Period: 86_400_000_000, Cap: 86_400_000_000, Cost: 86_400_000_000}
	perMinute = ratelimit.Bucket{Rate: 1, Period: 600_000, Cap: 100 * 600_000, Cost: 600_000}
)

// heapOf is what f leaves on the heap.
func heapOf(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func TestAMillionKeysTakeNoMoreThan140BytesEach(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a million operations")
	}
	const n = 1_000_000
	m := newMemory(t, ratelimit.MemoryConfig{})
	used := heapOf(func() {
		for i := range uint64(n) {
			if l := takeOf(t, m, i, perDay); !l.OK || l.Shared {
				t.Fatalf("key %d: %+v", i, l)
			}
		}
	})
	require.EqualValues(t, n, m.Stats().Keys)
	assert.LessOrEqual(t, float64(used)/n, 140.0, "bytes for each key")
	t.Logf("%.1f bytes for each of %d keys", float64(used)/n, n)

	more := heapOf(func() {
		for i := range uint64(n / 4) {
			takeOf(t, m, n+i, perDay)
		}
	})
	assert.Less(t, more, int64(2<<20), "bytes for those that come after")
	assert.EqualValues(t, n, m.Stats().Keys)
	runtime.KeepAlive(m)
}

func TestTenMillionAttackingKeysLeaveMemoryFlat(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("ten million operations")
	}
	m := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 10_000})
	flood := func(from, to uint64) func() {
		return func() {
			for i := from; i < to; i++ {
				takeOf(t, m, i, perDay)
			}
		}
	}
	first := heapOf(flood(0, 100_000))
	assert.Less(t, first, int64(3<<20))
	keys := uint64(1_000_000)
	if testenv.Strict() {
		keys = 10_000_000
	}
	assert.Less(t, heapOf(flood(100_000, keys)), int64(128<<10))
	assert.LessOrEqual(t, m.Stats().Keys, int64(10_000))
	runtime.KeepAlive(m)
}

func TestAFullTableSharesOverflowBucketsAndLeavesTheEstablishedAlone(t *testing.T) {
	m := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 1024})
	limit := perDay
	limit.Cap *= 2
	for i := range uint64(1024) {
		require.False(t, takeOf(t, m, i, limit).Shared)
	}
	granted := 0
	for i := range uint64(20_000) {
		l := takeOf(t, m, 5000+i, limit)
		require.True(t, l.Shared)
		if l.OK {
			granted++
		}
	}
	assert.EqualValues(t, 2*1024, granted, "1024 overflow buckets, each of a burst of 2")
	for i := range uint64(1024) {
		l := takeOf(t, m, i, limit)
		require.True(t, l.OK && !l.Shared && l.Units < limit.Cost, "established client %d has its one token left: %+v", i, l)
	}
	assert.Equal(t, ratelimit.MemoryStats{Keys: 1024, Overflowed: 20_000}, m.Stats())
}

func TestOneCallMayMeetOneOverflowBucketTwice(t *testing.T) {
	m := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 1024, Shards: 1024}) // one overflow bucket in each shard
	for i := range uint64(1024) {
		takeOf(t, m, i, perDay)
	}
	limit := perDay
	limit.Cap *= 5
	pair := []ratelimit.Bucket{limit, limit}
	pair[0].Key[15], pair[1].Key[15] = 1, 2
	levels := make([]ratelimit.Level, 2)
	for i := range 3 {
		require.NoError(t, m.Do(t.Context(), ratelimit.OpTake, pair, levels))
		assert.Equal(t, i < 2, levels[0].OK && levels[1].OK, "two of five, four of five, then one is left")
	}
	assert.True(t, levels[0].OK)
	assert.False(t, levels[1].OK)
}

func TestDenyNewRefusesNewcomersAndEvictionForgetsTheNearestToFull(t *testing.T) {
	deny := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 1024, OnFull: ratelimit.DenyNew})
	evict := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 1024, OnFull: ratelimit.EvictNearestFull, Shards: 1})
	for i := range uint64(1024) {
		takeOf(t, deny, i, perDay)
		takeOf(t, evict, i, perDay)
	}
	assert.Equal(t, ratelimit.Level{Shared: true}, takeOf(t, deny, 9999, perDay))
	assert.EqualValues(t, 1, deny.Stats().Refused)
	for i := range uint64(500) {
		assert.Equal(t, ratelimit.Level{OK: true}, takeOf(t, evict, 9999+i, perDay))
	}
	assert.Equal(t, ratelimit.MemoryStats{Keys: 1024, Evicted: 500}, evict.Stats())
}

func TestOverflowIsObserved(t *testing.T) {
	m := newMemory(t, ratelimit.MemoryConfig{MaxKeys: 1024, OnFull: ratelimit.DenyNew})
	for i := range uint64(1024) {
		takeOf(t, m, i, perDay)
	}
	var ev events
	h := newLimiter(t, ratelimit.Config{Store: m, Observe: ev.observe, Rules: []ratelimit.Rule{perIP(1)}}).Handler(ok)
	assert.Equal(t, 429, status(h, byAlice()))
	assert.Equal(t, []string{"overflow per-ip/per-ip", "deny per-ip/per-ip"}, ev.take())
}

func TestFullBucketsAreForgottenAndOthersAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, ratelimit.MemoryConfig{Shards: 4})
		for i := range uint64(10_000) {
			takeOf(t, m, i, perMinute)
		}
		drained := perMinute
		drained.Cost = drained.Cap
		for i := range uint64(100) {
			takeOf(t, m, 1<<40+i, drained)
		}
		time.Sleep(time.Second)
		for i := range uint64(400_000) { // ordinary traffic of one client for each of 64 keys
			takeOf(t, m, 1<<50+i%64, perMinute)
		}
		assert.Less(t, m.Stats().Keys, int64(300), "all but those in use are full and forgotten")
		for i := range uint64(100) {
			assert.False(t, takeOf(t, m, 1<<40+i, drained).OK, "a drained bucket is never forgotten")
		}
	})
}

func TestADecisionAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m := newMemory(t, ratelimit.MemoryConfig{})
	buckets := []ratelimit.Bucket{perMinute, perDay, perMinute}
	for i := range buckets {
		buckets[i].Key[0], buckets[i].Group[0] = byte(i+1), byte(i/2)
	}
	levels := make([]ratelimit.Level, 3)
	for _, n := range []int{1, 2, 3} {
		assert.Zero(t, testing.AllocsPerRun(1000, func() { _ = m.Do(context.Background(), ratelimit.OpTake, buckets[:n], levels[:n]) }), "%d buckets", n)
	}
}

func TestAClockThatStandsOrGoesBackCreditsNothing(t *testing.T) {
	// Many goroutines read the time before they queue for the lock, so a shard
	// sees times out of order; the Limiter alone would credit a span twice.
	m := newMemory(t, ratelimit.MemoryConfig{Shards: 1})
	fast := ratelimit.Bucket{Rate: 1, Period: 1000, Cap: 1000, Cost: 1000} // 1000 a second
	var granted atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for time.Since(start) < 200*time.Millisecond {
				if takeOf(t, m, 1, fast).OK {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, granted.Load(), 1+time.Since(start).Milliseconds())
}

// What the memory store relies on in golang.org/x/time/rate, pinned.
func TestTheLimiterDoesWhatTheStoreReliesOn(t *testing.T) {
	at := func(micros int64) time.Time { return time.Unix(micros/512, micros%512*1_953_125).UTC() }
	var l rate.Limiter
	l.SetBurstAt(at(0), 1<<53)
	l.SetLimitAt(at(0), 512*3)
	assert.Zero(t, l.TokensAt(at(0)), "a zero Limiter is empty")
	assert.True(t, l.AllowN(at(0), -5), "a negative number is given")
	assert.Equal(t, 5.0, l.TokensAt(at(0)))
	for _, micros := range []int64{1, 7, 511, 512, 513, 86_400_000_000, 2_332_800_000_001} {
		assert.Equal(t, float64(5+3*micros), l.TokensAt(at(micros)), "exactly 3 units for each of %d microseconds", micros)
	}
	assert.True(t, l.AllowN(at(10), 35))
	assert.Zero(t, l.TokensAt(at(10)))
	l.AllowN(at(10), -(1 << 53))
	l.AllowN(at(10), -(1 << 53))
	assert.Equal(t, float64(1<<53), l.TokensAt(at(10)), "clamped to the burst")
}
