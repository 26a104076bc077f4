package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// A Middleware decides which requests pass. Make it with [New]; it is safe for
// concurrent use and must not be copied.
type Middleware struct {
	rules    []*rule
	byName   map[string]*rule
	store    Store
	local    *Memory // for FailLocal; nil where the store is a Memory itself
	hasher   hasher
	clientIP func(*http.Request) netip.Addr
	route    func(*http.Request) string
	exempt   func(*http.Request) bool
	deny     func(http.ResponseWriter, *http.Request, Decision)
	observe  func(Event)
	headers  HeaderMode
	noPermit bool
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
	c.check(bad)
	m := &Middleware{
		byName:   make(map[string]*rule),
		store:    c.Store,
		clientIP: c.ClientIP,
		route:    c.Route,
		exempt:   c.Exempt,
		deny:     c.Deny,
		observe:  c.Observe,
		headers:  c.Headers,
		noPermit: c.NoPermit,
		reduced:  reducedCapacity(),
		leaseKey: rand.Uint64(),
	}
	m.calls.New = func() any { return new(call) }
	if m.clientIP == nil {
		m.clientIP = peer
	}
	if m.route == nil {
		m.route = func(r *http.Request) string { return r.Pattern }
	}
	m.compile(bad, c)
	memory, err := NewMemory(MemoryConfig{})
	bad.Append(err)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if c.Store == nil {
		m.store = memory
	}
	if shared, ok := m.store.(*Memory); ok { // never fails
		m.hasher = newHasher(c.KeySecret, shared)
	} else {
		m.local, m.hasher = memory, newHasher(c.KeySecret, nil)
	}
	return m, nil
}

// compile fills rules and byName.
func (m *Middleware) compile(bad *mistakes.List, c Config) {
	comp := compiler{bad: bad, replicas: int64(max(1, min(c.Replicas, maxReplicas))), policies: make(map[string]string)}
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
}

// Handler returns next behind the rules. It calls next once, with a request
// whose context holds the [Permit] (with NoPermit the very request it got), or
// not at all. It never wraps the ResponseWriter: streams, hijacking and deadlines
// work as without it.
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
	if m.noPermit {
		m.admit(w, r, next, c)
		return
	}
	in := &admitted{}
	in.permit.m, in.permit.outer = m, r.Context()
	if c != nil {
		in.permit.hold(c)
		m.setFields(w.Header(), c, in.lines[:])
		m.done(c)
	}
	in.request = *r.WithContext(in) // inlined: the copy in between stays on the stack
	defer in.done(r)
	next.ServeHTTP(w, &in.request)
}

// admit calls next with the request as it is.
func (m *Middleware) admit(w http.ResponseWriter, r *http.Request, next http.Handler, c *call) {
	var p *Permit
	if c != nil {
		if len(c.leases) > 0 {
			p = &Permit{m: m, outer: r.Context()}
			p.hold(c)
		}
		m.setFields(w.Header(), c, nil)
		m.done(c)
	}
	defer p.Release()
	next.ServeHTTP(w, r)
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
