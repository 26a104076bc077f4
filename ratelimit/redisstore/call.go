package redisstore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A call is one operation on its way through a lane: copies of what the caller
// wants, and room for the answer. Its state says who owns it. The caller does
// until it is queued and once it is finished; in between the lane does, and a
// caller that will not wait longer gives it up for good.
type call struct {
	op      ratelimit.Op
	probe   bool // the one call that an open breaker let through
	must    bool // to be sent even if the caller is gone: it gives something back
	sent    int64
	buckets []ratelimit.Bucket
	levels  []ratelimit.Level
	news    []bool // see took
	err     error

	state atomic.Int32
	done  chan struct{} // one message when finished, if the caller is still there
	timer *time.Timer
}

const (
	queued   int32 = iota // nothing has been sent
	sent                  // it may have been executed
	finished              // err, levels and news hold; the caller's again
	gone                  // the caller left; the lane's to recycle
)

var calls = sync.Pool{New: func() any {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &call{done: make(chan struct{}, 1), timer: timer}
}}

func newCall(op ratelimit.Op, buckets []ratelimit.Bucket) *call {
	c := calls.Get().(*call)
	c.op, c.probe, c.must, c.err = op, false, false, nil
	c.buckets = append(c.buckets[:0], buckets...)
	c.levels = append(c.levels[:0], make([]ratelimit.Level, len(buckets))...)
	c.news = append(c.news[:0], make([]bool, len(buckets))...)
	c.state.Store(queued)
	return c
}

func (c *call) recycle() {
	c.timer.Stop()
	if cap(c.buckets) <= 64 { // one huge call shall not be kept for ever
		calls.Put(c)
	}
}

// finish hands the call back to its caller, or recycles it.
func (c *call) finish(err error) {
	c.err = err
	for {
		state := c.state.Load()
		if state == gone {
			c.recycle()
			return
		}
		if c.state.CompareAndSwap(state, finished) {
			c.done <- struct{}{}
			return
		}
	}
}

// send marks the call as sent. False where the caller left before, so that it
// must not be charged.
func (c *call) send() bool {
	return c.state.CompareAndSwap(queued, sent) || c.must
}

// unsend puts a call that was certainly not executed back to queued. False where
// its caller has left; the call is then recycled.
func (c *call) unsend() bool {
	if c.state.CompareAndSwap(sent, queued) || c.must {
		return true
	}
	c.recycle()
	return false
}

// abandon gives the call up. False where it is finished after all: then its
// message is on the way and the call still the caller's.
func (c *call) abandon() bool {
	for {
		state := c.state.Load()
		if state == finished {
			return false
		}
		if c.state.CompareAndSwap(state, gone) {
			return true
		}
	}
}
