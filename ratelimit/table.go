package ratelimit

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The table of a Memory: shards, each an index of slot numbers over chunks of
// slots that never move (a rate.Limiter holds a mutex and must not be copied).
// A slot is 104 bytes, 80 of them the Limiter, and holds no pointer into
// the heap; the index costs 8 bytes an entry and
// is at most 7/8 full.

// A slot is one bucket. Its class stands behind the Limiter, so that looking at key
// and class fetches the Limiter's two cache lines at once, before its lock makes
// the processor wait for one after the other.
type slot struct {
	key   [16]byte
	lim   rate.Limiter
	class uint32 // which limit the Limiter is set to; 0 = free
	link  uint32 // of a free slot the next free one; of another its marks
}

// Marks of a slot in use.
const (
	overflow = 1 << iota // an overflow bucket
	pinned               // a call under way holds it
)

// # A Limiter that is exact
//
// A rate.Limiter computes with float64, so it is given numbers that a float64
// holds exactly. Its tokens are units, integers below 2^53. Its second is 512
// of our microseconds: one microsecond is 1 953 125 of its nanoseconds, a
// 512th of its second, and seconds and 512ths add up without rounding, where
// decimal microseconds do not. Its limit is then Rate × 512 and each
// elapsed microsecond adds exactly Rate.
//
// Its tokens are the level plus Cap, from 0 to 2 Cap: a Limiter takes no debt
// without the allocation of a Reservation, and AllowN admits a deficit of less
// than a nanosecond. Whether a bucket has enough is therefore decided here, with
// integers; AllowN then takes what is there, or, given a negative number, gives.
//
// Time is read once for a call, and clamped under the shard's lock to never
// run backwards: a Limiter asked about an earlier time would move back with it
// and be credited for the same span twice.

const (
	nanosPerMicro = 1_953_125 // 10^9 / 512
	microsPerSec  = 512
	// maxEpoch is the longest that a shard counts from one epoch, 18 days. After
	// three times that a time.Duration of a Limiter's nanoseconds would overflow.
	maxEpoch = int64(1<<63-1) / nanosPerMicro / 3
)

// instant is our microsecond in a Limiter's time, counted from the shard's epoch.
// It comes from time.Now by Add, and so has a monotonic reading: two such times
// are subtracted in a quarter of the time that others take.
func (m *Memory) instant(micros int64) time.Time {
	return m.start.Add(time.Duration(micros * nanosPerMicro))
}

// set makes the slot's bucket one of b's limit, at level, now.
func (sl *slot) set(b *Bucket, class uint32, now time.Time, level int64) {
	sl.lim.SetBurstAt(now, int(2*b.Cap))
	sl.lim.SetLimitAt(now, rate.Limit(b.Rate)*microsPerSec)
	sl.class = class
	have := int64(sl.lim.TokensAt(now))
	sl.lim.AllowN(now, int(have-(level+b.Cap)))
}

// level reads the bucket in the units of b's limit, carrying its tokens over
// where it is set to another.
func (m *Memory) level(sl *slot, b *Bucket, class uint32, now time.Time) int64 {
	tokens := int64(sl.lim.TokensAt(now))
	if sl.class == class {
		return tokens - b.Cap
	}
	was := m.classes.get(sl.class)
	if tokens >= 2*was.cap {
		return b.Cap
	}
	return carry(tokens-was.cap, was.period, b.Period, b.Cap)
}

// carry is floor(level × period / was), clamped to what the new limit can hold.
func carry(level, was, period, limit int64) int64 {
	debt := level < 0
	if debt {
		level = -level
	}
	hi, lo := bits.Mul64(uint64(level), uint64(period))
	q := uint64(1) << 63 // beyond every Cap
	if hi < uint64(was) {
		var rem uint64
		q, rem = bits.Div64(hi, lo, uint64(was))
		if debt && rem != 0 {
			q++ // towards minus infinity
		}
	}
	q = min(q, uint64(limit))
	if debt {
		return -int64(q)
	}
	return int64(q)
}

// full tells whether the slot's bucket is the same as an absent one.
func (m *Memory) full(sl *slot, now time.Time) bool {
	return int64(sl.lim.TokensAt(now)) >= 2*m.classes.get(sl.class).cap
}

// classes numbers the limits in use: a slot has room for a number, not for a
// limit. They come from configuration, never from a client, so there are few.
type classes struct {
	mu   sync.Mutex
	list atomic.Pointer[[]scaled] // copied on write; class n is list[n-1]
}

const maxClasses = 1 << 16

func (c *classes) get(id uint32) scaled { return (*c.list.Load())[id-1] }

func (c *classes) id(b *Bucket) (uint32, error) {
	want := scaled{b.Rate, b.Period, b.Cap}
	if list := c.list.Load(); list != nil {
		for i := range *list {
			if (*list)[i] == want {
				return uint32(i + 1), nil
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []scaled
	if old := c.list.Load(); old != nil {
		list = *old
	}
	for i := range list {
		if list[i] == want {
			return uint32(i + 1), nil
		}
	}
	if len(list) >= maxClasses {
		return 0, errors.New("ratelimit: Memory: more than 65 536 different limits")
	}
	list = append(append([]scaled(nil), list...), want)
	c.list.Store(&list)
	return uint32(len(list)), nil
}

// A shard is one part of the table. What every call writes stands together on its
// first cache line: only that one goes to and fro between the cores, and what
// they all only read may stay with each of them.
type shard struct {
	mu    sync.Mutex
	now   int64     // microseconds, never backwards
	epoch int64     // the microsecond from which tick counts
	tick  time.Time // now for a Limiter
	ops   uint32
	hand  uint32 // the clock hand: the next slot to look at
	_     [8]byte

	index  []entry // open addressing, linear probing; a power of two, or nil
	chunks []*[chunkSlots]slot
	held   int    // entries in use
	made   uint32 // slots ever used of the chunks
	free   uint32 // head of the free list

	leases map[[16]byte]*leaseSet
	number uint32
	_      [52]byte // so that each shard has three cache lines of its own
}

// chunkSlots × 104 bytes nearly fills a size class of the allocator.
const chunkSlots = 128

// An entry of the index is 32 bits of the key's hash over a slot number, which
// begins at 1; 0 is empty.
type entry uint64

func (e entry) hash() uint32   { return uint32(e >> 32) }
func (e entry) number() uint32 { return uint32(e) }

// shardOf picks the shard of a group, hash the place of a key in its shard. Both
// fold 128-bit products with numbers that only this process knows: keys may be
// plain addresses, in any order an attacker likes, and must spread all the same.
func (m *Memory) shardOf(group *[16]byte) *shard {
	return &m.shards[m.mix(group, 0)>>m.shardShift] // a shift by 64 gives 0: one shard
}

func (m *Memory) hash(key *[16]byte) uint32 { return uint32(m.mix(key, 2) >> 32) }

func (m *Memory) mix(b *[16]byte, seed int) uint64 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(b[:8])^m.seeds[seed], binary.LittleEndian.Uint64(b[8:])^m.seeds[seed+1])
	hi, lo = bits.Mul64(hi^lo^m.seeds[4], m.seeds[5])
	return hi ^ lo
}

// lock locks the shard and sets its clock.
func (s *shard) lock(m *Memory) {
	now := time.Since(m.start).Microseconds()
	s.mu.Lock()
	if now > s.now {
		if now-s.epoch > maxEpoch {
			s.newEpoch(m, now)
		}
		s.now = now
		s.tick = m.instant(now - s.epoch)
	}
	s.ops++
	if s.ops%sweepEvery == 0 {
		s.sweep(m, sweepSlots)
	}
}

const (
	// sweepEvery is how many operations move the clock hand by sweepSlots: by
	// several at once, for it has to fetch them from memory, and neighbours cost
	// little more than one.
	sweepEvery = 256
	sweepSlots = 16
	// sweepOnAdd is how many it moves before the table grows by one: more than
	// one, so that the hand comes round.
	sweepOnAdd = 3
	// sweepOnFull is how far a newcomer to a full table looks for room.
	sweepOnFull = 16
)

// newEpoch begins to count again at now, in steps of which a Limiter sees every
// one: each is brought up to date, and then told that it is the beginning. That a
// Limiter follows a clock backwards, without credit, is here what is wanted.
func (s *shard) newEpoch(m *Memory, now int64) {
	for s.now < now {
		at := min(s.now+maxEpoch, now)
		end := m.instant(at - s.epoch)
		for n := uint32(1); n <= s.made; n++ {
			if sl := s.slot(n); sl.class != 0 {
				sl.lim.AllowN(end, 0)
				sl.lim.AllowN(m.start, 0)
			}
		}
		s.now, s.epoch = at, at
	}
}

func (s *shard) slot(n uint32) *slot {
	return &s.chunks[(n-1)/chunkSlots][(n-1)%chunkSlots]
}

// home is where the probe for a hash begins: its upper bits.
func (s *shard) home(hash uint32) uint32 {
	return uint32(uint64(hash) * uint64(len(s.index)) >> 32)
}

// find returns the slot of the key, or nil.
func (s *shard) find(hash uint32, key *[16]byte) *slot {
	if s.index == nil {
		return nil
	}
	mask := uint32(len(s.index) - 1)
	for i := s.home(hash); ; i = (i + 1) & mask {
		e := s.index[i]
		if e == 0 {
			return nil
		}
		if e.hash() == hash {
			if sl := s.slot(e.number()); sl.class != 0 && sl.key == *key {
				return sl
			}
		}
	}
}

// add makes a full bucket for a key that has none; where the table is full it
// does what OnFull says. shared tells that the table was full.
func (m *Memory) add(s *shard, hash uint32, key [16]byte, class uint32) (_ *slot, shared bool) {
	if s.free == 0 { // rather a full bucket's slot than a new one
		s.sweep(m, sweepOnAdd)
	}
	if m.keys.Add(1) <= m.maxKeys {
		return s.insert(m, hash, key, class, 0), false
	}
	if s.sweep(m, sweepOnFull) || m.onFull == EvictNearestFull && s.evict(m) {
		return s.insert(m, hash, key, class, 0), false
	}
	m.keys.Add(-1)
	if m.onFull == DenyNew {
		m.refused.Add(1)
		return nil, true
	}
	m.overflowed.Add(1)
	n := hash % m.perShard
	binary.LittleEndian.PutUint64(key[:8], m.secret)
	binary.LittleEndian.PutUint32(key[8:], class)
	binary.LittleEndian.PutUint32(key[12:], n)
	hash = m.hash(&key)
	if sl := s.find(hash, &key); sl != nil {
		return sl, true
	}
	return s.insert(m, hash, key, class, overflow), true
}

// insert puts a full bucket into a free slot.
func (s *shard) insert(m *Memory, hash uint32, key [16]byte, class, link uint32) *slot {
	if s.held >= len(s.index)*7/8 {
		s.grow()
	}
	n := s.free
	if n != 0 {
		s.free = s.slot(n).link
	} else {
		if int(s.made) == len(s.chunks)*chunkSlots {
			s.chunks = append(s.chunks, new([chunkSlots]slot))
		}
		s.made++
		n = s.made
	}
	s.place(entry(hash)<<32 | entry(n))
	s.held++
	sl := s.slot(n)
	sl.key, sl.link = key, link
	limit := m.classes.get(class)
	sl.set(&Bucket{Rate: limit.rate, Period: limit.period, Cap: limit.cap}, class, s.tick, limit.cap)
	return sl
}

func (s *shard) place(e entry) {
	mask := uint32(len(s.index) - 1)
	i := s.home(e.hash())
	for s.index[i] != 0 {
		i = (i + 1) & mask
	}
	s.index[i] = e
}

// grow doubles the index. The entries hold their hashes, so no slot is touched.
func (s *shard) grow() {
	old := s.index
	s.index = make([]entry, max(8, 2*len(old)))
	for _, e := range old {
		if e != 0 {
			s.place(e)
		}
	}
}

// sweep moves the clock hand over n slots and frees those whose buckets are
// full. It tells whether it freed one.
func (s *shard) sweep(m *Memory, n uint32) (freed bool) {
	for range min(n, s.made) {
		s.hand = s.hand%s.made + 1
		if sl := s.slot(s.hand); sl.class != 0 && sl.link&pinned == 0 && m.full(sl, s.tick) {
			s.remove(m, s.hand)
			freed = true
			if s.made == 0 {
				return true
			}
		}
	}
	return freed
}

// evict frees, of the next 16 slots, the one that would be full soonest.
func (s *shard) evict(m *Memory) bool {
	best, soonest := uint32(0), int64(0)
	for range min(sweepOnFull, s.made) {
		s.hand = s.hand%s.made + 1
		sl := s.slot(s.hand)
		if sl.class == 0 || sl.link != 0 {
			continue // free, shared, or in use by this very call
		}
		limit := m.classes.get(sl.class)
		left := (2*limit.cap - int64(sl.lim.TokensAt(s.tick))) / limit.rate
		if best == 0 || left < soonest {
			best, soonest = s.hand, left
		}
	}
	if best == 0 {
		return false
	}
	s.remove(m, best)
	m.evicted.Add(1)
	return true
}

// remove frees slot n. A shard that has become empty gives its memory back, as
// far as it is worth it.
func (s *shard) remove(m *Memory, n uint32) {
	sl := s.slot(n)
	s.unplace(m.hash(&sl.key), n)
	s.held--
	if sl.link&overflow == 0 {
		m.keys.Add(-1)
	}
	sl.class, sl.link = 0, s.free
	s.free = n
	if s.held == 0 && len(s.chunks) > 1 {
		s.index, s.chunks = nil, nil
		s.made, s.free, s.hand = 0, 0, 0
	}
}

// unplace takes an entry out of the index and closes the gap, so that every
// later probe still finds what stood behind it.
func (s *shard) unplace(hash, n uint32) {
	mask := uint32(len(s.index) - 1)
	gap := s.home(hash)
	for s.index[gap].number() != n {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; s.index[i] != 0; i = (i + 1) & mask {
		home := s.home(s.index[i].hash())
		if (i-home)&mask >= (i-gap)&mask { // may move back as far as the gap
			s.index[gap] = s.index[i]
			gap = i
		}
	}
	s.index[gap] = 0
}
