package ratelimit

import "time"

// A Decision is what the rules say of one request.
type Decision struct {
	// Allowed is whether the request may pass.
	Allowed bool
	// RetryAfter is when the request would pass if nothing else came in between:
	// 0 where it is allowed, less than 0 where it never would (its cost is above
	// the burst).
	RetryAfter time.Duration
	// Violated names the policies that refused it.
	Violated []string
	// States tells of every limit that was asked.
	States []State
	// Err is why no rule could be asked, where the request is refused for that:
	// the Store's error, or the context's. nil for every other refusal.
	Err error
}

// A State is what is left of one limit for one client.
type State struct {
	// Policy is the name of the limit: "per-ip", or "per-ip-minute" where the
	// rule has several.
	Policy string
	// Limit is the burst, in tokens; of a concurrency bound the places.
	Limit int64
	// Remaining is the whole tokens left, between 0 and Limit.
	Remaining int64
	// RetryAfter is the time until the cost fits; 0 where it does. For a place
	// among concurrent requests nobody knows; it says a second.
	RetryAfter time.Duration
	// ResetAfter is the time until the bucket is full.
	ResetAfter time.Duration
}

// state reads one limit of the call.
func (c *call) state(i int) State {
	l, b, level := c.limits[i], &c.buckets[i], c.levels[i]
	s := State{Policy: l.policy, Limit: l.quota}
	if l.leased() {
		s.Limit = b.Cap
		s.Remaining = max(0, min(level.Units, s.Limit))
		if !level.OK {
			s.RetryAfter = time.Second
		}
		return s
	}
	at := scaled{b.Rate, b.Period, b.Cap}
	s.Limit = b.Cap / b.Period
	s.Remaining = max(0, min(level.Units/b.Period, s.Limit))
	if !level.OK {
		s.RetryAfter = at.wait(level.Units, b.Cost)
	}
	s.ResetAfter = at.wait(level.Units, b.Cap)
	return s
}

// retryAfter is the longest wait of those that refused; less than 0 for never.
func (c *call) retryAfter() time.Duration {
	if c.bad {
		return -1
	}
	var longest time.Duration
	for i := range c.levels {
		if !c.levels[i].OK {
			longest = max(longest, c.state(i).RetryAfter)
		}
	}
	if c.err != nil {
		longest = retryOutage
	}
	return longest
}

// retryOutage is the Retry-After of a 503: no one knows how long the store is
// away, and clients should not come back all the time to find out.
const retryOutage = 5 * time.Second

// decision makes the Decision that the caller sees.
func (c *call) decision() Decision {
	d := Decision{Allowed: !c.denied, Err: c.err}
	if c.denied {
		d.RetryAfter = c.retryAfter()
		d.Violated = c.violated()
	}
	if len(c.levels) > 0 {
		d.States = make([]State, len(c.levels))
		for i := range c.levels {
			d.States[i] = c.state(i)
		}
	}
	return d
}

// violated names the policies that refused the request.
func (c *call) violated() []string {
	var names []string
	for i := range c.levels {
		if !c.levels[i].OK {
			names = append(names, c.limits[i].policy)
		}
	}
	if c.bad {
		for _, a := range c.rules {
			for _, l := range a.set.limits {
				if !l.leased() && (a.cost < 0 || a.cost > l.quota) {
					names = append(names, l.policy)
				}
			}
		}
	}
	return names
}
