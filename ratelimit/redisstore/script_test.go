package redisstore_test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

const prefix = "gatehouse:"

func name(b ratelimit.Bucket) string { return redisstore.KeyName(prefix, b) }

// serverTime is the clock of Redis in microseconds.
func serverTime(t testing.TB, c redis.UniversalClient) int64 {
	t.Helper()
	now, err := c.Time(context.Background()).Result()
	require.NoError(t, err)
	return now.UnixMicro()
}

// stored reads a bucket as it lies in Redis.
func stored(t testing.TB, c redis.UniversalClient, b ratelimit.Bucket) (level, last int64) {
	t.Helper()
	text, err := c.Get(context.Background(), name(b)).Result()
	require.NoError(t, err)
	f := strings.Fields(text)
	require.Len(t, f, 6)
	level, err = strconv.ParseInt(f[1], 10, 64)
	require.NoError(t, err)
	last, err = strconv.ParseInt(f[2], 10, 64)
	require.NoError(t, err)
	return level, last
}

func put(t testing.TB, c redis.UniversalClient, b ratelimit.Bucket, level, last int64) {
	t.Helper()
	text := fmt.Sprintf("b1 %d %d %d %d %d", level, last, b.Rate, b.Period, b.Cap)
	require.NoError(t, c.Set(context.Background(), name(b), text, 0).Err())
}

// The product has 104 bits, a Lua number 53.
func TestTokensAreCarriedOverExactly(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client})
	wide := func() int64 { return 1 + rand.Int64N(1<<(1+rand.IntN(52))) }
	check := func(level, cap1, period1, cap2, period2 int64) {
		from := ratelimit.Bucket{Key: id(), Group: id(), Rate: 1, Period: period1, Cap: cap1}
		to := from
		to.Period, to.Cap = period2, cap2
		// A clock that is ahead for less than a second: nothing is refilled yet.
		put(t, client, from, level, serverTime(t, client)+900_000)
		want := big.NewInt(level)
		want.Mul(want, big.NewInt(period2))
		want.Div(want, new(big.Int).SetInt64(period1)) // Euclidean: floor, for a positive divisor
		switch top := big.NewInt(cap2); {
		case level == cap1 || want.Cmp(top) > 0:
			want = top
		case want.CmpAbs(top) > 0:
			want = top.Neg(top)
		}
		got := do(t, s, ratelimit.OpPeek, to)[0].Units
		require.Equal(t, want.Int64(), got, "%d of %d/%d to %d/%d", level, period1, cap1, period2, cap2)
	}
	const most = ratelimit.MaxUnits
	check(-most+1, most, most, most, most-1)
	check(-most+1, most, most-1, most, most)
	check(most-1, most, most, most, most-1)
	check(most-1, most, most-1, most, most)
	check(-1, most, most, most, 1)
	check(1, most, 1, most, most)
	for range 3000 {
		cap1, cap2 := wide(), wide()
		check(rand.Int64N(2*cap1+1)-cap1, cap1, 1+rand.Int64N(cap1), cap2, 1+rand.Int64N(cap2))
	}
}

func TestADeniedCallWritesNothing(t *testing.T) {
	master := redistest.Start(t, "--repl-ping-replica-period", "3600", "--repl-diskless-sync-delay", "0")
	_, port, _ := strings.Cut(master.Addr, ":")
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+port)
	client := master.Client()
	require.Eventually(t, func() bool { return info(t, replica.Client(), "master_link_status") == "up" }, 20*time.Second, 10*time.Millisecond)

	s := open(t, redisstore.Config{Client: client, MaxStale: -1})
	drained := bucket(1, day)
	full := drained
	full.Key = id()
	place := ratelimit.Bucket{Key: id(), Group: drained.Group, Period: day, Cap: 1, Cost: 1, Lease: id()}
	require.True(t, do(t, s, ratelimit.OpTake, drained, place)[0].OK)
	other := place
	other.Lease = id()
	free := drained
	free.Cost = 0

	before := info(t, client, "master_repl_offset")
	for range 3 {
		require.False(t, do(t, s, ratelimit.OpTake, full, drained)[1].OK)
		require.False(t, do(t, s, ratelimit.OpTake, full, other)[1].OK)
		require.True(t, do(t, s, ratelimit.OpTake, free)[0].OK)
		do(t, s, ratelimit.OpPeek, drained, place, full)
		do(t, s, ratelimit.OpCredit, full)
		do(t, s, ratelimit.OpReset, full)
	}
	require.Equal(t, before, info(t, client, "master_repl_offset"))
	do(t, s, ratelimit.OpTake, full)
	require.NotEqual(t, before, info(t, client, "master_repl_offset"), "the measure works")
}

// info is a field of INFO.
func info(t testing.TB, c redis.UniversalClient, field string) string {
	t.Helper()
	text, err := c.Info(context.Background(), "everything").Result()
	require.NoError(t, err)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

// scripts counts the script calls that a server has had.
func scripts(t testing.TB, c redis.UniversalClient) (n int) {
	t.Helper()
	for _, name := range []string{"cmdstat_evalsha", "cmdstat_eval"} {
		calls, _, _ := strings.Cut(strings.TrimPrefix(info(t, c, name), "calls="), ",")
		i, _ := strconv.Atoi(calls)
		n += i
	}
	return n
}

func TestADecisionIsOneScriptCallForAllItsLimits(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client})
	a, b := bucket(10, day), bucket(10, day)
	do(t, s, ratelimit.OpTake, a) // the script is known from here on
	before := scripts(t, client)
	c := bucket(10, day)
	c.Group = a.Group
	do(t, s, ratelimit.OpTake, a, b, c)
	require.Equal(t, 1, scripts(t, client)-before)
}

func TestAKeyLivesUntilItsBucketIsFull(t *testing.T) {
	ctx := context.Background()
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client})
	b := bucket(10, 10*second)
	do(t, s, ratelimit.OpTake, b)
	require.InDelta(t, time.Second, client.PTTL(ctx, name(b)).Val(), float64(500*time.Millisecond))
	b.Cost = b.Cap
	do(t, s, ratelimit.OpCharge, b)
	require.InDelta(t, 11*time.Second, client.PTTL(ctx, name(b)).Val(), float64(500*time.Millisecond))
	b.Cost = 2 * b.Cap
	do(t, s, ratelimit.OpCredit, b)
	require.Zero(t, client.Exists(ctx, name(b)).Val(), "a full bucket needs no key")

	debt := bucket(1, ratelimit.MaxUnits) // 142 years for a token
	debt.Cost = 2 * debt.Cap
	do(t, s, ratelimit.OpCharge, debt)
	require.Greater(t, client.PTTL(ctx, name(debt)).Val(), 280*365*24*time.Hour)

	place := ratelimit.Bucket{Key: id(), Group: id(), Period: 2 * second, Cap: 3, Cost: 1, Lease: id()}
	do(t, s, ratelimit.OpTake, place)
	require.InDelta(t, 2*time.Second, client.PTTL(ctx, name(place)).Val(), float64(500*time.Millisecond))
	long := place
	long.Lease, long.Period = id(), 60*second
	do(t, s, ratelimit.OpTake, long)
	do(t, s, ratelimit.OpCharge, place)
	require.Greater(t, client.PTTL(ctx, name(place)).Val(), 50*time.Second, "the longest lease counts")
	do(t, s, ratelimit.OpCredit, place)
	do(t, s, ratelimit.OpCredit, long)
	require.Zero(t, client.DBSize(ctx).Val()-1, "only the debt is left")
}

func TestForeignValuesAreReportedAndLeftAlone(t *testing.T) {
	ctx := context.Background()
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: -1})
	now := serverTime(t, client)
	values := []string{
		"", "hello", "b1", "b2 0 1 1 1 1", "b1 0 1 1 1 1 ", "b1 0 1 0 1 1", "b1 2 1 1 1 1", "b1 -2 1 1 1 1", "b1 0 1 1 0 1",
		fmt.Sprintf("b1 0 %d 1 1 9999999999999999", now), "b1 0 99999999999999999999 1 1 1", "b1 1e1 1 1 1 20", "b1 0x1 1 1 1 20",
	}
	ops := []ratelimit.Op{ratelimit.OpTake, ratelimit.OpPeek, ratelimit.OpCharge, ratelimit.OpCredit, ratelimit.OpReset}
	for _, value := range values {
		b := bucket(3, day)
		require.NoError(t, client.Set(ctx, name(b), value, 0).Err())
		for _, op := range ops {
			good := bucket(3, day)
			err := s.Do(ctx, op, []ratelimit.Bucket{good, b}, make([]ratelimit.Level, 2))
			require.ErrorIs(t, err, redisstore.ErrForeign, "%d of %q", op, value)
			require.ErrorContains(t, err, name(b))
			require.Equal(t, good.Cap, do(t, s, ratelimit.OpPeek, good)[0].Units, "the other is not charged")
		}
		require.Equal(t, value, client.Get(ctx, name(b)).Val())
	}
	for _, token := range []bool{true, false} {
		b := bucket(3, day)
		if !token {
			b.Rate, b.Cap = 0, 3
			require.NoError(t, client.Set(ctx, name(b), "x", 0).Err())
		} else {
			require.NoError(t, client.RPush(ctx, name(b), "x").Err())
		}
		for _, op := range ops {
			if !token && op != ratelimit.OpPeek && op != ratelimit.OpReset {
				b.Lease = id()
			}
			require.ErrorIs(t, s.Do(ctx, op, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1)), redisstore.ErrForeign)
		}
		require.EqualValues(t, 1, client.Exists(ctx, name(b)).Val())
	}
}

func TestAForeignKeyDoesNotHarmCallsOfTheSameTrip(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	defer client.Close()
	s := open(t, redisstore.Config{Client: client})
	bad := bucket(1000, day)
	require.NoError(t, client.RPush(ctx, name(bad), "x").Err())
	proxy.Delay.Store(int64(20 * time.Millisecond)) // so that calls gather
	together(200, func(i int) {
		b := bucket(10, day)
		if i%2 == 0 {
			b = bad
		}
		err := s.Do(ctx, ratelimit.OpTake, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1))
		if i%2 == 0 != (err != nil) {
			t.Errorf("call %d: %v", i, err)
		}
	})
}

// After a failover to a server whose clock is behind, the state is from the
// future. That must not lock a client out for the difference.
func TestAStateFromTheFutureHeals(t *testing.T) {
	client := redistest.Start(t).Client()
	s := open(t, redisstore.Config{Client: client, MaxStale: -1})
	b := bucket(100, second)
	put(t, client, b, 0, serverTime(t, client)+3600*second)
	require.False(t, do(t, s, ratelimit.OpTake, b)[0].OK)
	_, last := stored(t, client, b)
	require.Less(t, last, serverTime(t, client)+second)
	require.Eventually(t, func() bool { return do(t, s, ratelimit.OpTake, b)[0].OK }, 5*time.Second, 5*time.Millisecond)

	// A small step backwards stands still instead: nothing is refilled twice.
	b = bucket(100, second)
	ahead := serverTime(t, client) + 500_000
	put(t, client, b, b.Period, ahead)
	require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK)
	_, last = stored(t, client, b)
	require.Equal(t, ahead, last)
}

func TestSlotsAreThoseOfRedis(t *testing.T) {
	client := redistest.Start(t, "--cluster-enabled", "yes").Client()
	for range 200 {
		b := bucket(1, second)
		slot, err := client.ClusterKeySlot(context.Background(), name(b)).Result()
		require.NoError(t, err)
		require.EqualValues(t, slot, redisstore.SlotOf(b.Group))
	}
}
