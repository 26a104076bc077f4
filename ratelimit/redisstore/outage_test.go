package redisstore_test

import (
	"context"
	"errors"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

func TestMain(m *testing.M) {
	logging.Disable() // the client tells of every connection that these tests break
	m.Run()
}

// slack is what a busy machine may add to a Timeout before a goroutine runs.
const slack = time.Second

// A load is goroutines that take from keys of their own, each answer timed.
type load struct {
	stop  chan struct{}
	wg    sync.WaitGroup
	worst atomic.Int64
	good  atomic.Int64
	quick atomic.Int64 // ErrUnavailable
	late  atomic.Int64 // ErrTimeout
	other atomic.Int64
	last  atomic.Value // of the other errors
}

func startLoad(s *redisstore.Store, n int) *load {
	l := &load{stop: make(chan struct{})}
	for range n {
		l.wg.Go(func() {
			b := bucket(1_000_000, day)
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				began := time.Now()
				err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1))
				took := int64(time.Since(began))
				for w := l.worst.Load(); took > w && !l.worst.CompareAndSwap(w, took); w = l.worst.Load() {
				}
				l.count(err)
				if err != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return l
}

func (l *load) count(err error) {
	switch {
	case err == nil:
		l.good.Add(1)
	case errors.Is(err, redisstore.ErrUnavailable):
		l.quick.Add(1)
	case errors.Is(err, redisstore.ErrTimeout):
		l.late.Add(1)
	default:
		l.other.Add(1)
		l.last.Store(err.Error())
	}
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

// grows waits until some calls more are answered well.
func (l *load) grows(t *testing.T, within time.Duration) {
	t.Helper()
	from := l.good.Load()
	require.Eventually(t, func() bool { return l.good.Load() > from+100 }, within, time.Millisecond)
}

func TestAFrozenServerCostsNobodyMoreThanTheBudget(t *testing.T) {
	t.Parallel()
	frozen := 5 * time.Second
	if testing.Short() {
		frozen = time.Second
	}
	server := redistest.Start(t)
	s := open(t, redisstore.Config{Client: server.Client(), Timeout: 25 * time.Millisecond})
	l := startLoad(s, 64)
	l.grows(t, 20*time.Second)
	server.Freeze()
	time.Sleep(200 * time.Millisecond)
	quick, late, good := l.quick.Load(), l.late.Load(), l.good.Load()
	time.Sleep(frozen)
	require.Equal(t, good, l.good.Load(), "it is frozen")
	require.Greater(t, l.quick.Load()-quick, int64(1000), "most are told at once")
	require.Less(t, l.late.Load()-late, int64(40), "one at a time finds out")
	server.Thaw()
	l.grows(t, 20*time.Second)
	l.end()
	require.Less(t, time.Duration(l.worst.Load()), 25*time.Millisecond+slack)
}

func TestAServerThatIsKilledAndStartedAgainIsUsedAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, redisstore.Config{Client: server.Client(), Timeout: 100 * time.Millisecond})
	drained := bucket(1, day)
	do(t, s, ratelimit.OpTake, drained)
	l := startLoad(s, 16)
	l.grows(t, 20*time.Second)
	server.Kill()
	time.Sleep(500 * time.Millisecond)
	server.Restart()
	l.grows(t, 20*time.Second)
	l.end()
	require.Less(t, time.Duration(l.worst.Load()), 100*time.Millisecond+slack)
	require.Eventually(t, func() bool { // its data is gone, and the script
		levels := make([]ratelimit.Level, 1)
		return s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{drained}, levels) == nil && levels[0].OK
	}, 20*time.Second, 10*time.Millisecond)
}

func TestAFlushedScriptIsSentAgainUnderLoad(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, redisstore.Config{Client: client})
	exactly(t, client, bucket(1000, 4*second), 200, 50, func(i int, b ratelimit.Bucket) (bool, error) {
		if i%20 == 0 {
			if err := client.ScriptFlush(context.Background()).Err(); err != nil {
				return false, err
			}
		}
		var l [1]ratelimit.Level
		err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, l[:])
		return l[0].OK, err
	})
}

// The client's own retries would charge again.
func TestALostReplyChargesAtMostOnce(t *testing.T) {
	t.Parallel()
	for _, fail := range []string{"dropped", "cut"} {
		t.Run(fail, func(t *testing.T) {
			t.Parallel()
			s, proxy, client := slowly(t, 0, redisstore.Config{Timeout: 200 * time.Millisecond, MaxStale: -1})
			for range 2 {
				b := bucket(10, day)
				proxy.DropReplies.Store(fail == "dropped")
				proxy.CutReplies.Store(fail == "cut")
				err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1))
				require.Error(t, err)
				time.Sleep(1500 * time.Millisecond) // the trip is given up after a second
				proxy.DropReplies.Store(false)
				proxy.CutReplies.Store(false)
				proxy.CutAll()
				level, _ := stored(t, client, b)
				require.EqualValues(t, 9, level/b.Period)
				require.Eventually(t, func() bool {
					levels := make([]ratelimit.Level, 1)
					return s.Do(context.Background(), ratelimit.OpPeek, []ratelimit.Bucket{b}, levels) == nil && levels[0].Units/b.Period == 9
				}, 20*time.Second, 10*time.Millisecond)
			}
		})
	}
}

func TestWhoGaveUpInTheQueueIsNotCharged(t *testing.T) {
	t.Parallel()
	s, proxy, client := slowly(t, 0, redisstore.Config{Timeout: 10 * time.Second})
	ctx := context.Background()
	proxy.Delay.Store(int64(300 * time.Millisecond))
	var wg sync.WaitGroup
	for range 2 { // both workers are out
		wg.Go(func() { do(t, s, ratelimit.OpTake, bucket(1, day)) })
		time.Sleep(50 * time.Millisecond)
	}
	b := bucket(10, day)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	err := s.Do(short, ratelimit.OpTake, []ratelimit.Bucket{b}, make([]ratelimit.Level, 1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	wg.Wait()
	proxy.Delay.Store(0)
	do(t, s, ratelimit.OpTake, bucket(1, day))
	require.Zero(t, client.Exists(ctx, name(b)).Val())
}

func TestACancelledCallIsNoOutage(t *testing.T) {
	s, proxy, _ := slowly(t, 0, redisstore.Config{})
	for range 20 {
		proxy.Delay.Store(int64(30 * time.Millisecond))
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		err := s.Do(ctx, ratelimit.OpTake, []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1))
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		proxy.Delay.Store(0)
		require.True(t, do(t, s, ratelimit.OpTake, bucket(1, day))[0].OK)
	}
}

func TestASlowConnectionIsMadeInTheBackground(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	proxy.Delay.Store(int64(100 * time.Millisecond)) // of every step of the handshake
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	defer client.Close()
	s := open(t, redisstore.Config{Client: client, Timeout: 25 * time.Millisecond})
	began := time.Now()
	err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1))
	require.ErrorIs(t, err, redisstore.ErrTimeout)
	require.Less(t, time.Since(began), 25*time.Millisecond+slack)
	time.Sleep(700 * time.Millisecond)
	proxy.Delay.Store(0)
	require.Eventually(t, func() bool {
		return s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1)) == nil
	}, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, proxy.Accepted.Load(), int64(4))
}

func TestCloseEndsEveryGoroutineAndAnswersThoseWhoWait(t *testing.T) {
	s, proxy, _ := slowly(t, 0, redisstore.Config{Timeout: 5 * time.Second})
	proxy.Delay.Store(int64(500 * time.Millisecond))
	errs := make(chan error, 50)
	for i := range 50 {
		if i == 1 || i == 31 { // the first alone is a trip, thirty are another, the rest has to wait
			time.Sleep(50 * time.Millisecond)
		}
		go func() {
			errs <- s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1))
		}()
	}
	time.Sleep(50 * time.Millisecond)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	closed := 0
	for range 50 {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, redisstore.ErrClosed)
			closed++
		}
	}
	require.Positive(t, closed)
	err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket(1, day)}, make([]ratelimit.Level, 1))
	require.ErrorIs(t, err, redisstore.ErrClosed)
	require.Eventually(t, func() bool { // a goroutine that is about to end may still be listed
		var stacks strings.Builder
		require.NoError(t, pprof.Lookup("goroutine").WriteTo(&stacks, 2))
		return !strings.Contains(stacks.String(), "redisstore.(*lane)")
	}, time.Second, time.Millisecond)
}

func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	sentinel, master, replica := redistest.StartSentinel(t)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel.Addr}})
	defer client.Close()
	s := open(t, redisstore.Config{Client: client, Timeout: 100 * time.Millisecond})
	drained := bucket(1, day)
	require.Eventually(t, func() bool {
		return s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{drained}, make([]ratelimit.Level, 1)) == nil
	}, 10*time.Second, 10*time.Millisecond)
	l := startLoad(s, 16)
	l.grows(t, 20*time.Second)
	require.Eventually(t, func() bool { return replica.Client().Exists(context.Background(), name(drained)).Val() == 1 }, 10*time.Second, 10*time.Millisecond)
	master.Kill()
	require.Eventually(t, func() bool { return info(t, replica.Client(), "role") == "master" }, 60*time.Second, 20*time.Millisecond)
	l.grows(t, 60*time.Second)
	l.end()
	require.Less(t, time.Duration(l.worst.Load()), 100*time.Millisecond+slack)
	var levels [1]ratelimit.Level
	require.Eventually(t, func() bool {
		return s.Do(context.Background(), ratelimit.OpPeek, []ratelimit.Bucket{drained}, levels[:]) == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.False(t, levels[0].OK, "what was replicated is still known")
}
