package redisstore

import "time"

// A breaker keeps callers from waiting for a server that does not answer. It
// opens at the first trip that failed or took longer than a call may wait, and
// then lets one call at a time through, at once after the first failure, later
// at growing distances. One answer in time closes it. So a single hiccup costs
// the others the length of one trip, and an outage costs one caller in
// probeMax its budget.
//
// It belongs to a lane and is guarded by the lane's lock.
type breaker struct {
	open    bool
	probing bool          // a probe is on its way
	retryAt int64         // no probe before, on the store's clock
	wait    time.Duration // between the last two probes
}

const (
	probeMin = 10 * time.Millisecond
	probeMax = 250 * time.Millisecond
)

// admit tells whether a call may be queued and whether it is the probe.
func (b *breaker) admit(now int64) (ok, probe bool) {
	if !b.open {
		return true, false
	}
	if b.probing || now < b.retryAt {
		return false, false
	}
	b.probing = true
	return true, true
}

// trip opens the breaker; true if it was closed.
func (b *breaker) trip(now int64) bool {
	if b.open {
		return false
	}
	b.open, b.retryAt, b.wait = true, now, 0
	return true
}

// probed ends the probe, which came back or was never sent (then failed is
// false).
func (b *breaker) probed(now int64, failed bool) {
	b.probing = false
	if failed {
		b.wait = min(max(2*b.wait, probeMin), probeMax)
		b.retryAt = now + int64(b.wait)
	}
}

// answered closes the breaker. A probe that is still out stays the only one.
func (b *breaker) answered() { b.open = false }
