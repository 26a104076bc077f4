package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// A Permit stands for one admitted request. A handler gets it by [PermitFrom] and
// may charge for a cost that is known only now: the tokens of an AI model's
// answer, the bytes of an export, a failed login. All methods may be called on a
// nil Permit and by several goroutines at once. After the handler has returned a
// Permit can still be charged, but its place among concurrent requests is free.
type Permit struct {
	m     *Middleware
	outer context.Context // holds the Permit of a limiter further out
	taken *leases         // among concurrent requests; nil where no rule bounds them
	// The rules that the request was asked for: two, as usual, and those beyond.
	held [2]holding
	more *[]holding

	local bool // granted by the local store, during an outage
}

// A holding is a rule, as it is for this client, and his key.
type holding struct {
	set *limitSet // nil where there is none
	key Key
}

// leases are what a Permit has to give back.
type leases struct {
	mu      sync.Mutex
	buckets []Bucket // nil when given back
	renew   *time.Timer
}

type permitKey struct{}

// admitted is all that one admitted request needs: its copy with another context,
// that context, the Permit, and the array of the header values of two rules. One
// allocation, of 408 bytes; Go has a size of 416.
type admitted struct {
	request http.Request
	permit  Permit
	lines   [3]string
}

var _ context.Context = (*admitted)(nil)

func (a *admitted) Deadline() (time.Time, bool) { return a.permit.outer.Deadline() }
func (a *admitted) Done() <-chan struct{}       { return a.permit.outer.Done() }
func (a *admitted) Err() error                  { return a.permit.outer.Err() }

func (a *admitted) Value(key any) any {
	if key == (permitKey{}) {
		return &a.permit
	}
	return a.permit.outer.Value(key)
}

// done ends the request, also where the handler has panicked. The copy hides what
// the mux and the handler have set on it: an access log further out needs the
// route, and the server removes a form's files.
func (a *admitted) done(r *http.Request) {
	r.Pattern, r.MultipartForm = a.request.Pattern, a.request.MultipartForm
	a.permit.Release()
}

// PermitFrom returns the Permit of the innermost limiter that admitted the
// request, or nil where there is none. It reaches the rules of limiters further
// out too.
func PermitFrom(ctx context.Context) *Permit {
	p, _ := ctx.Value(permitKey{}).(*Permit)
	return p
}

// hold remembers what a call has granted.
func (p *Permit) hold(c *call) {
	p.local = c.isLocal
	n := 0
	for _, list := range [...][]asked{c.rules, c.dry} {
		for i := range list {
			p.keep(n, &list[i])
			n++
		}
	}
	if len(c.leases) > 0 {
		l := &leases{buckets: append([]Bucket(nil), c.leases...)}
		p.taken = l
		l.mu.Lock()
		l.renew = time.AfterFunc(leaseTime/3, p.renewLeases)
		l.mu.Unlock()
	}
}

// keep notes the n-th rule.
func (p *Permit) keep(n int, a *asked) {
	if n < len(p.held) {
		h := &p.held[n]
		h.set, h.key = a.set, a.key
		return
	}
	if p.more == nil {
		p.more = new([]holding)
	}
	*p.more = append(*p.more, holding{a.set, a.key})
}

// holding finds a rule by its name.
func (p *Permit) holding(rule string) *holding {
	lists := [...][]holding{p.held[:], nil}
	if p.more != nil {
		lists[1] = *p.more
	}
	for _, list := range lists {
		for i := range list {
			if h := &list[i]; h.set != nil && h.set.rule.Name == rule {
				return h
			}
		}
	}
	return nil
}

// newLease names a lease: 64 bits that are random for this process and a number.
func (m *Middleware) newLease() [16]byte { return id{m.leaseKey, m.leaseSeq.Add(1)}.bytes() }

// renewLeases runs while a request lasts long, so that its places do not expire.
// Where the store is away, the next time will do: a third of the lease has gone.
func (p *Permit) renewLeases() {
	l := p.taken
	l.mu.Lock()
	buckets := l.buckets
	l.mu.Unlock()
	if buckets == nil {
		return
	}
	p.doLeases(OpCharge, buckets)
	l.mu.Lock()
	released := l.buckets == nil
	if !released {
		l.renew.Reset(leaseTime / 3)
	}
	l.mu.Unlock()
	if released { // meanwhile; the renewal may have come after it
		p.doLeases(OpCredit, buckets)
	}
}

// doLeases ignores an error: a store that is away forgets a lease when it expires.
func (p *Permit) doLeases(op Op, buckets []Bucket) {
	store := p.m.store
	if p.local {
		store = p.m.local
	}
	_ = store.Do(context.WithoutCancel(p.outer), op, buckets, make([]Level, len(buckets)))
}

// Release gives the places among concurrent requests back. Handler does it when
// the next handler has returned; after Take it is the caller's to do, best
// deferred. More calls do nothing.
func (p *Permit) Release() {
	if p == nil || p.taken == nil {
		return
	}
	l := p.taken
	l.mu.Lock()
	buckets := l.buckets
	l.buckets = nil
	l.renew.Stop()
	l.mu.Unlock()
	if buckets != nil {
		p.doLeases(OpCredit, buckets)
	}
}

// ErrUnknownRule is what Charge, Refund, Peek and Reset return for a rule that no
// limiter in front of the handler has, or only one with Config.NoPermit.
var ErrUnknownRule = errors.New("ratelimit: no such rule")

// Charge takes n more tokens from each limit of the rule, for a cost that is now
// known. What is not there becomes a debt of at most one burst, which has to
// refill before the client's next request passes. The rule may be one of a
// limiter further out; a rule that exists but was not asked for this request
// (Match, Exempt) is charged nothing. n below 0 is an error.
//
// Penalties work the same: Charge(ctx, "login", 5) after a wrong password.
//
// While the store is away a rule with FailLocal charges its local bucket; other
// rules return the store's error.
func (p *Permit) Charge(ctx context.Context, rule string, n int64) error {
	return p.change(ctx, OpCharge, rule, n)
}

// Refund gives n tokens back to each limit of the rule, up to the burst: for a
// request that turned out cheaper, or an answer from a cache. See Charge.
func (p *Permit) Refund(ctx context.Context, rule string, n int64) error {
	return p.change(ctx, OpCredit, rule, n)
}

func (p *Permit) change(ctx context.Context, op Op, rule string, n int64) error {
	if n < 0 {
		return fmt.Errorf("ratelimit: %q: cannot charge or refund %d tokens", rule, n)
	}
	for ; p != nil; p = PermitFrom(p.outer) {
		if p.m.byName[rule] == nil {
			continue
		}
		if h := p.holding(rule); h != nil {
			return p.m.change(ctx, op, h, n, p.local)
		}
		return nil
	}
	return fmt.Errorf("%w: %q", ErrUnknownRule, rule)
}

// change charges or credits. A refund goes where the tokens came from; a charge
// goes to the store if it can.
func (m *Middleware) change(ctx context.Context, op Op, h *holding, n int64, local bool) error {
	if n == 0 {
		return nil
	}
	if !local || op == OpCharge {
		buckets := m.bucketsOf(h.key, h.set.limits, false, n)
		if len(buckets) == 0 {
			return nil
		}
		err := m.store.Do(ctx, op, buckets, make([]Level, len(buckets)))
		if err == nil || ctx.Err() != nil || m.local == nil || h.set.rule.OnStoreError != FailLocal {
			return err
		}
		if op == OpCredit {
			return err // nothing was taken here
		}
	}
	buckets := m.bucketsOf(h.key, h.set.limits, true, n)
	if len(buckets) == 0 || m.local == nil {
		return nil
	}
	return m.local.Do(ctx, op, buckets, make([]Level, len(buckets)))
}

// bucketsOf makes the token buckets of a principal, each at a cost of n tokens,
// or of twice the burst where n is more: no more can be charged or credited.
func (m *Middleware) bucketsOf(key Key, limits []*limit, local bool, n int64) []Bucket {
	group, base := m.hasher.sum(key)
	var out []Bucket
	for _, l := range limits {
		if l.leased() {
			continue
		}
		s := l.scaled
		if local {
			s = l.local
		}
		b := Bucket{Key: base.xor(l.id).bytes(), Group: group.bytes(), Rate: s.rate, Period: s.period, Cap: s.cap, Cost: 2 * s.cap}
		if n < 2*s.cap/s.period {
			b.Cost = n * s.period
		}
		out = append(out, b)
	}
	return out
}

// Peek tells what is left for a key under a rule, and takes nothing: for a page
// that shows a user his quota. RetryAfter is the time until one token is there.
// The limits are the rule's Limits, not those of a tier.
func (m *Middleware) Peek(ctx context.Context, rule string, key Key) ([]State, error) {
	r := m.byName[rule]
	if r == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownRule, rule)
	}
	c := new(call)
	m.addBuckets(c, &asked{rule: r, set: &r.base, key: key, cost: 1})
	for i := range c.buckets {
		c.buckets[i].Lease = [16]byte{}
	}
	if err := m.store.Do(ctx, OpPeek, c.buckets, c.levels); err != nil {
		return nil, err
	}
	return c.decision().States, nil
}

// Reset makes the buckets of a key full, in every tier, and drops its leases:
// after a password was reset, a plan was bought, an address was cleared.
func (m *Middleware) Reset(ctx context.Context, rule string, key Key) error {
	r := m.byName[rule]
	if r == nil {
		return fmt.Errorf("%w: %q", ErrUnknownRule, rule)
	}
	c := new(call)
	m.addBuckets(c, &asked{rule: r, set: &limitSet{limits: r.all}, key: key, cost: 1})
	for i := range c.buckets {
		c.buckets[i].Lease = [16]byte{}
	}
	err := m.store.Do(ctx, OpReset, c.buckets, c.levels)
	if m.local != nil {
		for i := range c.buckets {
			s := c.limits[i].local
			c.buckets[i].Rate, c.buckets[i].Period, c.buckets[i].Cap = s.rate, s.period, s.cap
		}
		err = errors.Join(err, m.local.Do(ctx, OpReset, c.buckets, c.levels))
	}
	return err
}
