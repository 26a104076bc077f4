package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// ErrUnchecked is what the error of [Store.Ping] is, in the sense of errors.Is,
// where nothing is known to be wrong but not everything could be looked at.
var ErrUnchecked = errors.New("redisstore: not everything could be checked")

// A PingError says what [Store.Ping] found.
type PingError struct {
	// Wrong is what makes the limits fail or leak, with the repair.
	Wrong []error
	// Unchecked is what this user was not permitted to look at.
	Unchecked []string
}

// Error lists everything, one finding a line.
func (e *PingError) Error() string {
	var lines []string
	for _, err := range e.Wrong {
		lines = append(lines, err.Error())
	}
	for _, what := range e.Unchecked {
		lines = append(lines, "not checked: "+what)
	}
	return "redisstore: Ping: " + strings.Join(lines, "\n\t")
}

// Unwrap returns what is wrong, for errors.Is and errors.As.
func (e *PingError) Unwrap() []error { return e.Wrong }

// Is makes a PingError with nothing wrong an [ErrUnchecked].
func (e *PingError) Is(target error) bool { return target == ErrUnchecked && len(e.Wrong) == 0 }

// Ping is for the start of a service: it tells whether the server will do, or
// returns a [*PingError].
//
//	if err := store.Ping(ctx); err != nil && !errors.Is(err, redisstore.ErrUnchecked) {
//		return err
//	}
//
// It runs every operation on buckets of random names, which it removes again, so
// that a missing permission is found now; in a cluster on buckets in each
// sixteenth of the hash slots. And it reads INFO of every master: the version,
// whether the server is a replica or a cluster node that the client does not
// treat as one, and whether keys are evicted when memory runs out, which would
// let clients start afresh.
//
// It is not bound by Config.Timeout, and opens no breaker.
func (s *Store) Ping(ctx context.Context) error {
	var found PingError
	if err := s.rehearse(ctx); err != nil {
		found.Wrong = append(found.Wrong, err)
	}
	var mu sync.Mutex
	look := func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		s.inspect(&found, node.Options().Addr, text, err)
		return nil
	}
	var err error
	switch c := s.client.(type) {
	case *redis.Client:
		err = look(ctx, c)
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, look)
	case *redis.Ring:
		err = c.ForEachShard(ctx, look)
	default:
		found.Unchecked = append(found.Unchecked, fmt.Sprintf("version and eviction policy, of a %T", s.client))
	}
	if err != nil {
		found.Wrong = append(found.Wrong, err)
	}
	if len(found.Wrong)+len(found.Unchecked) == 0 {
		return nil
	}
	return &found
}

// rehearse runs every operation, and the script in both ways in which it is
// called. What it writes is gone afterwards, or within seconds.
func (s *Store) rehearse(ctx context.Context) error {
	first, second := newTrip(s), newTrip(s)
	for i := range s.lanes {
		token := ratelimit.Bucket{Group: s.groupOf(i), Rate: 1, Period: 1_000_000, Cap: 2_000_000, Cost: 1_000_000}
		lease := ratelimit.Bucket{Group: token.Group, Period: 1_000_000, Cap: 2, Cost: 1}
		random(&token.Key)
		random(&lease.Key)
		random(&lease.Lease)
		other := lease
		random(&other.Lease)
		for _, c := range []*call{
			newCall(ratelimit.OpTake, []ratelimit.Bucket{token, lease}),
			newCall(ratelimit.OpCharge, []ratelimit.Bucket{token, other}),
			newCall(ratelimit.OpPeek, []ratelimit.Bucket{token, lease}),
		} {
			first.add(c)
		}
		second.add(newCall(ratelimit.OpCredit, []ratelimit.Bucket{token, lease}))
		second.add(newCall(ratelimit.OpReset, []ratelimit.Bucket{token, lease}))
	}
	err := first.rehearse(ctx, "eval", script)
	if err == nil {
		err = second.rehearse(ctx, "evalsha", scriptHash)
	}
	return err
}

func (t *trip) rehearse(ctx context.Context, name, script string) error {
	t.exec(ctx, t.batches, name, script)
	for _, b := range t.batches {
		_ = t.read(b)
		for _, r := range b.runs {
			for _, c := range r.calls {
				if c.err != nil {
					return fmt.Errorf("%s, operation %d: %w", strings.ToUpper(name), c.op, c.err)
				}
				if !c.levels[0].OK && c.op != ratelimit.OpPeek {
					return fmt.Errorf("the script does not count: %+v", c.levels)
				}
			}
		}
	}
	return nil
}

// groupOf makes a random group whose calls take the lane.
func (s *Store) groupOf(lane int) (group [16]byte) {
	for {
		if random(&group); s.lane(group) == s.lanes[lane] {
			return group
		}
	}
}

func random(b *[16]byte) { _, _ = rand.Read(b[:]) } // never fails

// The oldest version whose scripts may read the time and then write without
// asking for it is 5; the users of ACL came with 6.
const oldestVersion = 6

// inspect reads one server's INFO.
func (s *Store) inspect(found *PingError, addr, text string, err error) {
	wrong := func(format string, args ...any) {
		found.Wrong = append(found.Wrong, fmt.Errorf("%s "+format, append([]any{addr}, args...)...))
	}
	switch {
	case redis.IsPermissionError(err):
		found.Unchecked = append(found.Unchecked,
			addr+": version, role and eviction policy: the user may not run INFO (ACL +info)")
		return
	case err != nil:
		wrong("does not answer INFO: %w", err)
		return
	}
	info := parseInfo(text)
	if version, known := info["redis_version"]; !known {
		found.Unchecked = append(found.Unchecked, addr+": version: INFO does not tell it")
	} else if major, _ := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); major < oldestVersion {
		wrong("is version %s; %d or later is needed", version, oldestVersion)
	}
	if info["role"] == "slave" {
		wrong("is a replica, which cannot be written to; connect to the master, or through Sentinel (redis.NewFailoverClient)")
	}
	if info["cluster_enabled"] == "1" && !s.spread {
		wrong("is a node of a cluster; use redis.NewClusterClient")
	}
	policy, known := info["maxmemory_policy"]
	switch {
	case !known:
		found.Unchecked = append(found.Unchecked, addr+": eviction policy: INFO does not tell it")
	case info["maxmemory"] != "0" && policy != "noeviction":
		wrong("evicts keys when its memory is full (maxmemory-policy %s), and a client whose key is evicted starts afresh;"+
			" set maxmemory-policy noeviction", policy)
	}
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}
