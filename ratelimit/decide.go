package ratelimit

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// An asked is a rule that a request is subject to.
type asked struct {
	rule *rule
	set  *limitSet
	key  Key
	cost int64
}

// A call is the working memory of one decision. It is pooled: nothing of it
// outlives the decision.
type call struct {
	request *http.Request
	route   string
	rules   []asked
	dry     []asked

	limits  []*limit // with buckets and levels: one for each limit asked
	asked   []*asked
	buckets []Bucket
	levels  []Level
	isLocal bool // they are of the local store

	denied  bool
	bad     bool  // for its cost: no Retry-After
	err     error // why nothing could be asked
	failure error // of the store, where the local one decided
	latency time.Duration
	lease   [16]byte // the name of this request's leases; zero where it needs none
	leases  []Bucket // those it has got
	text    []byte
}

// done puts the call back. What stays in its slices points at rules, which live as
// long as the Middleware; nothing of the request stays.
func (m *Middleware) done(c *call) {
	c.request, c.route = nil, ""
	c.rules, c.dry = c.rules[:0], c.dry[:0]
	c.cut(0)
	c.isLocal, c.denied, c.bad = false, false, false
	c.err, c.failure, c.latency = nil, nil, 0
	c.lease, c.leases = [16]byte{}, c.leases[:0]
	m.calls.Put(c)
}

// decide asks every rule that matches.
func (m *Middleware) decide(r *http.Request) *call {
	c := m.calls.Get().(*call)
	s := Subject{Request: r, IP: m.clientIP(r), Route: m.route(r)}
	c.request, c.route = r, s.Route
	for _, rule := range m.rules {
		if rule.Match != nil && !rule.Match(r) {
			continue
		}
		m.ask(c, rule, s)
	}
	if c.bad {
		c.denied = true
		m.report(c)
		return c
	}
	m.take(c)
	m.report(c)
	if !c.denied {
		m.takeDry(c)
	}
	return c
}

// ask notes a rule that the request is subject to.
func (m *Middleware) ask(c *call, rule *rule, s Subject) {
	list := &c.rules
	if rule.DryRun {
		list = &c.dry
	}
	*list = append(*list, asked{})
	a := &(*list)[len(*list)-1]
	a.rule, a.set, a.cost = rule, &rule.base, 1
	if rule.Tier != nil {
		a.set = rule.setFor(rule.Tier(s))
	}
	a.key = rule.Key(s)
	if a.key.kind.noRoute {
		m.event(c, a, EventNoRoute, "")
	}
	if rule.Cost == nil {
		return
	}
	if a.cost = rule.Cost(s.Request); a.cost < 0 || a.cost > a.set.least {
		m.event(c, a, EventBadCost, "")
		if rule.DryRun {
			c.dry = c.dry[:len(c.dry)-1]
		} else {
			c.bad = true
		}
	}
}

// take asks the store for all rules that are enforced.
func (m *Middleware) take(c *call) {
	for i := range c.rules {
		m.addBuckets(c, &c.rules[i])
	}
	if len(c.buckets) == 0 {
		return
	}
	ctx := c.request.Context()
	err := m.do(ctx, c, m.store)
	if err == nil {
		c.judge()
		m.recovered(c)
		return
	}
	if ctx.Err() != nil { // the client left: no outage, and nothing to serve
		c.denied, c.err = true, ctx.Err()
		c.cut(0)
		return
	}
	m.takeLocal(ctx, c, err)
}

// takeLocal decides without the store, as each rule wants it.
func (m *Middleware) takeLocal(ctx context.Context, c *call, err error) {
	m.away.Store(true)
	c.failure = err
	c.cut(0)
	c.isLocal = true
	for i := range c.rules {
		a := &c.rules[i]
		m.event(c, a, EventStoreError, "")
		switch {
		case a.rule.OnStoreError == FailClosed || a.rule.OnStoreError == FailLocal && m.local == nil:
			c.denied, c.err = true, err
		case a.rule.OnStoreError == FailLocal:
			m.addBuckets(c, a)
		}
	}
	if c.denied || len(c.buckets) == 0 {
		c.cut(0)
		return
	}
	if err := m.do(ctx, c, m.local); err != nil {
		c.denied, c.err = true, err
		c.cut(0)
		return
	}
	c.judge()
}

// takeDry asks the rules that are only tried out, each by itself, and forgets
// what they say once it is reported.
func (m *Middleware) takeDry(c *call) {
	for i := range c.dry {
		a := &c.dry[i]
		first := len(c.buckets)
		m.addBuckets(c, a)
		if c.isLocal || first == len(c.buckets) {
			c.cut(first)
			continue
		}
		err := m.store.Do(c.request.Context(), OpTake, c.buckets[first:], c.levels[first:])
		if err != nil {
			c.failure = err
			m.event(c, a, EventStoreError, "")
			c.failure = nil
			c.cut(first)
			continue
		}
		passes := true
		for j := first; j < len(c.buckets); j++ {
			if !c.levels[j].OK {
				passes = false
				m.event(c, a, EventWouldDeny, c.limits[j].policy)
			}
		}
		if passes {
			c.keepLeases(first)
		}
		c.cut(first)
	}
}

// addBuckets appends the buckets of one rule.
func (m *Middleware) addBuckets(c *call, a *asked) {
	group, base := m.hasher.sum(a.key)
	for _, l := range a.set.limits {
		s := &l.scaled
		if c.isLocal {
			s = &l.local
		}
		c.limits = append(c.limits, l)
		c.asked = append(c.asked, a)
		c.levels = append(c.levels, Level{})
		c.buckets = append(c.buckets, Bucket{})
		b := &c.buckets[len(c.buckets)-1]
		base.xor(l.id).put(&b.Key)
		group.put(&b.Group)
		b.Rate, b.Period, b.Cap = s.rate, s.period, s.cap
		if l.leased() {
			if c.lease == [16]byte{} {
				c.lease = m.newLease()
			}
			b.Lease, b.Cost = c.lease, 1
		} else {
			b.Cost = b.units(a.cost)
		}
	}
}

// units is n tokens in units; more than the bucket holds is Cap+1, which never
// fits, so that nothing overflows.
func (b *Bucket) units(n int64) int64 {
	if n == 1 { // as nearly always; a burst holds at least one token
		return b.Period
	}
	if n > b.Cap/b.Period {
		return b.Cap + 1
	}
	return n * b.Period
}

// cut forgets the buckets asked from first on.
func (c *call) cut(first int) {
	c.buckets, c.levels = c.buckets[:first], c.levels[:first]
	c.limits, c.asked = c.limits[:first], c.asked[:first]
}

// do asks a store, and measures it where somebody wants to know.
func (m *Middleware) do(ctx context.Context, c *call, s Store) error {
	if m.observe == nil {
		return s.Do(ctx, OpTake, c.buckets, c.levels)
	}
	start := time.Now()
	err := s.Do(ctx, OpTake, c.buckets, c.levels)
	c.latency = time.Since(start)
	return err
}

// judge denies where one bucket had not enough.
func (c *call) judge() {
	for i := range c.levels {
		c.denied = c.denied || !c.levels[i].OK
	}
	if !c.denied {
		c.keepLeases(0)
	}
}

// keepLeases notes the leases among the buckets from first on, to be given back.
func (c *call) keepLeases(first int) {
	for i := first; i < len(c.limits) && c.lease != [16]byte{}; i++ {
		if c.limits[i].leased() {
			c.leases = append(c.leases, c.buckets[i])
		}
	}
}

// recovered reports that the store is back. A denial that it decided from what it
// knew, without asking its server, says nothing of the server.
func (m *Middleware) recovered(c *call) {
	if !m.away.Load() || slices.ContainsFunc(c.levels, func(l Level) bool { return l.Local }) {
		return
	}
	if m.away.CompareAndSwap(true, false) && m.observe != nil {
		m.observe(Event{Kind: EventRecovered, Route: c.route, Latency: c.latency})
	}
}

// report tells the observer what came of the enforced rules.
func (m *Middleware) report(c *call) {
	if m.observe == nil {
		return
	}
	for i := range c.levels {
		l := c.levels[i]
		if l.Shared {
			m.event(c, c.asked[i], EventOverflow, c.limits[i].policy)
		}
		switch {
		case l.OK:
		case l.Local || c.isLocal:
			m.event(c, c.asked[i], EventLocalDeny, c.limits[i].policy)
		default:
			m.event(c, c.asked[i], EventDeny, c.limits[i].policy)
		}
	}
	if !c.denied {
		for i := range c.rules {
			m.event(c, &c.rules[i], EventAllow, "")
		}
	}
}

func (m *Middleware) event(c *call, a *asked, kind EventKind, policy string) {
	if m.observe == nil {
		return
	}
	m.observe(Event{
		Kind: kind, Rule: a.rule.Name, Policy: policy, Key: a.key, Route: c.route,
		Latency: c.latency, Err: c.failure,
	})
}
