package ratelimit

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// The names of the fields as keys of an http.Header. On the wire they are
// compared without regard to case.
const (
	fieldPolicy     = "Ratelimit-Policy"
	fieldLimit      = "Ratelimit"
	fieldRetryAfter = "Retry-After"

	legacyLimit     = "X-Ratelimit-Limit"
	legacyRemaining = "X-Ratelimit-Remaining"
	legacyReset     = "X-Ratelimit-Reset"
)

// ExposedHeaders lists the fields that this package sets, for
// corsx.Config.ExposedHeaders: a script on another origin cannot read them
// otherwise.
func ExposedHeaders() []string {
	return []string{
		"RateLimit", "RateLimit-Policy", "Retry-After",
		"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
	}
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

// effective is the t of RateLimit: how long the client cannot have more than
// Remaining. Where the request was refused, until its cost fits; else until the
// next whole token. 0 where there is nothing to wait for.
func (c *call) effective(i int) time.Duration {
	b, level := &c.buckets[i], c.levels[i]
	switch {
	case c.limits[i].leased():
		return 0
	case c.denied && level.OK:
		return 0
	case c.denied:
		return scaled{rate: b.Rate}.wait(level.Units, b.Cost)
	case level.Units >= b.Cap:
		return 0
	}
	next := max(0, level.Units)/b.Period + 1
	return scaled{rate: b.Rate}.wait(level.Units, min(next*b.Period, b.Cap))
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

// refuse answers a request that may not pass.
func (m *Middleware) refuse(w http.ResponseWriter, r *http.Request, c *call) {
	h := w.Header()
	m.setFields(h, c, nil)
	delete(h, fieldRetryAfter)
	if after := c.retryAfter(); after > 0 {
		h[fieldRetryAfter] = []string{strconv.FormatInt(seconds(after), 10)}
	}
	if m.deny != nil {
		h["Cache-Control"] = []string{"no-store"}
		m.deny(w, r, c.decision())
		return
	}
	m.problem(c).Write(w, r)
}

// problem is the body of a refusal.
func (m *Middleware) problem(c *call) *problem.Problem {
	if c.err != nil {
		return m.reduced
	}
	var only *limit
	n := 0
	for i := range c.levels {
		if !c.levels[i].OK {
			only = c.limits[i]
			n++
		}
	}
	if n == 1 && !c.bad {
		return only.problem
	}
	return quotaExceeded(c.violated())
}

// seconds rounds up: whoever waits that long has waited long enough.
func seconds(d time.Duration) int64 { return ceilDiv(int64(d), int64(time.Second)) }

// setFields sets the RateLimit fields. room, where it is large enough, becomes
// the array of their values; it must belong to this response alone.
func (m *Middleware) setFields(h http.Header, c *call, room []string) {
	if m.headers == HeadersNone || len(c.rules) == 0 || c.err != nil {
		return
	}
	if m.headers == HeadersLegacy {
		c.setLegacy(h)
		return
	}
	// A limiter further out has set lines of its own: ours come after them. A
	// list may stand on several lines (RFC 9651, section 3.1).
	policies, limits := h[fieldPolicy], h[fieldLimit]
	n := len(policies) + len(c.rules)
	total := n + len(limits) + 1
	if total > len(room) {
		room = make([]string, total)
	}
	at := copy(room, policies)
	for i := range c.rules {
		room[at] = c.rules[i].set.header
		at++
	}
	h[fieldPolicy] = room[:n:n]
	if len(c.levels) == 0 {
		return
	}
	copy(room[n:], limits)
	room[total-1] = c.limitLine()
	h[fieldLimit] = room[n:total:total]
}

// limitLine is the line of RateLimit: "minute";r=9;t=6, "day";r=999;t=87.
func (c *call) limitLine() string {
	text := c.text[:0]
	for i := range c.levels {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, c.limits[i].item...)
		left := c.levels[i].Units
		if !c.limits[i].leased() {
			left /= c.buckets[i].Period
		}
		text = strconv.AppendInt(text, max(0, left), 10)
		if t := c.effective(i); t > 0 {
			text = append(text, ";t="...)
			text = strconv.AppendInt(text, seconds(t), 10)
		}
	}
	c.text = text
	return string(text)
}

// setLegacy sets the fields of the limit that has least left, unless a limiter
// further out has less.
func (c *call) setLegacy(h http.Header) {
	if len(c.levels) == 0 {
		return
	}
	least := c.state(0)
	for i := range c.levels {
		s := c.state(i)
		if s.Remaining < least.Remaining || s.Remaining == least.Remaining && s.ResetAfter > least.ResetAfter {
			least = s
		}
	}
	if v := h[legacyRemaining]; len(v) > 0 {
		if outer, err := strconv.ParseInt(v[0], 10, 64); err == nil && outer < least.Remaining {
			return
		}
	}
	reset := time.Now().Add(least.ResetAfter + time.Second - 1).Unix()
	v := []string{
		strconv.FormatInt(least.Limit, 10), strconv.FormatInt(least.Remaining, 10), strconv.FormatInt(reset, 10),
	}
	h[legacyLimit], h[legacyRemaining], h[legacyReset] = v[0:1:1], v[1:2:2], v[2:3:3]
}
