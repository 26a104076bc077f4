package redisstore_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

func TestADrainedKeyIsDeniedWithoutATripForEveryCost(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: time.Minute})
	b := bucket(5, day)
	most := b
	most.Cost = 3 * b.Period
	require.True(t, do(t, s, ratelimit.OpTake, most)[0].OK)
	before := scripts(t, client)
	for range 10 {
		l := do(t, s, ratelimit.OpTake, most)[0]
		require.True(t, l.Local)
		require.False(t, l.OK)
		require.Less(t, l.Units, most.Cost)
	}
	require.Equal(t, before, scripts(t, client))
	require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK, "a smaller cost is asked for")
	free := b
	free.Cost = 0
	require.True(t, do(t, s, ratelimit.OpTake, free)[0].OK)

	other := bucket(5, day)
	l := do(t, s, ratelimit.OpTake, other, most)
	require.True(t, l[1].Local)
	require.False(t, l[1].OK)
	require.Equal(t, ratelimit.Level{Units: other.Cap, OK: true, Local: true}, l[0], "an upper bound of what is not known")
}

func TestAFloodOnADrainedKeySendsTheRefillRateAndOneCallPerMaxStale(t *testing.T) {
	t.Parallel()
	const maxStale = 200 * time.Millisecond
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: maxStale})
	for what, b := range map[string]ratelimit.Bucket{"no refill": bucket(1, day), "50 per second": bucket(50, second)} {
		start, before := time.Now(), scripts(t, client)
		var calls atomic.Int64
		together(32, func(int) {
			var l [1]ratelimit.Level
			for time.Since(start) < 900*time.Millisecond {
				calls.Add(1)
				if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, l[:]); err != nil {
					t.Error(err)
				}
			}
		})
		took := time.Since(start)
		refill := float64(b.Rate) * float64(took.Microseconds()) / float64(b.Period)
		burst := float64(b.Cap / b.Period)
		// Each grant and each look is a trip, shared by two workers.
		require.LessOrEqual(t, float64(scripts(t, client)-before), 2*(burst+refill+float64(took/maxStale)+1), what)
		require.Greater(t, calls.Load(), int64(10_000), what)
	}
}

func TestGivingBackThroughTheSameStoreEndsTheDenialAtOnce(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: time.Minute})
	for _, op := range []ratelimit.Op{ratelimit.OpCredit, ratelimit.OpReset} {
		b := bucket(2, day)
		for do(t, s, ratelimit.OpTake, b)[0].OK {
		}
		require.True(t, do(t, s, ratelimit.OpTake, b)[0].Local)
		do(t, s, op, b)
		require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK, "after operation %d", op)
	}
	b := bucket(2, day)
	for do(t, s, ratelimit.OpTake, b)[0].OK {
	}
	raised := b
	raised.Cap *= 2
	raised.Cost = 0
	do(t, s, ratelimit.OpCharge, raised)
	do(t, s, ratelimit.OpCredit, raised)
	require.False(t, do(t, s, ratelimit.OpTake, b)[0].Local, "other limits are another bound")
}

func TestGivingBackThroughAnotherStoreIsSeenAfterMaxStale(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: 300 * time.Millisecond})
	other := open(t, redisstore.Config{Client: client})
	b := bucket(2, day)
	for do(t, s, ratelimit.OpTake, b)[0].OK {
	}
	learnt := time.Now()
	do(t, other, ratelimit.OpReset, b)
	require.Eventually(t, func() bool { return do(t, s, ratelimit.OpTake, b)[0].OK }, 20*time.Second, time.Millisecond)
	require.Less(t, time.Since(learnt), 5*time.Second)
}

// Decisions with and without local denials are equal: whatever is denied locally
// would Redis have denied at that moment. The other store's look comes a little
// later, so what can have been refilled since is subtracted.
func TestALocalDenialIsNeverWrong(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: time.Minute})
	asks := open(t, redisstore.Config{Client: client, MaxStale: -1})
	limits := []ratelimit.Bucket{bucket(3, second), bucket(100, second), bucket(7, 11_000), bucket(1, day), bucket(1000, 60*second)}
	var local, granted atomic.Int64
	until := time.Now().Add(2 * time.Second)
	together(8, func(int) {
		r := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for time.Now().Before(until) {
			b := limits[r.IntN(len(limits))]
			// The grouping is the same, the principals are this goroutine's and others'.
			b.Cost = b.Period * (1 + r.Int64N(1+min(3, b.Cap/b.Period)))
			if r.IntN(20) == 0 {
				if err := asks.Do(context.Background(), ratelimit.OpCharge, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1)); err != nil {
					t.Error(err)
				}
				continue
			}
			asked := time.Now()
			var l, now [1]ratelimit.Level
			if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, l[:]); err != nil {
				t.Error(err)
			}
			if l[0].OK {
				granted.Add(1)
			}
			if !l[0].Local {
				continue
			}
			local.Add(1)
			if err := asks.Do(context.Background(), ratelimit.OpPeek, []ratelimit.Bucket{b}, now[:]); err != nil {
				t.Error(err)
			}
			since := b.Rate * (time.Since(asked).Microseconds() + 2)
			if now[0].Units-since >= b.Cost {
				t.Errorf("denied locally at %+v, but Redis had %d", l[0], now[0].Units-since)
			}
		}
	})
	require.Greater(t, local.Load(), int64(100))
	require.Greater(t, granted.Load(), int64(20))
}

func TestALocalDenialAllocatesNothing(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: time.Minute})
	buckets, levels := []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1)
	for range 3 {
		do(t, s, ratelimit.OpTake, buckets...)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = s.Do(context.Background(), ratelimit.OpTake, buckets, levels)
	}))
	require.True(t, levels[0].Local)
}
