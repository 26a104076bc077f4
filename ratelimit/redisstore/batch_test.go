package redisstore_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// together runs f in n goroutines at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-gate; f(i) })
	}
	close(gate)
	wg.Wait()
}

// slowly returns a store whose server takes its time, so that calls gather.
func slowly(t *testing.T, delay time.Duration, c redisstore.Config) (*redisstore.Store, *redistest.Proxy, *redis.Client) {
	t.Helper()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = client.Close() })
	c.Client = client
	s := open(t, c)
	do(t, s, ratelimit.OpTake, bucket(2, day), bucket(2, day)) // connected, the script known
	proxy.Delay.Store(int64(delay))
	return s, proxy, server.Client()
}

func TestTenThousandCallsOnOneKeyAreAHandfulOfTripsAndGetTheBurstExactly(t *testing.T) {
	s, _, client := slowly(t, 100*time.Millisecond, redisstore.Config{Timeout: 10 * time.Second})
	b := bucket(1234, day)
	before := scripts(t, client)
	var granted atomic.Int64
	var levels [1234]atomic.Int32
	together(10_000, func(int) {
		var l [1]ratelimit.Level
		if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, l[:]); err != nil {
			t.Error(err)
		} else if l[0].OK {
			granted.Add(1)
			levels[l[0].Units/b.Period].Add(1)
		}
	})
	require.EqualValues(t, 1234, granted.Load())
	for i := range levels {
		require.EqualValues(t, 1, levels[i].Load(), "each grant sees its own level; %d left", i)
	}
	require.LessOrEqual(t, scripts(t, client)-before, 15)
}

func TestEqualCallsWaitForTheTripThatIsOutAndShareTheNext(t *testing.T) {
	s, _, client := slowly(t, 200*time.Millisecond, redisstore.Config{Timeout: 10 * time.Second})
	b := bucket(1000, day)
	before := scripts(t, client)
	first := make(chan struct{})
	go func() {
		defer close(first)
		do(t, s, ratelimit.OpTake, b)
	}()
	time.Sleep(50 * time.Millisecond) // it is on its way
	together(100, func(int) { do(t, s, ratelimit.OpTake, b) })
	<-first
	require.Equal(t, 2, scripts(t, client)-before)
}

func TestCallsOfDifferentCostsInOneTripAreGrantedInTurn(t *testing.T) {
	s, _, client := slowly(t, 50*time.Millisecond, redisstore.Config{})
	b := bucket(1000, day)
	var spent atomic.Int64
	together(600, func(i int) {
		mine := b
		mine.Cost = b.Period * int64(1+i%7)
		var l [1]ratelimit.Level
		if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{mine}, l[:]); err != nil {
			t.Error(err)
		} else if l[0].OK {
			spent.Add(mine.Cost)
		}
	})
	level, _ := stored(t, client, b)
	require.Equal(t, b.Cap, spent.Load()+level-(level%b.Period), "what was granted is what is missing, but for the refill")
	require.Less(t, level, 7*b.Period, "nobody was denied without need")
}

func TestManyKeysShareAFewTrips(t *testing.T) {
	s, proxy, client := slowly(t, 50*time.Millisecond, redisstore.Config{})
	before, sent := scripts(t, client), proxy.Requests.Load()
	together(1000, func(int) {
		var l [2]ratelimit.Level
		err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket(2, day), bucket(2, day)}, l[:])
		if err != nil || !l[0].OK || !l[1].OK {
			t.Error(l, err)
		}
	})
	require.LessOrEqual(t, scripts(t, client)-before, 40)
	require.LessOrEqual(t, proxy.Requests.Load()-sent, int64(100))
}

// Nothing may come from nowhere, by the clock of Redis.
func TestFiveThousandGoroutinesGetBurstAndRefillExactly(t *testing.T) {
	client := redistest.Start(t).Client()
	for name, stale := range map[string]time.Duration{"with local denials": 0, "without": -1} {
		t.Run(name, func(t *testing.T) {
			a := open(t, redisstore.Config{Client: client, MaxStale: stale})
			b := open(t, redisstore.Config{Client: client, MaxStale: stale})
			exactly(t, client, bucket(2000, 4*second), 5000, 6, func(i int, key ratelimit.Bucket) (bool, error) {
				var l [1]ratelimit.Level
				err := []*redisstore.Store{a, b}[i%2].Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{key}, l[:])
				return l[0].OK, err
			})
		})
	}
}

// exactly lets n goroutines take several times each, and compares what they got
// with what was there and what the clock of Redis has added.
func exactly(t *testing.T, client redis.UniversalClient, b ratelimit.Bucket, n, times int, take func(int, ratelimit.Bucket) (bool, error)) {
	t.Helper()
	half := b // so that it is never full again, when time would be lost
	half.Cost = b.Cap / 2
	ok, err := take(0, half)
	require.NoError(t, err)
	require.True(t, ok)
	_, began := stored(t, client, b)
	var granted atomic.Int64
	granted.Add(half.Cost / b.Period)
	together(n, func(i int) {
		for range times {
			ok, err := take(i, b)
			if err != nil {
				t.Error(err)
			}
			if ok {
				granted.Add(1)
			}
		}
	})
	level, ended := stored(t, client, b)
	require.Equal(t, b.Cap+b.Rate*(ended-began), granted.Load()*b.Period+level)
	require.GreaterOrEqual(t, granted.Load(), b.Cap/b.Period)
}
