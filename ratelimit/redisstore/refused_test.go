package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// ask is one OpTake, with the answer as it comes.
func ask(s *redisstore.Store, b ratelimit.Bucket) (ratelimit.Level, error) {
	var levels [1]ratelimit.Level
	err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, levels[:])
	return levels[0], err
}

func TestAServerThatIsStillLoadingIsUsedWhenItHasLoaded(t *testing.T) {
	t.Parallel()
	// Half a millisecond for each of 4000 keys; in between it answers LOADING.
	server := redistest.Start(t, "--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
	client := server.Client()
	s := open(t, redisstore.Config{Client: client, Timeout: 200 * time.Millisecond, MaxStale: -1})
	drained := bucket(1, day)
	do(t, s, ratelimit.OpTake, drained)
	pipe := client.Pipeline()
	for i := range 4000 {
		pipe.Set(t.Context(), fmt.Sprint("filler", i), "x", 0)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	require.NoError(t, client.Save(t.Context()).Err())
	server.Kill()
	server.Restart()

	_, err = ask(s, drained)
	require.Error(t, err)
	require.ErrorContains(t, client.Get(t.Context(), "filler0").Err(), "LOADING", "it is still loading")
	require.Eventually(t, func() bool { _, err = ask(s, drained); return err == nil }, 30*time.Second, 5*time.Millisecond)
	level, err := ask(s, drained)
	require.NoError(t, err)
	require.False(t, level.OK, "what it has loaded is still spent")
}

func TestTooFewReplicasIsAnErrorThatChargesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, redisstore.Config{Client: client, Timeout: 200 * time.Millisecond})
	b := bucket(3, day)
	require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK)
	require.NoError(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err())
	for range 5 {
		_, err := ask(s, b)
		require.ErrorContains(t, err, "NOREPLICAS")
	}
	require.NoError(t, client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err())
	for i := range 3 {
		level, err := ask(s, b)
		require.NoError(t, err)
		require.Equal(t, i < 2, level.OK, "two of three were left")
	}
}

func TestAPartedNetworkCostsNobodyMoreThanTheBudgetAndHeals(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { _ = client.Close() })
	s := open(t, redisstore.Config{Client: client, Timeout: 50 * time.Millisecond})
	b := bucket(1000, day)
	require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK)
	l := startLoad(s, 16)
	l.grows(t, 20*time.Second)

	proxy.DropRequests.Store(true)
	proxy.DropReplies.Store(true)
	require.Eventually(t, func() bool { _, err := ask(s, b); return err != nil }, 20*time.Second, time.Millisecond)
	good := l.good.Load()
	time.Sleep(time.Second)
	require.Equal(t, good, l.good.Load(), "nothing arrives")
	failed := 0
	for range 100 {
		if _, err := ask(s, b); err != nil {
			failed++
		}
	}
	require.Equal(t, 100, failed)

	proxy.DropRequests.Store(false)
	proxy.DropReplies.Store(false)
	l.grows(t, 20*time.Second)
	l.end()
	require.Less(t, time.Duration(l.worst.Load()), 50*time.Millisecond+slack)
	level, err := ask(s, b)
	require.NoError(t, err)
	require.True(t, level.OK)
	require.GreaterOrEqual(t, level.Units/b.Period, int64(1000-2-2), "of what was sent in vain, at most a probe was charged")
}
