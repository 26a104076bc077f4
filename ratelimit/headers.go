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

// shown is the r and the t of RateLimit: the whole tokens left, and how long the
// client cannot have more. Where the request was refused, t is the time until its
// cost fits, else until the next whole token; 0 where there is nothing to wait for.
func (c *call) shown(i int) (left int64, t time.Duration) {
	b, l := &c.buckets[i], &c.levels[i]
	units := max(0, l.Units)
	if c.limits[i].leased() {
		return units, 0
	}
	left = units / b.Period
	switch {
	case c.denied && l.OK, l.Units >= b.Cap:
		return left, 0
	case c.denied:
		return left, scaled{rate: b.Rate}.wait(l.Units, b.Cost)
	}
	return left, scaled{rate: b.Rate}.wait(l.Units, min((left+1)*b.Period, b.Cap))
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
		left, t := c.shown(i)
		text = strconv.AppendInt(text, left, 10)
		if t > 0 {
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
