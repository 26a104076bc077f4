package redisstore

import (
	"context"
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
	idle    int // workers that wait, less those already woken
	workers int
	closed  bool
	breaker breaker
}

const (
	clusterLanes = 16
	// Two: one trip is prepared and read while the other is at the server. More
	// make smaller batches, which costs throughput and wins little latency.
	workersPerLane = 2
	// maxTrip bounds the calls of a trip, so that the first of a great crowd do
	// not wait for the last.
	maxTrip = 2048
	// tryAgain is how long a worker waits where a slot is on its way to another
	// node and its keys are on both.
	tryAgain = time.Millisecond
)

func newLane(s *Store) *lane {
	l := &lane{store: s}
	l.wake.L = &l.mu
	return l
}

// submit queues the call, or says at once why not.
func (l *lane) submit(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	ok, probe := l.breaker.admit(l.store.now())
	if !ok {
		return ErrUnavailable
	}
	c.probe = probe
	l.queue = append(l.queue, c)
	l.rouse()
	return nil
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

// overrun says that a caller's time was up.
func (l *lane) overrun() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open()
}

// open opens the breaker, if it is closed, and sends those who wait in the queue
// home: they would only wait for nothing. With the lock held.
func (l *lane) open() {
	if !l.breaker.trip(l.store.now()) {
		return
	}
	kept := l.queue[:0]
	for _, c := range l.queue {
		if c.must || c.probe {
			kept = append(kept, c)
		} else {
			c.finish(ErrUnavailable)
		}
	}
	clear(l.queue[len(kept):])
	l.queue = kept
}

func (l *lane) work() {
	defer l.store.workers.Done()
	t := newTrip(l.store)
	for l.next(t) {
		ctx, cancel := context.WithTimeout(l.store.ctx, l.store.tripTimeout)
		began := l.store.now()
		err := t.run(ctx, began)
		cancel()
		l.settle(t, err == nil && l.store.now()-began <= int64(l.store.timeout))
		if t.finish(); len(t.again) > 0 {
			time.Sleep(tryAgain)
			l.requeue(t)
		}
	}
}

// next waits for calls and hands them to the trip. False once the lane is
// closed.
func (l *lane) next(t *trip) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return false
		}
		n := min(len(l.queue), maxTrip)
		for _, c := range l.queue[:n] {
			l.board(t, c)
		}
		rest := copy(l.queue, l.queue[n:])
		clear(l.queue[rest:])
		l.queue = l.queue[:rest]
		if len(t.calls) > 0 {
			if rest > 0 {
				l.rouse()
			}
			return true
		}
		if rest == 0 {
			l.idle++
			l.wake.Wait()
		}
	}
}

// board takes a call along, unless its caller has left: then it is not charged.
func (l *lane) board(t *trip, c *call) {
	if !c.send() {
		if c.probe {
			l.breaker.probed(0, false)
		}
		c.recycle()
		return
	}
	t.calls = append(t.calls, c)
	t.probe = t.probe || c.probe
}

// settle tells the breaker how the trip went.
func (l *lane) settle(t *trip, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.probe {
		l.breaker.probed(l.store.now(), !good)
	}
	if good {
		l.breaker.answered()
	} else {
		l.open()
	}
}

// requeue puts the calls that were not executed first in the queue again.
func (l *lane) requeue(t *trip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	back := t.again[:0]
	for _, c := range t.again {
		if c.probe = false; c.unsend() {
			back = append(back, c)
		}
	}
	defer func() { clear(t.again); t.again = t.again[:0] }()
	if l.closed {
		for _, c := range back {
			c.finish(ErrClosed)
		}
		return
	}
	l.queue = append(append(make([]*call, 0, len(back)+len(l.queue)), back...), l.queue...)
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
