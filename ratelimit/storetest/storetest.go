// Package storetest holds a [ratelimit.Store] to its contract: the same calls at
// the same times get the same answers from every store.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) ratelimit.Store { return newMyStore(t) })
//	}
//
// The oracle is a model that keeps tokens as exact fractions ([big.Rat]) and knows
// nothing of units, and that follows random sequences of every operation on
// several limits at once, changes of the limits among them.
//
// The suite cannot set the clock of a remote store, so it does not ask what time
// it is there. It notes the time before and after each call; the store's instant
// lies between. From the level that the store reports, the model computes how many
// microseconds must have passed since the bucket's last change: a whole number, or
// the store has rounded; and one that leads from the earlier span into the later,
// or the store's clock is wrong, or tokens have come from nowhere. In [RunFake]
// both spans are points, and every answer is compared exactly.
//
// It imports the standard library alone.
package storetest

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// Run runs the suite on the real clock, in a few seconds. newStore is called for
// each test and returns an empty store, or one that no other test has used the keys
// of: the suite's keys are random. It may close the store with t.Cleanup.
//
// The store's clock may be any other clock, on another machine, that goes as fast
// as the local one to a thousandth and does not jump meanwhile.
func Run(t *testing.T, newStore func(t *testing.T) ratelimit.Store) {
	t.Helper()
	run(t, newStore, false)
}

// RunFake runs the suite in [synctest] bubbles, over months of fake time, with a
// hundred thousand operations. It is for stores that live in this process, take
// the time from package time and wait for nothing outside their bubble.
func RunFake(t *testing.T, newStore func(t *testing.T) ratelimit.Store) {
	t.Helper()
	run(t, newStore, true)
}

func run(t *testing.T, newStore func(t *testing.T) ratelimit.Store, fake bool) {
	for _, c := range cases {
		if c.fakeOnly && !fake {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if !fake {
				c.f(newHarness(t, newStore(t), fake))
				return
			}
			synctest.Test(t, func(t *testing.T) { c.f(newHarness(t, newStore(t), fake)) })
		})
	}
}

// A harness is a store under test and the model that follows it.
type harness struct {
	*testing.T
	store ratelimit.Store
	fake  bool
	start time.Time
	rand  *rand.Rand
	seed  uint64
	model map[[16]byte]*account
	lease map[[16]byte]map[[16]byte]int64
	calls int
}

func newHarness(t *testing.T, s ratelimit.Store, fake bool) *harness {
	seed := rand.Uint64()
	return &harness{
		T: t, store: s, fake: fake, start: time.Now(), seed: seed,
		rand:  rand.New(rand.NewPCG(seed, 0)),
		model: make(map[[16]byte]*account),
		lease: make(map[[16]byte]map[[16]byte]int64),
	}
}

// id makes 16 random bytes.
func (h *harness) id() (id [16]byte) {
	for i := range id {
		id[i] = byte(h.rand.Uint32())
	}
	return id
}

// bucket makes a bucket of a new key and group, at a cost of one token.
func (h *harness) bucket(l limit) ratelimit.Bucket {
	return l.bucket(h.id(), h.id(), 1)
}

// places makes a lease bucket of a new key.
func (h *harness) places(n int64, lives time.Duration) ratelimit.Bucket {
	return ratelimit.Bucket{Key: h.id(), Group: h.id(), Period: lives.Microseconds(), Cap: n, Cost: 1}
}

// holding is the bucket with another lease.
func (h *harness) holding(b ratelimit.Bucket) ratelimit.Bucket {
	b.Lease = h.id()
	return b
}

// do calls the store, holds the answer against the model, and returns it.
func (h *harness) do(op ratelimit.Op, buckets ...ratelimit.Bucket) []ratelimit.Level {
	h.Helper()
	h.calls++
	levels := make([]ratelimit.Level, len(buckets))
	from := time.Since(h.start)
	if err := h.store.Do(context.Background(), op, buckets, levels); err != nil {
		h.Fatalf("Do(%s): %v", opName(op), err)
	}
	to := time.Since(h.start)
	span := span{from.Microseconds(), (to + time.Microsecond - 1).Microseconds()}
	if err := h.check(op, buckets, levels, span); err != nil {
		h.Fatalf("call %d (seed %d): %s of %+v\nsays %+v: %v", h.calls, h.seed, opName(op), buckets, levels, err)
	}
	return levels
}

// take is an OpTake of one bucket: whether it was allowed.
func (h *harness) take(b ratelimit.Bucket) bool {
	h.Helper()
	return h.do(ratelimit.OpTake, b)[0].OK
}

func opName(op ratelimit.Op) string {
	switch op {
	case ratelimit.OpTake:
		return "take"
	case ratelimit.OpPeek:
		return "peek"
	case ratelimit.OpCharge:
		return "charge"
	case ratelimit.OpCredit:
		return "credit"
	case ratelimit.OpReset:
		return "reset"
	}
	return "unknown"
}
