package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// FullPolicy is what a [Memory] does with a client it has not seen when it holds
// MaxKeys buckets and none nearby is full. An attacker with that many addresses
// can bring it about; clients whose buckets are held are untouched by it, except
// under EvictNearestFull.
type FullPolicy uint8

const (
	// ShareOverflow lets the newcomer share one of 1024 overflow buckets of the
	// same limit, chosen by a hash with a secret of this process: he is refused
	// only if the one he falls into is drained. The default: it refuses the
	// fewest honest newcomers while an attack runs, and forgets nobody's debt.
	ShareOverflow FullPolicy = iota
	// EvictNearestFull makes room by forgetting the bucket, of 16 looked at, that
	// would be full soonest. No newcomer is refused; but an attacker with more
	// keys than MaxKeys gets fresh buckets, as much as his keys allow.
	EvictNearestFull
	// DenyNew refuses newcomers.
	DenyNew
)

// MemoryConfig configures a [Memory]. The zero value is right for most.
type MemoryConfig struct {
	// MaxKeys bounds the buckets held: one for each client and limit. 0 means
	// 1 000 000, which is at most 140 MB. It is a bound, not a reservation;
	// full buckets are forgotten all the time, for they are the same as absent
	// ones. Too low, and newcomers meet OnFull; at least 1024.
	MaxKeys int
	// Shards is how many parts, each with its own lock, the table has; rounded
	// up to a power of two, at most 1024. 0 means 64: on any machine the chance
	// of two cores meeting at one lock is small, and an empty shard is small too.
	Shards int
	// OnFull is what happens to a newcomer when the table is full.
	OnFull FullPolicy
}

// Memory is the [Store] of one process, on [rate.Limiter]. Its answers are exact
// to the microsecond, its size is bounded, and it forgets only full buckets. It
// starts no goroutine and needs no Close. Safe for concurrent use; not to be
// copied.
//
// Several replicas with a Memory each grant each their own limit; to share one,
// use redisstore.
type Memory struct {
	start      time.Time
	shards     []shard
	shardShift uint
	seeds      [6]uint64 // secret: where a key stands
	secret     uint64    // in the keys of overflow buckets
	maxKeys    int64
	perShard   uint32 // overflow buckets
	onFull     FullPolicy
	classes    classes

	keys       atomic.Int64
	overflowed atomic.Uint64
	evicted    atomic.Uint64
	refused    atomic.Uint64
}

// overflowBuckets is how many there are of each limit.
const overflowBuckets = 1024

// NewMemory checks c and makes an empty store.
func NewMemory(c MemoryConfig) (*Memory, error) {
	bad := mistakes.In("ratelimit")
	if c.MaxKeys == 0 {
		c.MaxKeys = 1_000_000
	}
	if c.Shards == 0 {
		c.Shards = 64
	}
	if c.MaxKeys < 1024 || c.MaxKeys > 1<<31 {
		bad.Add("MaxKeys", strconv.Itoa(c.MaxKeys), "must be between 1024 and 2^31, or 0 for 1 000 000")
	}
	if c.Shards < 1 || c.Shards > overflowBuckets {
		bad.Add("Shards", strconv.Itoa(c.Shards), "must be between 1 and %d, or 0 for 64", overflowBuckets)
	}
	if c.OnFull > DenyNew {
		bad.Add("OnFull", fmt.Sprint(c.OnFull), "is no policy; use ShareOverflow, EvictNearestFull or DenyNew")
	}
	if strconv.IntSize < 64 {
		bad.Add("", "", "the memory store needs a 64-bit platform: a rate.Limiter counts in int")
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	log := bits.Len(uint(c.Shards - 1))
	m := &Memory{
		start:      time.Now(),
		shards:     make([]shard, 1<<log),
		shardShift: 64 - uint(log),
		secret:     rand.Uint64(),
		maxKeys:    int64(c.MaxKeys),
		perShard:   overflowBuckets >> log,
		onFull:     c.OnFull,
	}
	for i := range m.seeds {
		m.seeds[i] = rand.Uint64() | 1
	}
	for i := range m.shards {
		m.shards[i].number, m.shards[i].tick = uint32(i), m.start
	}
	return m, nil
}

// MemoryStats tells how full a [Memory] is and how often its bound was met.
type MemoryStats struct {
	Keys       int64  // buckets held now, at most MaxKeys
	Overflowed uint64 // newcomers that shared an overflow bucket, since the start
	Evicted    uint64 // buckets forgotten before they were full
	Refused    uint64 // newcomers refused by DenyNew
}

// Stats reads the counters. It takes no lock.
func (m *Memory) Stats() MemoryStats {
	return MemoryStats{m.keys.Load(), m.overflowed.Load(), m.evicted.Load(), m.refused.Load()}
}

// A place is where one bucket of a call lives, and what stands there.
type place struct {
	shard *shard
	slot  *slot // nil: absent, which is full; or refused
	class uint32
	level int64
}

// Do implements [Store]. It needs no context: it does not wait. Buckets of all
// groups are treated at one instant; it fails only for a bucket out of bounds.
func (m *Memory) Do(_ context.Context, op Op, buckets []Bucket, levels []Level) error {
	if len(buckets) != len(levels) || op < OpTake || op > OpReset {
		return errors.New("ratelimit: Memory: bad call: unknown Op, or as many levels as buckets are needed")
	}
	var few [4]place
	places := few[:0]
	if len(buckets) > len(few) {
		places = make([]place, 0, len(buckets))
	}
	for i := range buckets {
		b := &buckets[i]
		if err := b.check(); err != nil {
			return err
		}
		p := place{shard: m.shardOf(&b.Group)}
		if b.Rate != 0 {
			var err error
			if p.class, err = m.classes.id(b); err != nil {
				return err
			}
		}
		places = append(places, p)
	}
	m.lock(places)
	m.do(op, buckets, levels, places)
	if len(places) > 1 {
		for i := range places {
			places[i].pin(false)
		}
	}
	m.unlock(places)
	return nil
}

// check tells whether the bucket is in bounds.
func (b *Bucket) check() error {
	if b.Rate == 0 && b.Period >= 1 && b.Period <= MaxUnits && b.Cap >= 1 {
		return nil
	}
	if b.Rate < 1 || b.Rate > MaxUnits || b.Period < 1 || b.Cap < b.Period || b.Cap > MaxUnits || b.Cost < 0 || b.Cost > 2*MaxUnits {
		return fmt.Errorf("ratelimit: bucket out of bounds: Rate %d, Period %d, Cap %d, Cost %d", b.Rate, b.Period, b.Cap, b.Cost)
	}
	return nil
}

// lock locks every shard of the call once, in the order of their addresses, so
// that two calls never wait for each other.
func (m *Memory) lock(places []place) {
	if len(places) == 1 {
		places[0].shard.lock(m)
		return
	}
	m.eachShard(places, func(s *shard) { s.lock(m) })
}

func (m *Memory) unlock(places []place) {
	if len(places) == 1 {
		places[0].shard.mu.Unlock()
		return
	}
	m.eachShard(places, func(s *shard) { s.mu.Unlock() })
}

// eachShard calls f once for each shard among places, in the order of their
// numbers.
func (m *Memory) eachShard(places []place, f func(*shard)) {
	var few [8]uint32
	order := few[:0]
	for i := range places {
		n := places[i].shard.number
		at, found := slices.BinarySearch(order, n)
		if !found {
			order = slices.Insert(order, at, n)
		}
	}
	for _, n := range order {
		f(&m.shards[n])
	}
}

// do works on locked shards: look at all buckets, then change all or none.
func (m *Memory) do(op Op, buckets []Bucket, levels []Level, places []place) {
	allowed := true
	for i := range buckets {
		b, p := &buckets[i], &places[i]
		if b.Rate == 0 {
			levels[i] = p.shard.lookLease(op, b)
		} else {
			levels[i] = m.look(op, b, p, places[:i], buckets[:i])
			if len(buckets) > 1 {
				p.pin(true)
			}
		}
		allowed = allowed && levels[i].OK
	}
	if op == OpPeek || (op == OpTake && !allowed) {
		return
	}
	for i := range buckets {
		b, p := &buckets[i], &places[i]
		if b.Rate == 0 {
			levels[i].Units = p.shard.applyLease(op, b)
		} else {
			levels[i].Units = m.apply(op, b, p)
		}
	}
}

// look finds the bucket's slot, or makes one where op is going to need it, and
// says what OpTake would find.
func (m *Memory) look(op Op, b *Bucket, p *place, earlier []place, their []Bucket) Level {
	s := p.shard
	hash := m.hash(&b.Key)
	p.slot = s.find(hash, &b.Key)
	l := Level{}
	if p.slot == nil && (op == OpTake && b.Cost > 0 || op == OpCharge) {
		if p.slot, l.Shared = m.add(s, hash, b.Key, p.class); p.slot == nil {
			return l // DenyNew
		}
	}
	p.level = b.Cap
	if p.slot != nil {
		p.level = m.level(p.slot, b, p.class, s.tick)
	}
	for j := range earlier { // only overflow buckets can meet here
		if earlier[j].slot == p.slot && p.slot != nil && (op == OpTake || op == OpCharge) {
			p.level = max(p.level-their[j].Cost, -b.Cap)
		}
	}
	l.Units = p.level
	l.OK = p.level >= b.Cost || b.Cost == 0
	switch op {
	case OpCharge:
		l.OK = p.level-b.Cost >= -b.Cap
	case OpCredit, OpReset:
		l.OK = true
	}
	return l
}

// apply changes the bucket and returns its new level.
func (m *Memory) apply(op Op, b *Bucket, p *place) int64 {
	if p.slot == nil {
		if op == OpCredit || op == OpReset || b.Cost == 0 {
			return p.level // absent, so full, and that it stays
		}
		return 0 // refused by DenyNew
	}
	if op == OpTake && b.Cost == 0 {
		return p.level
	}
	to := p.level
	switch op {
	case OpTake, OpCharge:
		to = max(to-b.Cost, -b.Cap)
	case OpCredit:
		to = min(to+b.Cost, b.Cap)
	case OpReset:
		to = b.Cap
	}
	if p.slot.class == p.class {
		p.slot.lim.AllowN(p.shard.tick, int(p.level-to)) // a negative number is given back
	} else {
		p.slot.set(b, p.class, p.shard.tick, to)
	}
	return to
}

// pin keeps the clock hand off the slot, or lets it take it again. While a call
// looks at several buckets, adding one must not free another of them. A call for
// one bucket adds nothing after it, and spares the write.
func (p *place) pin(on bool) {
	switch {
	case p.slot == nil:
	case on:
		p.slot.link |= pinned
	default:
		p.slot.link &^= pinned
	}
}
