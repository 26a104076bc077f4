package redisstore_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// Each principal has two limits, whose keys are on two nodes for a moment while
// their slot moves.
func TestAReshardUnderLoadLosesNoCallAndGrantsExactly(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	s := open(t, redisstore.Config{Client: cluster.Client()})
	const principals, burst = 12, 400
	keys := make([][]ratelimit.Bucket, principals)
	var granted [principals]atomic.Int64
	for i := range keys {
		wide, narrow := bucket(10*burst, 100*day), bucket(burst, 100*day)
		wide.Group = narrow.Group
		keys[i] = []ratelimit.Bucket{wide, narrow}
	}
	done := make(chan error, 1)
	go func() {
		done <- func() error {
			for round := range 3 {
				for i := range keys {
					to := cluster.Nodes[(i+round)%3]
					slot := redisstore.SlotOf(keys[i][0].Group)
					if cluster.Owner(slot) == to {
						continue
					}
					err := cluster.Move(slot, to, func() { time.Sleep(5 * time.Millisecond) })
					if err != nil {
						return err
					}
				}
			}
			return nil
		}()
	}()
	together(36, func(i int) {
		levels := make([]ratelimit.Level, 2)
		for range 50 {
			if err := s.Do(context.Background(), ratelimit.OpTake, keys[i%principals], levels); err != nil {
				t.Error(err)
			}
			if levels[0].OK && levels[1].OK {
				granted[i%principals].Add(1)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	require.NoError(t, <-done)
	for _, kind := range []string{"MOVED", "ASK", "TRYAGAIN"} {
		var replies []string
		for _, node := range cluster.Nodes {
			replies = append(replies, info(t, node.Client(), "errorstat_"+kind))
		}
		require.NotEmpty(t, strings.Join(replies, ""), "the test has seen no %s", kind)
	}
	for i := range keys {
		require.EqualValues(t, 150, granted[i].Load())
		level := do(t, s, ratelimit.OpPeek, keys[i]...)
		require.EqualValues(t, burst-150, level[1].Units/keys[i][1].Period, "each was charged once")
		require.EqualValues(t, 10*burst-150, level[0].Units/keys[i][0].Period)
	}
}

func TestGroupsOnSeveralNodesAreChargedAllOrNone(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	for name, client := range map[string]redis.UniversalClient{"cluster": cluster.Client(), "single": redistest.Start(t).Client()} {
		t.Run(name, func(t *testing.T) {
			s := open(t, redisstore.Config{Client: client, MaxStale: -1})
			for range 20 {
				a, b, drained := bucket(10, day), bucket(10, day), bucket(1, day)
				place := ratelimit.Bucket{Key: id(), Group: id(), Period: day, Cap: 3, Cost: 1, Lease: id()}
				old := place
				old.Key, old.Lease = id(), id()
				do(t, s, ratelimit.OpTake, drained)
				do(t, s, ratelimit.OpTake, old)

				l := do(t, s, ratelimit.OpTake, a, drained, place, b, old)
				require.False(t, l[1].OK)
				require.EqualValues(t, 10, l[0].Units/a.Period, "the level as it stands")
				require.EqualValues(t, 3, l[2].Units)
				require.EqualValues(t, 2, l[4].Units)
				require.Equal(t, a.Cap, do(t, s, ratelimit.OpPeek, a)[0].Units, "given back")
				require.Equal(t, b.Cap, do(t, s, ratelimit.OpPeek, b)[0].Units)
				require.False(t, do(t, s, ratelimit.OpCredit, place)[0].OK, "no lease was added")
				require.True(t, do(t, s, ratelimit.OpCredit, old)[0].OK, "the one that was there still is")

				l = do(t, s, ratelimit.OpTake, a, place, b)
				require.True(t, l[0].OK && l[1].OK && l[2].OK)
				require.EqualValues(t, 9, l[0].Units/a.Period)
			}
		})
	}
}

func TestManyGroupsAtOnceAdmitNoMoreThanTheNarrowest(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	s := open(t, redisstore.Config{Client: cluster.Client()})
	narrow := bucket(50, day)
	var granted atomic.Int64
	together(300, func(int) {
		wide := bucket(5, day)
		l := make([]ratelimit.Level, 2)
		if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{wide, narrow}, l); err != nil {
			t.Error(err)
		}
		if l[0].OK && l[1].OK {
			granted.Add(1)
		}
	})
	require.EqualValues(t, 50, granted.Load())
}

func TestANodeThatIsAwayDoesNotTakeTheOthersAlong(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	s := open(t, redisstore.Config{Client: cluster.Client(), Timeout: 100 * time.Millisecond})
	ctx := context.Background()
	levels := make([]ratelimit.Level, 1)
	// Well inside a node's range of slots, away from the lanes that two share.
	at := func(from, to int) []ratelimit.Bucket {
		for {
			if b := bucket(1_000_000, day); redisstore.SlotOf(b.Group) >= from && redisstore.SlotOf(b.Group) < to {
				return []ratelimit.Bucket{b}
			}
		}
	}
	first, last := at(1024, 4096), at(12*1024, 15*1024)
	for _, b := range [][]ratelimit.Bucket{first, last} {
		require.Eventually(t, func() bool { return s.Do(ctx, ratelimit.OpTake, b, levels) == nil }, 10*time.Second, 10*time.Millisecond)
	}
	cluster.Nodes[0].Freeze()
	failed, good := 0, 0
	for range 300 {
		if s.Do(ctx, ratelimit.OpTake, first, levels) != nil {
			failed++
		}
		if s.Do(ctx, ratelimit.OpTake, last, levels) == nil {
			good++
		}
		time.Sleep(time.Millisecond)
	}
	require.Equal(t, 300, failed)
	require.Greater(t, good, 200)
	cluster.Nodes[0].Thaw()
	require.Eventually(t, func() bool { return s.Do(ctx, ratelimit.OpTake, first, levels) == nil }, 30*time.Second, 10*time.Millisecond)
}
