package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// Errors of [Store.Do], to be found with errors.Is. In each case the rule's
// OnStoreError decides about the request.
var (
	// ErrTimeout: there was no answer within Config.Timeout. The call is charged
	// once or not at all.
	ErrTimeout = errors.New("redisstore: no answer in time")
	// ErrUnavailable: Redis did not answer before, and one other call is finding
	// out whether it does again. The call is not charged.
	ErrUnavailable = errors.New("redisstore: the server does not answer")
	// ErrClosed: the store was closed. The call is not charged.
	ErrClosed = errors.New("redisstore: closed")
	// ErrForeign: a key holds something that this package did not write: another
	// type, another program's text. It is left as it is. The error names the key.
	ErrForeign = errors.New("redisstore: the key holds something else")
)

// Store keeps buckets and leases in Redis. Make it with [New]; it is safe for
// concurrent use and must not be copied.
type Store struct {
	client      redis.UniversalClient
	prefix      string
	timeout     time.Duration
	tripTimeout time.Duration
	spread      bool // over nodes: one script call must keep to one group
	drained     *drained
	lanes       []*lane
	base        time.Time

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

var _ ratelimit.Store = (*Store)(nil)

// minTripTimeout is when a worker gives its connection up at the earliest. The
// callers have long left then.
const minTripTimeout = time.Second

// New makes a Store. It does not connect: call [Store.Ping] for that.
func New(c Config) (*Store, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	s := &Store{
		client:      c.Client,
		prefix:      c.Prefix,
		timeout:     c.Timeout,
		tripTimeout: max(minTripTimeout, 2*c.Timeout),
		base:        time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if c.MaxStale > 0 {
		s.drained = newDrained(c.MaxStale)
	}
	lanes := 1
	if single, ok := c.Client.(*redis.Client); ok {
		// The same connections, given up in time.
		s.client = single.WithTimeout(s.tripTimeout)
	} else {
		s.spread, lanes = true, clusterLanes
	}
	for range lanes {
		s.lanes = append(s.lanes, newLane(s))
	}
	return s, nil
}

// Close ends every goroutine of the store and returns when they have ended,
// which a trip that is out may delay until the client's own timeouts. Calls that
// wait get [ErrClosed]. The client stays open. Calling it again does nothing.
func (s *Store) Close() error {
	for _, l := range s.lanes {
		l.close()
	}
	s.cancel()
	s.workers.Wait()
	for _, l := range s.lanes {
		l.watch.Stop() // only now: it ends the wait of those whose trip was out
	}
	return nil
}

// now is the store's clock: nanoseconds since New, monotonic, never 0. It
// measures distances in this process only; what is written to Redis has the
// time of Redis.
func (s *Store) now() int64 { return int64(time.Since(s.base)) + 1 }

// Do implements [ratelimit.Store]. It returns within Config.Timeout.
func (s *Store) Do(ctx context.Context, op ratelimit.Op, buckets []ratelimit.Bucket, levels []ratelimit.Level) error {
	if err := check(op, buckets, levels); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	now := s.now()
	if s.denied(op, buckets, levels, now) {
		return nil
	}
	if s.spread && slices.ContainsFunc(buckets[1:], func(b ratelimit.Bucket) bool { return b.Group != buckets[0].Group }) {
		return s.doGroups(ctx, op, buckets, levels)
	}
	c := newCall(op, buckets)
	if err := s.submit(c, now+int64(s.timeout)); err != nil {
		return err
	}
	if err := s.await(ctx, c); err != nil {
		return err
	}
	copy(levels, c.levels)
	c.recycle()
	return nil
}

// denied tells whether a call is certain to be denied, and fills levels then.
func (s *Store) denied(op ratelimit.Op, buckets []ratelimit.Bucket, levels []ratelimit.Level, now int64) bool {
	return op == ratelimit.OpTake && s.drained != nil && s.drained.deny(buckets, levels, now)
}

// lane is where the calls of a group go.
func (s *Store) lane(group [16]byte) *lane {
	if len(s.lanes) == 1 {
		return s.lanes[0]
	}
	return s.lanes[int(slotOf(group))*len(s.lanes)/slots]
}

// submit puts a new call into its lane's queue.
func (s *Store) submit(c *call, deadline int64) error {
	c.deadline = deadline
	err := s.lane(c.buckets[0].Group).submit(c)
	if err != nil {
		c.recycle()
	}
	return err
}

// await waits for a submitted call until its deadline. After an error the call
// is no longer the caller's.
func (s *Store) await(ctx context.Context, c *call) error {
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.abandon() {
			return gaveUp(ctx.Err())
		}
		<-c.done
	}
	if c.state.Load() == gone {
		return ErrTimeout
	}
	if err := c.err; err != nil {
		c.recycle()
		return err
	}
	return nil
}

func gaveUp(err error) error { return fmt.Errorf("redisstore: the caller gave up: %w", err) }

// check refuses what would make the script compute nonsense.
func check(op ratelimit.Op, buckets []ratelimit.Bucket, levels []ratelimit.Level) error {
	if op < ratelimit.OpTake || op > ratelimit.OpReset {
		return fmt.Errorf("redisstore: there is no operation %d", op)
	}
	if len(buckets) == 0 || len(buckets) != len(levels) {
		return fmt.Errorf("redisstore: %d buckets and %d levels", len(buckets), len(levels))
	}
	for i := range buckets {
		b := &buckets[i]
		const limit = ratelimit.MaxUnits
		token := b.Rate != 0
		if b.Rate < 0 || b.Rate > limit || b.Period < 1 || b.Period > limit || b.Cap < 1 || b.Cap > limit ||
			token && b.Cap < b.Period || b.Cost < 0 || b.Cost > 2*limit {
			return fmt.Errorf("redisstore: bucket %d is out of bounds: rate %d, period %d, cap %d, cost %d",
				i, b.Rate, b.Period, b.Cap, b.Cost)
		}
	}
	return nil
}
