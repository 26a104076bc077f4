package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

const (
	opTake   = ratelimit.OpTake
	opPeek   = ratelimit.OpPeek
	opCharge = ratelimit.OpCharge
	opCredit = ratelimit.OpCredit
	opReset  = ratelimit.OpReset

	second = 1_000_000
	day    = 86_400 * second
)

// slow gains next to nothing while a test runs.
var slow = limit{5, day, 5}

var cases = []struct {
	name     string
	fakeOnly bool
	f        func(*harness)
}{
	{"a new bucket gives its burst and no more", false, burst},
	{"a token comes back at its microsecond and not before", true, exactRefill},
	{"a token comes back", false, refill},
	{"several buckets are charged all or none", false, allOrNone},
	{"several groups are charged all or none", false, acrossGroups},
	{"a denied take changes nothing", false, deniedChangesNothing},
	{"a cost of 0 passes, even in debt, and one above the burst never", false, oddCosts},
	{"a charge makes a debt of one burst at most", false, debt},
	{"a credit fills up to the burst", false, credit},
	{"a reset makes full", false, reset},
	{"a changed limit carries the tokens over", false, carry},
	{"replicas with different limits do not starve a client", true, alternate},
	{"an idle year is not too long", true, idleYear},
	{"leases bound what is in flight", false, leases},
	{"a lease is taken once however often it is asked for", false, leaseTwice},
	{"a lease ends by itself, unless it is renewed", false, leaseEnds},
	{"a lease ends at its microsecond", true, leaseEndsExactly},
	{"leases and tokens are taken all or none", false, leaseAndTokens},
	{"any bytes are a key", false, anyKey},
	{"the slices stay the caller's", false, slicesStay},
	{"a bucket out of bounds is an error", false, outOfBounds},
	{"a cancelled context is that, or no matter", false, cancelled},
	{"many callers get the burst exactly", false, concurrentBurst},
	{"many callers get no more than the refill", false, concurrentRefill},
	{"calls with the same buckets in another order do not wait for each other", false, noDeadlock},
	{"random operations agree with the model", false, random},
}

func (h *harness) want(got, want bool, what string) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got %v", what, got)
	}
}

func burst(h *harness) {
	b := h.bucket(slow)
	for i := range 5 {
		l := h.do(opTake, b)[0]
		if !l.OK || l.Units/b.Period != int64(4-i) {
			h.Fatalf("take %d: %+v", i, l)
		}
	}
	h.want(h.take(b), false, "the sixth of five")
	h.want(h.take(h.bucket(slow)), true, "another key")
}

func exactRefill(h *harness) {
	for _, l := range []limit{
		{3, second, 3}, {1, 90 * second, 1}, {1000, day, 1000}, {7, 11, 2}, {1_000_000, second, 50}, {999_999_937, day / 24, 10},
	} {
		b := h.bucket(l)
		for h.take(b) {
		}
		for range 50 {
			missing := b.Cost - h.do(opPeek, b)[0].Units
			wait := time.Duration((missing+b.Rate-1)/b.Rate) * time.Microsecond
			time.Sleep(wait - time.Microsecond)
			h.want(h.take(b), false, "a microsecond early")
			time.Sleep(time.Microsecond)
			h.want(h.take(b), true, "in time")
		}
	}
}

func refill(h *harness) {
	b := h.bucket(limit{50, second, 2})
	h.want(h.take(b), true, "the first of two")
	h.want(h.take(b), true, "the second of two")
	time.Sleep(30 * time.Millisecond)
	h.want(h.take(b), true, "after 30 ms at 50/s")
}

// pair makes two buckets of one group.
func (h *harness) pair(a, b limit) (ratelimit.Bucket, ratelimit.Bucket) {
	group := h.id()
	return a.bucket(h.id(), group, 1), b.bucket(h.id(), group, 1)
}

func allOrNone(h *harness) {
	wide, narrow := h.pair(limit{10, day, 10}, limit{2, day, 2})
	h.checkAllOrNone(wide, narrow)
}

func acrossGroups(h *harness) {
	h.checkAllOrNone(h.bucket(limit{10, day, 10}), h.bucket(limit{2, day, 2}))
}

func (h *harness) checkAllOrNone(wide, narrow ratelimit.Bucket) {
	for range 2 {
		l := h.do(opTake, wide, narrow)
		h.want(l[0].OK && l[1].OK, true, "both have tokens")
	}
	for range 3 {
		l := h.do(opTake, wide, narrow)
		h.want(l[1].OK, false, "the narrow one is drained")
		l = h.do(opTake, narrow, wide)
		h.want(l[0].OK, false, "the narrow one is drained")
	}
	if left := h.do(opPeek, wide)[0].Units / wide.Period; left != 8 {
		h.Errorf("the wide bucket has %d tokens, want 8: denied takes have charged it", left)
	}
}

func deniedChangesNothing(h *harness) {
	b := h.bucket(limit{4, day, 4})
	h.want(h.take(b), true, "one of four")
	big := b
	big.Cost = 4 * b.Period
	for range 5 {
		h.want(h.take(big), false, "four of three")
	}
	big.Cost = 3 * b.Period
	h.want(h.take(big), true, "three of three")
}

func oddCosts(h *harness) {
	b := h.bucket(slow)
	free, dear := b, b
	free.Cost, dear.Cost = 0, b.Cap+1
	h.want(h.take(free), true, "cost 0 of a new bucket")
	h.want(h.take(dear), false, "a cost above the burst of a full bucket")
	for h.take(b) {
	}
	h.want(h.take(free), true, "cost 0 of an empty bucket")
	h.do(opCharge, b)
	h.want(h.take(free), true, "cost 0 in debt")
	h.want(h.do(opPeek, b)[0].OK, false, "peek in debt")
}

func debt(h *harness) {
	b := h.bucket(slow)
	for h.take(b) {
	}
	c := b
	c.Cost = 3 * b.Period
	h.want(h.do(opCharge, c)[0].OK, true, "three into debt")
	l := h.do(opCharge, c)[0]
	h.want(l.OK, false, "three more: cut at five")
	if l.Units != -b.Cap {
		h.Errorf("in debt by %d units, want one burst, %d", -l.Units, b.Cap)
	}
	h.want(h.take(b), false, "in debt")
	other := h.bucket(slow)
	other.Cost = 2 * other.Cap
	h.want(h.do(opCharge, other)[0].OK, true, "twice the burst from a full, unseen bucket")
}

func credit(h *harness) {
	b := h.bucket(slow)
	h.do(opCredit, b) // unseen: full and stays so
	h.want(h.take(b), true, "the first of five")
	h.want(h.take(b), true, "the second of five")
	h.do(opCredit, b)
	if left := h.do(opPeek, b)[0].Units / b.Period; left != 4 {
		h.Errorf("%d tokens, want 4", left)
	}
	all := b
	all.Cost = b.Cap
	h.do(opCredit, all)
	if l := h.do(opPeek, b)[0]; l.Units != b.Cap {
		h.Errorf("%d units, want %d", l.Units, b.Cap)
	}
}

func reset(h *harness) {
	b, other := h.bucket(slow), h.bucket(slow)
	h.do(opReset, b)
	for h.take(b) {
	}
	h.do(opCharge, b)
	h.take(other)
	h.do(opReset, b)
	h.want(h.take(b), true, "after a reset")
	if l := h.do(opPeek, other)[0]; l.Units/other.Period != 4 {
		h.Errorf("another key has changed: %+v", l)
	}
}

func carry(h *harness) {
	key, group := h.id(), h.id()
	at := func(l limit, cost int64) ratelimit.Bucket { return l.bucket(key, group, cost) }
	day10, day20, hour3 := limit{10, day, 10}, limit{20, day, 20}, limit{3, day / 24, 3}
	h.take(at(day10, 4)) // 6 left
	if l := h.do(opPeek, at(day20, 1))[0]; l.Units/at(day20, 1).Period != 6 {
		h.Errorf("raised: %+v, want 6 tokens", l)
	}
	h.take(at(day20, 1)) // 5
	h.take(at(hour3, 1)) // clamped to 3, 2 left
	if l := h.do(opPeek, at(day10, 1))[0]; l.Units/at(day10, 1).Period != 2 {
		h.Errorf("lowered and raised: %+v, want 2 tokens", l)
	}
	h.do(opCharge, at(day10, 9)) // 7 in debt
	if l := h.do(opCharge, at(hour3, 0))[0]; l.Units != -at(hour3, 1).Cap {
		h.Errorf("a debt is clamped to the new burst: %+v", l)
	}
	h.do(opReset, at(hour3, 1))
	if l := h.do(opPeek, at(day20, 1))[0]; l.Units != at(day20, 1).Cap {
		h.Errorf("a full bucket becomes full: %+v", l)
	}
}

func alternate(h *harness) {
	key, group := h.id(), h.id()
	a, b := limit{10, second, 10}.bucket(key, group, 1), limit{11, second, 11}.bucket(key, group, 1)
	for h.take(a) || h.take(b) {
	}
	granted := 0
	for range 1000 { // two seconds
		time.Sleep(2 * time.Millisecond)
		if h.take(a) {
			granted++
		}
		a, b = b, a
	}
	if granted < 20 || granted > 23 {
		h.Errorf("%d granted in two seconds at 10 and 11 per second", granted)
	}
}

func idleYear(h *harness) {
	b := h.bucket(limit{5, 360 * day, 5})
	h.do(opCharge, limit{5, 360 * day, 5}.bucket(b.Key, b.Group, 10))
	for range 2 {
		time.Sleep(360 * 24 * time.Hour)
		h.do(opPeek, b)
	}
	h.want(h.take(b), true, "after two idle years")
	time.Sleep(71 * 24 * time.Hour)
	h.do(opPeek, b)
}

func leases(h *harness) {
	b := h.places(3, time.Hour)
	held := []ratelimit.Bucket{h.holding(b), h.holding(b), h.holding(b)}
	for i := range held {
		h.want(h.take(held[i]), true, "three places")
	}
	h.want(h.do(opPeek, b)[0].OK, false, "peek at none left")
	h.want(h.take(h.holding(b)), false, "a fourth")
	h.want(h.do(opCredit, held[1])[0].OK, true, "release")
	h.want(h.do(opCredit, held[1])[0].OK, false, "release twice")
	h.want(h.take(h.holding(b)), true, "the place is free again")
	h.want(h.do(opCharge, h.holding(b))[0].OK, true, "a charge goes beyond the bound")
	h.want(h.take(h.holding(b)), false, "four of three")
	more := b
	more.Cap = 5
	h.want(h.take(h.holding(more)), true, "the bound was raised to five")
	h.do(opReset, b)
	h.want(h.take(h.holding(b)), true, "after a reset")
	h.want(h.take(h.holding(h.places(1, time.Hour))), true, "another key")
}

func leaseTwice(h *harness) {
	b := h.holding(h.places(1, time.Hour))
	for range 3 {
		h.want(h.take(b), true, "the same lease")
		h.want(h.take(h.holding(b)), false, "another")
	}
	h.do(opCredit, b)
	h.want(h.take(h.holding(b)), true, "released once")
}

// leaseEnds tells nothing where the machine stood still for too long: then it is
// done again, slower.
func leaseEnds(h *harness) {
	for lives := 400 * time.Millisecond; !leaseEndsIn(h, lives); lives *= 2 {
	}
}

func leaseEndsIn(h *harness, lives time.Duration) (inTime bool) {
	b := h.places(2, lives)
	kept, lost := h.holding(b), h.holding(b)
	begun := time.Now()
	h.do(opTake, kept)
	h.do(opTake, lost)
	time.Sleep(lives / 2)
	renewed := time.Now()
	h.do(opCharge, kept)
	both := h.take(h.holding(b))
	inTime = time.Since(begun) < lives
	time.Sleep(lives * 3 / 4)
	ended := h.do(opCredit, lost)[0].OK
	free, second := h.take(h.holding(b)), h.take(h.holding(b))
	if inTime = inTime && time.Since(renewed) < lives; !inTime {
		return false
	}
	h.want(both, false, "both are alive")
	h.want(ended, false, "it has ended")
	h.want(free, true, "its place is free")
	h.want(second, false, "the renewed one is alive")
	return true
}

func leaseEndsExactly(h *harness) {
	b := h.places(1, time.Minute)
	h.do(opTake, h.holding(b))
	time.Sleep(time.Minute - time.Microsecond)
	h.want(h.take(h.holding(b)), false, "a microsecond early")
	time.Sleep(time.Microsecond)
	h.want(h.take(h.holding(b)), true, "in time")
}

func leaseAndTokens(h *harness) {
	tokens := h.bucket(limit{2, day, 2})
	place := h.places(1, time.Hour)
	place.Group = tokens.Group
	first := h.holding(place)
	h.do(opTake, tokens, first)
	l := h.do(opTake, tokens, h.holding(place))
	h.want(l[1].OK, false, "no place")
	if left := h.do(opPeek, tokens)[0].Units / tokens.Period; left != 1 {
		h.Errorf("%d tokens, want 1: the denied take has charged", left)
	}
	h.do(opTake, tokens) // drained
	h.do(opCredit, first)
	second := h.holding(place)
	l = h.do(opTake, second, tokens)
	h.want(l[1].OK, false, "no token")
	h.want(h.do(opCredit, second)[0].OK, false, "the denied take has added no lease")
}

func anyKey(h *harness) {
	special := []string{"{a}{b}:*?[x]\x00\r\n\t ", "{}{}{}{}{}{}{}{}", "\xff\xfe\x00\x00\x00\x00\x00\x00", "", "}{", "*"}
	for _, key := range special {
		for _, group := range special {
			b := slow.bucket([16]byte(append([]byte(key), make([]byte, 16)...)[:16]), [16]byte(append([]byte(group), make([]byte, 16)...)[:16]), 1)
			if group != "" {
				// A key belongs to one group for ever: make them differ.
				for i := range b.Key {
					b.Key[i] ^= b.Group[i]
				}
			}
			h.do(opReset, b) // an earlier run
			h.do(opTake, b)
		}
	}
}

func slicesStay(h *harness) {
	buckets := []ratelimit.Bucket{h.bucket(slow), h.bucket(slow), h.bucket(slow)}
	before := slices.Clone(buckets)
	levels := make([]ratelimit.Level, 3)
	levels[2] = ratelimit.Level{Units: 77}
	if err := h.store.Do(context.Background(), opTake, buckets[:2], levels[:2]); err != nil {
		h.Fatal(err)
	}
	if !slices.Equal(before, buckets) || levels[2] != (ratelimit.Level{Units: 77}) {
		h.Error("the store has written to buckets, or beyond the levels it was given")
	}
	for i := range buckets {
		buckets[i] = ratelimit.Bucket{}
		levels[i] = ratelimit.Level{Units: -1}
	}
	time.Sleep(5 * time.Millisecond)
	if !slices.Equal(levels, []ratelimit.Level{{Units: -1}, {Units: -1}, {Units: -1}}) {
		h.Error("the store writes to levels after it has returned")
	}
	if err := h.store.Do(context.Background(), opPeek, before, levels); err != nil || levels[0].Units/before[0].Period != 4 {
		h.Errorf("the store has used the caller's slice after it returned: %+v %v", levels, err)
	}
}

func outOfBounds(h *harness) {
	good := h.bucket(slow)
	for _, edit := range []func(*ratelimit.Bucket){
		func(b *ratelimit.Bucket) { b.Rate = -1 },
		func(b *ratelimit.Bucket) { b.Period = 0 },
		func(b *ratelimit.Bucket) { b.Cap = 0 },
		func(b *ratelimit.Bucket) { b.Cap = ratelimit.MaxUnits + 1 },
		func(b *ratelimit.Bucket) { b.Cost = -1 },
		func(b *ratelimit.Bucket) { b.Rate, b.Period = 0, 0 },
	} {
		b := h.bucket(slow)
		edit(&b)
		err := h.store.Do(context.Background(), opTake, []ratelimit.Bucket{good, b}, make([]ratelimit.Level, 2))
		if err == nil {
			h.Errorf("accepted: %+v", b)
		}
	}
	if l := h.do(opPeek, good)[0]; l.Units != good.Cap {
		h.Errorf("calls that failed have charged: %+v", l)
	}
}

func cancelled(h *harness) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := []ratelimit.Bucket{h.bucket(slow)}
	err := h.store.Do(ctx, opTake, b, make([]ratelimit.Level, 1))
	if err != nil && !errors.Is(err, context.Canceled) {
		h.Errorf("a cancelled call failed with %v; must wrap context.Canceled", err)
	}
}

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

func concurrentBurst(h *harness) {
	b := h.bucket(limit{100, day, 100})
	var granted atomic.Int64
	together(1000, func(int) {
		var l [1]ratelimit.Level
		if err := h.store.Do(context.Background(), opTake, []ratelimit.Bucket{b}, l[:]); err != nil {
			h.Error(err)
		} else if l[0].OK {
			granted.Add(1)
		}
	})
	if n := granted.Load(); n != 100 {
		h.Errorf("%d granted, want 100", n)
	}
}

func concurrentRefill(h *harness) {
	const perSecond = 1000
	b := h.bucket(limit{perSecond, second, 10})
	var granted atomic.Int64
	start := time.Now()
	together(16, func(int) {
		var l [1]ratelimit.Level
		for time.Since(start) < 300*time.Millisecond {
			if err := h.store.Do(context.Background(), opTake, []ratelimit.Bucket{b}, l[:]); err != nil {
				h.Error(err)
				return
			}
			if l[0].OK {
				granted.Add(1)
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	took := time.Since(start) + time.Since(start)/1000
	if n, most := granted.Load(), 10+int64(took.Seconds()*perSecond); n > most || n < 10 {
		h.Errorf("%d granted in %v, want 10 to %d", n, took, most)
	}
}

func noDeadlock(h *harness) {
	var all []ratelimit.Bucket
	for range 6 {
		all = append(all, h.bucket(limit{1_000_000, second, 1_000_000}))
	}
	together(8, func(i int) {
		r := rand.New(rand.NewPCG(h.seed, uint64(i)))
		for range 50 {
			mine := slices.Clone(all)
			r.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			if err := h.store.Do(context.Background(), opTake, mine, make([]ratelimit.Level, len(mine))); err != nil {
				h.Error(err)
			}
		}
	})
}

// randomLimits are what random draws from: coarse and fine, round and not.
var randomLimits = []limit{
	{3, second, 3},
	{1, 90 * second, 1},
	{1000, day, 1000},
	{10, second, 100},
	{7, 11_000, 5},
	{1, 30 * day, 4},
	{999_999_937, 3600 * second, 10},
	{1_000_000, 1000, 1_000_000},
	{100, 60 * second, 100},
	{13, 17 * second, 1},
}

// random throws every operation at a few principals with a few buckets each.
func random(h *harness) {
	type name struct{ key, group [16]byte }
	var names []name
	for range 5 {
		group := h.id()
		for range 4 {
			names = append(names, name{h.id(), group})
		}
	}
	limits := make([]limit, len(names)) // what each bucket is set to
	for i := range limits {
		limits[i] = randomLimits[h.rand.IntN(len(randomLimits))]
	}
	place := h.places(3, 10*time.Minute)
	var ids [5][16]byte
	for i := range ids {
		ids[i] = h.id()
	}
	calls, start := 100_000, time.Now()
	if !h.fake {
		calls = 5000
	}
	for i := 0; i < calls && (h.fake || time.Since(start) < 2*time.Second); i++ {
		op := [...]ratelimit.Op{
			opTake, opTake, opTake, opTake, opTake, opTake, opTake, opTake, opTake, opTake, opTake, opTake,
			opPeek, opPeek, opCharge, opCharge, opCredit, opCredit, opTake, opReset,
		}[h.rand.IntN(20)]
		if op == opReset && h.rand.IntN(4) > 0 {
			op = opTake
		}
		first := h.rand.IntN(len(names))
		var buckets []ratelimit.Bucket
		for j := range 1 + h.rand.IntN(3)*h.rand.IntN(2) {
			n := first/4*4 + (first+j)%4 // of the same group
			if h.rand.IntN(100) == 0 {
				limits[n] = randomLimits[h.rand.IntN(len(randomLimits))]
			}
			l := limits[n]
			b := l.bucket(names[n].key, names[n].group, h.rand.Int64N(1+min(l.burst+1, 4)))
			if h.rand.IntN(8) == 0 {
				b.Cost = h.rand.Int64N(b.Cap + 2) // any units
			}
			if op == opCharge && h.rand.IntN(4) == 0 {
				b.Cost = h.rand.Int64N(2 * b.Cap)
			}
			buckets = append(buckets, b)
		}
		if h.rand.IntN(10) == 0 {
			p := place
			p.Group = names[first].group
			p.Key[0] = byte(first / 4)
			if op != opPeek && op != opReset {
				p.Lease = ids[h.rand.IntN(len(ids))]
			}
			buckets = append(buckets, p)
		}
		h.do(op, buckets...)
		h.pause()
	}
}

// pause sleeps for anything between nothing and, in fake time, three months.
func (h *harness) pause() {
	switch {
	case h.rand.IntN(3) > 0:
	case h.fake:
		time.Sleep(time.Duration(1) << h.rand.IntN(53))
	case h.rand.IntN(8) == 0:
		time.Sleep(time.Duration(h.rand.IntN(2000)) * time.Microsecond)
	}
}
