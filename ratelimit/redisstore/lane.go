package redisstore

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A lane takes calls to Redis in batches: while its workers are on their trips,
// new calls gather, and go out together with the next. At most workersPerLane
// trips are out at a time, whatever the number of requests.
//
// A single server has one lane. A cluster has one for every 1024 hash slots, so
// that a node that does not answer opens the breakers of its own slots and not
// of the others'.
type lane struct {
	store *Store

	mu      sync.Mutex
	wake    sync.Cond
	queue   []*call
	differ  int     // calls in the queue that differ from the one before, at most
	out     []*trip // that are on their way
	away    int     // workers that are, or that hand answers back
	idle    int     // workers that wait, less those already woken
	workers int
	closed  bool
	breaker breaker

	// One timer for all calls: set for the earliest deadline, or later woken in
	// vain. A timer for each call would cost more than the call.
	watch   *time.Timer
	watched int64 // when it fires; 0: not set
}

const (
	clusterLanes = 16
	// Two: one trip is prepared and read while the other is at the server. More
	// make smaller batches, which costs throughput and wins little latency.
	workersPerLane = 2
	// maxTrip bounds the calls of a trip, so that the first of a great crowd do
	// not wait for the last.
	maxTrip = 2048
	// secondTrip is how many calls that differ are worth a trip beside another.
	secondTrip = 16
	// regroupFor is less than a trip takes.
	regroupFor = 50 * time.Microsecond
	// tryAgain is how long a worker waits where a slot is on its way to another
	// node and its keys are on both.
	tryAgain = time.Millisecond
	// watchEvery bounds how often a lane looks whose time is up: thousands of
	// calls may have deadlines a microsecond apart.
	watchEvery = time.Millisecond
)

func newLane(s *Store) *lane {
	l := &lane{store: s}
	l.wake.L = &l.mu
	l.watch = time.AfterFunc(time.Hour, l.expire)
	l.watch.Stop()
	return l
}

// submit queues the call, or says at once why not.
func (l *lane) submit(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	now := l.store.now()
	ok, probe := l.breaker.admit(now)
	if !ok {
		return ErrUnavailable
	}
	c.probe = probe
	l.enqueue(c)
	if l.worthATrip() {
		l.rouse()
	}
	l.watchFor(c.deadline, now)
	return nil
}

// enqueue appends the call and keeps count of how the queue differs. With the lock
// held.
func (l *lane) enqueue(c *call) {
	if n := len(l.queue); n == 0 || l.queue[n-1].buckets[0].Key != c.buckets[0].Key {
		l.differ++
	}
	if c.probe || c.must {
		l.differ = max(l.differ, secondTrip)
	}
	l.queue = append(l.queue, c)
}

// worthATrip tells whether the queue should go out now. While a worker is away it
// waits until it holds a few calls that differ, or one that is urgent: equal ones
// will be one with those that come until the worker is back, and half as many
// trips carry all of them. With the lock held.
func (l *lane) worthATrip() bool {
	return len(l.queue) > 0 && (l.away == 0 || l.differ >= secondTrip)
}

// rouse gets a worker for the queue, if one is to be had. With the lock held.
func (l *lane) rouse() {
	if l.idle > 0 {
		l.idle--
		l.wake.Signal()
		return
	}
	if l.workers < workersPerLane {
		l.workers++
		l.store.workers.Add(1)
		go l.work()
	}
}

func (l *lane) watchFor(deadline, now int64) {
	if l.watched == 0 || deadline < l.watched {
		l.watched = deadline
		l.watch.Reset(time.Duration(max(0, deadline-now)))
	}
}

// expire ends the wait of those whose time is up. It is the timer's.
func (l *lane) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.store.now()
	var next int64
	late := false
	look := func(calls []*call) {
		for _, c := range calls {
			switch state := c.state.Load(); {
			case state != queued && state != sent:
			case c.deadline <= now:
				late = c.expire() && !c.must || late
			case next == 0 || c.deadline < next:
				next = c.deadline
			}
		}
	}
	look(l.queue)
	for _, t := range l.out {
		look(t.calls)
	}
	if l.watched = 0; next != 0 {
		l.watchFor(max(next, now+int64(watchEvery)), now)
	}
	if late {
		l.open(now)
	}
}

// open opens the breaker, if it is closed, and sends those who wait in the queue
// home: they would only wait for nothing. With the lock held.
func (l *lane) open(now int64) {
	if !l.breaker.trip(now) {
		return
	}
	l.queue = slices.DeleteFunc(l.queue, func(c *call) bool {
		if c.must || c.probe {
			return false
		}
		c.finish(ErrUnavailable)
		return true
	})
}

func (l *lane) work() {
	defer l.store.workers.Done()
	t := newTrip(l.store)
	for l.next(t) {
		began := l.store.now()
		ctx, cancel := context.WithTimeout(l.store.ctx, l.store.tripTimeout)
		err := t.run(ctx, began)
		cancel()
		l.back(t, err == nil, began)
		carried := len(t.calls)
		if t.finish(); len(t.again) > 0 {
			time.Sleep(tryAgain)
			l.requeue(t)
		}
		l.regroup(carried)
	}
}

// regroup lets those who were just answered ask again, as a busy service's
// goroutines do: one trip for all of them, not one for the first and one for the
// others. It yields for as long as they keep coming, and not for long.
func (l *lane) regroup(carried int) {
	began := l.store.now()
	for before := -1; carried > 1 && l.store.now()-began < int64(regroupFor); {
		l.mu.Lock()
		queued := len(l.queue)
		l.mu.Unlock()
		if queued >= carried || queued == before {
			return
		}
		before = queued
		runtime.Gosched()
	}
}

// next waits for calls and hands them to the trip. False once the lane is
// closed.
func (l *lane) next(t *trip) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.away {
		t.away = false
		l.away--
	}
	for !l.closed {
		if !l.worthATrip() {
			l.idle++
			l.wake.Wait()
			continue
		}
		n, now := min(len(l.queue), maxTrip), l.store.now()
		for _, c := range l.queue[:n] {
			l.board(t, c, now)
		}
		if l.queue = slices.Delete(l.queue, 0, n); len(l.queue) == 0 {
			l.differ = 0
		}
		if len(t.calls) > 0 {
			l.out = append(l.out, t)
			t.away = true
			l.away++
			if l.worthATrip() {
				l.rouse()
			}
			return true
		}
	}
	return false
}

// board takes a call along, unless nobody waits for it: then it is not charged.
// The trip before may have learnt that the call is to be denied.
func (l *lane) board(t *trip, c *call, now int64) {
	probe := c.probe
	switch denied := l.store.denied(c.op, c.buckets, c.levels, now); {
	case denied:
		c.finish(nil)
	case c.send():
		t.calls = append(t.calls, c)
		t.probe = t.probe || probe
		return
	}
	if probe {
		l.breaker.probed(now, false)
	}
}

// back tells the breaker how the trip went, and takes it off the watch. An
// answer that came when nobody could wait any more is no good sign.
func (l *lane) back(t *trip, answered bool, began int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = slices.DeleteFunc(l.out, func(o *trip) bool { return o == t })
	now := l.store.now()
	good := answered && now-began <= int64(l.store.timeout)
	if t.probe {
		l.breaker.probed(now, !good)
	}
	if good {
		l.breaker.answered()
	} else {
		l.open(now)
	}
}

// requeue puts the calls that were not executed at the head of the queue.
func (l *lane) requeue(t *trip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.store.now()
	var back []*call
	for _, c := range t.again {
		if c.probe = false; !c.unsend() {
			continue
		}
		if l.closed {
			c.finish(ErrClosed)
			continue
		}
		back = append(back, c)
		l.watchFor(c.deadline, now)
	}
	l.differ += len(back)
	l.queue = append(back, l.queue...)
	clear(t.again)
	t.again = t.again[:0]
}

// close ends the workers as soon as they are back, and sends the queue home.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.queue {
		c.finish(ErrClosed)
	}
	l.queue = nil
	l.wake.Broadcast()
}
