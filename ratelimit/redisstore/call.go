package redisstore

import (
	"sync"
	"sync/atomic"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A call is one operation on its way through a lane: copies of what the caller
// wants, and room for the answer.
//
// Its state decides who may touch it. Whoever moves it to finished sends the one
// message on done, and the caller reads the answer; whoever moves it to gone
// ends the wait without an answer, and then nobody but the lane may look at the
// rest. A call that is gone is left to the garbage collector.
type call struct {
	op       ratelimit.Op
	probe    bool  // the one call that an open breaker let through
	must     bool  // to be sent even if nobody waits: it gives something back
	deadline int64 // until when the caller waits
	sent     int64 // when it went out
	buckets  []ratelimit.Bucket
	levels   []ratelimit.Level
	news     []bool // see took
	err      error

	state atomic.Int32
	done  chan struct{}
}

const (
	queued   int32 = iota // nothing has been sent
	sent                  // it may have been executed
	finished              // err and levels hold
	gone                  // nobody waits any more
)

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func newCall(op ratelimit.Op, buckets []ratelimit.Bucket) *call {
	c := calls.Get().(*call)
	c.op, c.probe, c.must, c.err = op, false, false, nil
	c.buckets = append(c.buckets[:0], buckets...)
	if n := len(buckets); cap(c.levels) < n {
		c.levels, c.news = make([]ratelimit.Level, n), make([]bool, n)
	} else {
		c.levels, c.news = c.levels[:n], c.news[:n]
		clear(c.news)
	}
	c.state.Store(queued)
	return c
}

// recycle keeps a finished call, or one that was never submitted, for the next.
func (c *call) recycle() {
	if cap(c.buckets) <= 64 { // one huge call shall not be kept for ever
		calls.Put(c)
	}
}

// send marks the call as sent. False where nobody waits any more, so that it must
// not be charged.
func (c *call) send() bool {
	return c.state.CompareAndSwap(queued, sent) || c.must
}

// unsend makes a call that was certainly not executed queued again. False where
// nobody waits for it.
func (c *call) unsend() bool {
	return c.state.CompareAndSwap(sent, queued) || c.must
}

// finish answers the caller, if it still waits.
func (c *call) finish(err error) {
	c.err = err
	if c.leave(finished) {
		c.done <- struct{}{}
	}
}

// expire ends the wait without an answer.
func (c *call) expire() bool {
	if c.leave(gone) {
		c.done <- struct{}{}
		return true
	}
	return false
}

// abandon is for a caller that will not wait longer. False where the wait has
// ended already: then the message is there.
func (c *call) abandon() bool { return c.leave(gone) }

// leave moves the call to one of its last two states, once.
func (c *call) leave(to int32) bool {
	for {
		state := c.state.Load()
		if state == finished || state == gone {
			return false
		}
		if c.state.CompareAndSwap(state, to) {
			return true
		}
	}
}
