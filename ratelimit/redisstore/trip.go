package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

//go:embed take.lua
var script string

// scriptHash is how Redis names a script; nothing depends on SHA-1 being strong.
var scriptHash = func() string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}()

// maxRecords bounds what one run of the script does, and so how long it keeps
// other users of the server waiting: about a millisecond.
const maxRecords = 128

// maxSpare bounds what a worker keeps for its next trip: a map that a crowd has
// made large would have to be cleared each time.
const maxSpare = 256

// A command is one EVALSHA. The client must not send it twice: after a lost
// reply nobody knows whether it was executed, and a second time would charge
// twice.
type command struct{ *redis.IntSliceCmd }

func (command) NoRetry() bool { return true }

func (c command) Clone() redis.Cmder {
	return command{c.IntSliceCmd.Clone().(*redis.IntSliceCmd)}
}

// A trip is what a worker takes to Redis at once: a pipeline of script calls,
// on a single server one for all calls, in a cluster one for each group.
// It is used again and again by its worker.
type trip struct {
	store *Store
	calls []*call // as taken from the queue
	probe bool    // one of them is
	away  bool    // its worker has not come back for the next
	again []*call // certainly not executed, worth another trip

	batches []*batch
	spare   []*batch
	byGroup map[[16]byte]*batch
}

// A batch is one script call: keys, arguments, and the runs that the arguments
// describe.
type batch struct {
	cmd   command
	keys  []any
	args  []any
	runs  []run
	place map[[16]byte]place
}

// A run is equal calls, executed in turn; of a take without leases the script
// does them all in one step.
type run struct {
	calls []*call
	times int // where args has the number of calls; 0: nothing may join
}

// place is what a batch knows of a key: its number in KEYS, and the last run
// that touches it, which alone may grow if the order is to stay.
type place struct{ key, run int }

func newTrip(s *Store) *trip {
	return &trip{store: s, byGroup: map[[16]byte]*batch{}}
}

// run executes the calls and leaves their answers in them. An error is of the
// connection: Redis did not answer, or not to all.
func (t *trip) run(ctx context.Context, now int64) error {
	for _, c := range t.calls {
		c.sent, c.err = now, nil // it may have been sent in vain before
		t.add(c)
	}
	t.exec(ctx, t.batches, "evalsha", scriptHash)
	var unknown []*batch
	for _, b := range t.batches {
		if redis.HasErrorPrefix(b.cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, b)
		}
	}
	if len(unknown) > 0 { // nothing of it was executed, so this is no second time
		t.exec(ctx, unknown, "eval", script)
	}
	var failed error
	for _, b := range t.batches {
		if err := t.read(b); err != nil {
			failed = err
		}
	}
	return failed
}

func (t *trip) exec(ctx context.Context, batches []*batch, name, script string) {
	pipe := t.store.client.Pipeline()
	for _, b := range batches {
		args := make([]any, 0, 3+len(b.keys)+len(b.args))
		args = append(args, name, script, len(b.keys))
		args = append(append(args, b.keys...), b.args...)
		b.cmd = command{redis.NewIntSliceCmd(ctx, args...)}
		_ = pipe.Process(ctx, b.cmd) // only queues
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
}

// add puts a call into the batch where it belongs.
func (t *trip) add(c *call) {
	b := t.batch(c.buckets[0].Group)
	first, seen := b.place[c.buckets[0].Key]
	if seen && b.grow(first.run, c) {
		return
	}
	r := len(b.runs)
	times := 0
	if c.op == ratelimit.OpTake && !slices.ContainsFunc(c.buckets, isLease) {
		times = len(b.args) + 1
	}
	b.runs = append(b.runs, run{calls: []*call{c}, times: times})
	b.args = append(b.args, int(c.op), 1, len(c.buckets))
	for i := range c.buckets {
		k := &c.buckets[i]
		p, known := b.place[k.Key]
		if !known {
			b.keys = append(b.keys, string(appendKey(make([]byte, 0, 128), t.store.prefix, k)))
			p.key = len(b.keys)
		}
		p.run = r
		b.place[k.Key] = p
		b.args = append(b.args, p.key, limits(k), k.Cost, lease(k))
	}
}

// limits is how the script and the stored value write a bucket's limits.
func limits(b *ratelimit.Bucket) string {
	dst := make([]byte, 0, 64)
	dst = append(strconv.AppendInt(dst, b.Rate, 10), ' ')
	dst = append(strconv.AppendInt(dst, b.Period, 10), ' ')
	return string(strconv.AppendInt(dst, b.Cap, 10))
}

// lease is the script's last argument of a bucket.
func lease(b *ratelimit.Bucket) string {
	switch {
	case !isLease(*b):
		return ""
	case b.Lease == [16]byte{}:
		return "-"
	}
	return string(b.Lease[:])
}

func isLease(b ratelimit.Bucket) bool { return b.Rate == 0 }

// grow adds an equal call to a run, if no other run has touched one of its keys
// since.
func (b *batch) grow(r int, c *call) bool {
	run := &b.runs[r]
	if run.times == 0 || c.op != ratelimit.OpTake || !slices.Equal(run.calls[0].buckets, c.buckets) {
		return false
	}
	for i := range c.buckets {
		if b.place[c.buckets[i].Key].run != r {
			return false
		}
	}
	run.calls = append(run.calls, c)
	b.args[run.times] = len(run.calls)
	return true
}

// batch returns the batch that takes calls of a group: in a cluster one of its
// own, else one for all. A full one is followed by another.
func (t *trip) batch(group [16]byte) *batch {
	if !t.store.spread {
		group = [16]byte{}
	}
	b := t.byGroup[group]
	if b != nil && len(b.runs) < maxRecords {
		return b
	}
	if n := len(t.spare); n > 0 {
		b, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		b = &batch{place: map[[16]byte]place{}}
	}
	t.batches = append(t.batches, b)
	t.byGroup[group] = b
	return b
}

// read gives each call its answer. It returns an error of the connection, not
// one that Redis replied.
func (t *trip) read(b *batch) error {
	err := b.cmd.Err()
	values := b.cmd.Val()
	if want := b.size(); err == nil && len(values) != want {
		err = fmt.Errorf("the script replied %d numbers, not %d", len(values), want)
	}
	if err != nil {
		return t.fail(b, err)
	}
	for _, r := range b.runs {
		n := 1 + 2*len(r.calls[0].buckets)
		r.read(values[:n], t.store.prefix)
		values = values[n:]
	}
	return nil
}

// fail gives all calls of a batch the error. Where a slot is on its way to
// another node and only some of the keys are there, nothing was executed and the
// calls take the next trip.
func (t *trip) fail(b *batch, err error) error {
	again := redis.IsTryAgainError(err)
	wrapped := fmt.Errorf("redisstore: %w", err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// Of the trip, not of the caller: it must not look as if that gave up.
		wrapped = fmt.Errorf("redisstore: %v", err)
	}
	for _, r := range b.runs {
		for _, c := range r.calls {
			c.err = wrapped
		}
		if again {
			t.again = append(t.again, r.calls...)
		}
	}
	if reply := redis.Error(nil); errors.As(err, &reply) {
		return nil
	}
	return err
}

func (b *batch) size() (n int) {
	for _, r := range b.runs {
		n += 1 + 2*len(r.calls[0].buckets)
	}
	return n
}

// read turns the script's record into the answers of the run's calls.
func (r *run) read(record []int64, prefix string) {
	granted, record := record[0], record[1:]
	for i, c := range r.calls {
		switch {
		case granted < 0:
			c.err = foreign(c, record, prefix)
		case c.op == ratelimit.OpTake:
			c.took(record, int64(i), granted)
		default:
			for j := range c.levels {
				c.levels[j] = ratelimit.Level{Units: record[2*j], OK: record[2*j+1] != 0}
				c.news[j] = true
			}
		}
	}
}

// took fills the answer of the i-th of equal takes of which granted passed: the
// record has the levels before the first. news is of a lease: it was added, not
// renewed; of a token bucket: Redis holds it under these very limits.
func (c *call) took(record []int64, i, granted int64) {
	allowed := i < granted
	for j := range c.buckets {
		before, flag, cost := record[2*j], record[2*j+1], c.buckets[j].Cost
		switch {
		case isLease(c.buckets[j]):
			if c.news[j] = allowed && flag == 1; c.news[j] {
				before--
			}
			c.levels[j] = ratelimit.Level{Units: before, OK: flag != 0}
		case allowed:
			c.news[j] = flag == 1 || cost > 0
			c.levels[j] = ratelimit.Level{Units: before - (i+1)*cost, OK: true}
		default:
			c.news[j] = flag == 1 || granted > 0 && cost > 0
			units := before - granted*cost
			c.levels[j] = ratelimit.Level{Units: units, OK: cost == 0 || cost <= units}
		}
	}
}

// foreign says which key held something that no bucket is.
func foreign(c *call, record []int64, prefix string) error {
	for j := range c.buckets {
		if record[2*j+1] != 0 {
			return fmt.Errorf("%w: %q", ErrForeign, appendKey(nil, prefix, &c.buckets[j]))
		}
	}
	return ErrForeign
}

// finish hands all calls back, except those to be tried again, and clears the
// trip for the next.
func (t *trip) finish() {
	for _, b := range t.batches {
		again := redis.IsTryAgainError(b.cmd.Err())
		for i := range b.runs {
			t.remember(b.runs[i].calls)
			for _, c := range b.runs[i].calls {
				if !again {
					c.finish(c.err)
				}
			}
		}
		if len(b.place) <= maxSpare && len(t.spare) < maxSpare {
			b.clear()
			t.spare = append(t.spare, b)
		}
	}
	if len(t.byGroup) > maxSpare {
		t.byGroup = map[[16]byte]*batch{}
	}
	clear(t.byGroup)
	clear(t.calls)
	clear(t.batches)
	t.calls, t.batches, t.probe = t.calls[:0], t.batches[:0], false
}

// remember keeps what a run tells for local denials, before anybody else knows
// of it. What gave tokens back voids older knowledge even if it failed: it may
// have been executed.
func (t *trip) remember(run []*call) {
	d := t.store.drained
	if d == nil {
		return
	}
	c := run[len(run)-1] // of equal takes it saw the lowest levels
	switch c.op {
	case ratelimit.OpCredit, ratelimit.OpReset:
		d.end(c, t.store.now())
	case ratelimit.OpTake, ratelimit.OpCharge:
		if c.err == nil {
			d.learn(c)
		}
	}
}

// clear empties the batch for the next trip.
func (b *batch) clear() {
	clear(b.keys)
	clear(b.args)
	clear(b.runs)
	b.cmd, b.keys, b.args, b.runs = command{}, b.keys[:0], b.args[:0], b.runs[:0]
	clear(b.place)
}
