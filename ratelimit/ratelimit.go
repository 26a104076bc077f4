package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// A Middleware decides which requests pass. Make it with [New]; it is safe for
// concurrent use and must not be copied.
type Middleware struct {
	rules    []*rule
	byName   map[string]*rule
	store    Store
	local    *Memory // for FailLocal; nil where the store is a Memory of ours
	hasher   hasher
	clientIP func(*http.Request) netip.Addr
	route    func(*http.Request) string
	exempt   func(*http.Request) bool
	deny     func(http.ResponseWriter, *http.Request, Decision)
	observe  func(Event)
	headers  HeaderMode
	reduced  *problem.Problem

	away     atomic.Bool // the store failed when last asked
	leaseKey uint64      // with leaseSeq, the name of a lease: unique among replicas
	leaseSeq atomic.Uint64
	calls    sync.Pool // of *call
}

// New checks the Config and compiles it. It returns all mistakes at once, as
// [gatehouse.ConfigError] values. Changing the Config afterwards changes nothing.
func New(c Config) (*Middleware, error) {
	bad := mistakes.In("ratelimit")
	if len(c.Rules) == 0 {
		bad.Add("Rules", "", "is empty; one rule {Name: \"per-ip\", Limits: ...} limits every client address")
	}
	if c.Replicas < 0 || c.Replicas > 1<<20 {
		bad.Add("Replicas", fmt.Sprint(c.Replicas), "must be the number of processes that share the Store, or 0 for one")
	}
	if c.Headers > HeadersNone {
		bad.Add("Headers", fmt.Sprint(c.Headers), "is no mode; use HeadersStandard, HeadersLegacy or HeadersNone")
	}
	if n := len(c.KeySecret); n > 0 && n < 16 {
		bad.Add("KeySecret", "", "has %d bytes; needs at least 16 random ones (openssl rand -hex 32)", n)
	}
	m := &Middleware{
		byName:   make(map[string]*rule),
		store:    c.Store,
		clientIP: c.ClientIP,
		route:    c.Route,
		exempt:   c.Exempt,
		deny:     c.Deny,
		observe:  c.Observe,
		headers:  c.Headers,
		reduced:  reducedCapacity(),
		leaseKey: rand.Uint64(),
	}
	m.calls.New = func() any { return new(call) }
	comp := compiler{bad: bad, replicas: int64(max(1, min(c.Replicas, 1<<20))), policies: make(map[string]string)}
	for i, in := range c.Rules {
		at := fmt.Sprintf("Rules[%d]", i)
		if m.byName[in.Name] != nil && in.Name != "" {
			bad.Add(at+".Name", in.Name, "is the name of an earlier rule; each needs its own")
			comp.policies = make(map[string]string) // one complaint is enough
		}
		r := comp.rule(at, in)
		m.rules = append(m.rules, r)
		m.byName[in.Name] = r
	}
	if m.clientIP == nil {
		m.clientIP = peer
	}
	if m.route == nil {
		m.route = func(r *http.Request) string { return r.Pattern }
	}
	memory, err := NewMemory(MemoryConfig{})
	bad.Append(err)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	inMemory := true
	switch c.Store.(type) {
	case nil:
		m.store = memory
	case *Memory: // never fails
	default:
		m.local, inMemory = memory, false
	}
	m.hasher = newHasher(c.KeySecret, inMemory)
	return m, nil
}

// peer is the address at the other end of the connection; invalid where it has
// none (a unix socket).
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}

// Handler returns next behind the rules. It calls next once, with a request
// whose context holds the [Permit], or not at all. It never wraps the
// ResponseWriter: streams, hijacking and deadlines work as without it.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("ratelimit: Handler: next is nil; for the default mux pass http.DefaultServeMux")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, next) })
}

func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var c *call
	if m.exempt == nil || !m.exempt(r) {
		if c = m.decide(r); c.denied {
			m.refuse(w, r, c)
			m.done(c)
			return
		}
	}
	pc := &permitContext{}
	pc.m, pc.outer = m, r.Context()
	if c != nil {
		pc.hold(c)
		m.setFields(w.Header(), c, pc.lines[:])
		m.done(c)
	}
	inner := r.WithContext(pc)
	defer func() {
		// The copy hides what the mux and the handler set on it: the access log
		// outside needs the route, the server removes a form's files.
		r.Pattern, r.MultipartForm = inner.Pattern, inner.MultipartForm
		pc.Release()
	}()
	next.ServeHTTP(w, inner)
}

// Take decides about a request without answering it: for a WebSocket's messages,
// a job queue, another protocol. The Permit is nil where the request is refused;
// otherwise Release it when the work is done.
//
// The error is not nil only where there is no decision: the Store failed and a
// rule is FailClosed, or the request's context has ended. The Decision then
// refuses.
func (m *Middleware) Take(r *http.Request) (Decision, *Permit, error) {
	p := &Permit{m: m, outer: r.Context()}
	if m.exempt != nil && m.exempt(r) {
		return Decision{Allowed: true}, p, nil
	}
	c := m.decide(r)
	defer m.done(c)
	d := c.decision()
	if c.denied {
		return d, nil, c.err
	}
	p.hold(c)
	return d, p, nil
}

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
	lease   [16]byte
	text    []byte
}

func (m *Middleware) done(c *call) {
	clear(c.rules)
	clear(c.dry)
	clear(c.limits)
	clear(c.asked)
	*c = call{
		rules: c.rules[:0], dry: c.dry[:0], limits: c.limits[:0], asked: c.asked[:0],
		buckets: c.buckets[:0], levels: c.levels[:0], text: c.text[:0],
	}
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
		c.clearBuckets()
		return
	}
	m.takeLocal(ctx, c, err)
}

// takeLocal decides without the store, as each rule wants it.
func (m *Middleware) takeLocal(ctx context.Context, c *call, err error) {
	m.away.Store(true)
	c.failure = err
	c.clearBuckets()
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
		c.clearBuckets()
		return
	}
	if err := m.do(ctx, c, m.local); err != nil {
		c.denied, c.err = true, err
		c.clearBuckets()
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
		}
		for j := first; err == nil && j < len(c.buckets); j++ {
			if !c.levels[j].OK {
				m.event(c, a, EventWouldDeny, c.limits[j].policy)
			}
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

// clearBuckets forgets the buckets asked so far; cut those from first on.
func (c *call) clearBuckets() { c.cut(0) }

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
}

// recovered reports that the store is back.
func (m *Middleware) recovered(c *call) {
	if m.away.Load() && m.away.CompareAndSwap(true, false) && m.observe != nil {
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
