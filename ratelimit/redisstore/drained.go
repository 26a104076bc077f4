package redisstore

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// drained remembers buckets that were nearly empty, to deny without asking.
//
// Let a script that was sent at local time c have left the level L. Whatever
// others take, at the time t the level is at most G(t) = min(Cap, L + Rate×(t-c)),
// because taking only lowers it and the script ran after c. A take whose cost
// exceeds G is denied by Redis too: exactly, for every cost. Only what gives
// tokens back ends the bound: through this store see end, elsewhere after
// maxStale.
//
// Memory is fixed: a set-associative table. An entry that is pushed out costs
// one more trip, nothing else.
type drained struct {
	seed     maphash.Seed
	maxStale int64
	sets     [1 << 13]drainedSet
}

type drainedSet struct {
	mu    sync.Mutex
	ended int64 // when tokens were last given back here: older answers are void
	ways  [4]drainedEntry
}

type drainedEntry struct {
	key                      [16]byte
	rate, period, cap, level int64
	at                       int64 // when the script was sent; 0: empty
}

func newDrained(maxStale time.Duration) *drained {
	return &drained{seed: maphash.MakeSeed(), maxStale: int64(maxStale)}
}

func (d *drained) set(key *[16]byte) *drainedSet {
	return &d.sets[maphash.Bytes(d.seed, key[:])%uint64(len(d.sets))]
}

// bound returns the highest level that the bucket can have now. False where
// nothing is known of it under these limits.
func (d *drained) bound(b *ratelimit.Bucket, now int64) (int64, bool) {
	s := d.set(&b.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.ways {
		e := &s.ways[i]
		if e.at == 0 || e.key != b.Key {
			continue
		}
		if now-e.at > d.maxStale || e.rate != b.Rate || e.period != b.Period || e.cap != b.Cap {
			return 0, false
		}
		return grown(e, now), true
	}
	return 0, false
}

// grown is G(now). Redis counts whole microseconds: what it sees pass is less
// than one more than the true time.
func grown(e *drainedEntry, now int64) int64 {
	elapsed := (now-e.at)/int64(time.Microsecond) + 2
	if elapsed > (e.cap-e.level)/e.rate {
		return e.cap
	}
	return e.level + elapsed*e.rate
}

// deny answers an OpTake that is certain to be denied. The levels it gives are
// bounds from above; those of buckets it knows nothing of are their caps.
func (d *drained) deny(buckets []ratelimit.Bucket, levels []ratelimit.Level, now int64) bool {
	certain := false
	for i := range buckets {
		b := &buckets[i]
		levels[i] = ratelimit.Level{Units: b.Cap, OK: b.Rate == 0 || b.Cost <= b.Cap, Local: true}
		if b.Rate == 0 {
			continue
		}
		if units, known := d.bound(b, now); known {
			levels[i].Units = units
			levels[i].OK = b.Cost == 0 || b.Cost <= units
			certain = certain || !levels[i].OK
		}
	}
	return certain
}

// learn takes the levels that a script left. The others of a drained bucket's
// call are kept beside it, so that a local denial can tell them too.
func (d *drained) learn(c *call) {
	worth := false
	for i := range c.buckets {
		b := &c.buckets[i]
		worth = worth || b.Rate > 0 && c.levels[i].Units < max(b.Cost, b.Period)
	}
	for i := range c.buckets {
		if b := &c.buckets[i]; b.Rate > 0 {
			e := drainedEntry{b.Key, b.Rate, b.Period, b.Cap, c.levels[i].Units, c.sent}
			d.set(&b.Key).put(e, worth, c.news[i])
		}
	}
}

// put replaces what is known of the key. Where the new entry is not worth a
// place it still ends one under other limits, since when the level has grown at
// another rate. The same holds where the bucket is not kept under these limits:
// a denied take stores nothing, so that it goes on growing under others.
func (s *drainedSet) put(e drainedEntry, worth, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := &s.ways[0]
	for i := range s.ways {
		way := &s.ways[i]
		if way.at != 0 && way.key == e.key {
			other := way.rate != e.rate || way.period != e.period || way.cap != e.cap
			switch {
			case !kept || !worth && other:
				*way = drainedEntry{}
			case worth && e.at >= way.at && e.at > s.ended:
				*way = e
			}
			return
		}
		if way.at < oldest.at {
			oldest = way
		}
	}
	if worth && kept && e.at > s.ended {
		*oldest = e
	}
}

// end forgets what is known of the call's buckets, and voids the answers that
// are still on their way: they may be older than what the call gave back.
func (d *drained) end(c *call, now int64) {
	for i := range c.buckets {
		s := d.set(&c.buckets[i].Key)
		s.mu.Lock()
		s.ended = now
		for j := range s.ways {
			if s.ways[j].key == c.buckets[i].Key {
				s.ways[j] = drainedEntry{}
			}
		}
		s.mu.Unlock()
	}
}
