package ratelimit

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// leaseTime is how long the place of a request in flight outlives its process.
// Live requests renew it every third of that.
const leaseTime = time.Minute

// A rule is a Rule that New has checked and computed.
type rule struct {
	Rule
	base  limitSet             // of clients without a tier
	tiers map[string]*limitSet // of those with one
	all   []*limit             // one for each bucket name, for Reset
}

// A limitSet is what one request is asked for by one rule.
type limitSet struct {
	rule   *rule
	limits []*limit
	least  int64  // the smallest burst: a cost above it never fits
	header string // the line of RateLimit-Policy
}

// A limit is one bucket of a rule: what the store needs, and what answers say.
type limit struct {
	scaled
	local   scaled // what FailLocal grants
	policy  string // its name in headers, events and problems
	id      id     // of the name, in the store's key
	quota   int64  // the burst in tokens
	header  string // the item of RateLimit-Policy
	item    string // the beginning of its item of RateLimit
	problem *problem.Problem
}

// leased tells whether the limit is the concurrency bound.
func (l *limit) leased() bool { return l.rate == 0 }

// setFor picks the limits for a request.
func (r *rule) setFor(tier string) *limitSet {
	if set, ok := r.tiers[tier]; ok {
		return set
	}
	return &r.base
}

// compiler turns Rules into rules; it collects every mistake.
type compiler struct {
	bad      *mistakes.List
	replicas int64
	policies map[string]string // name -> the field that has it
}

func (c *compiler) rule(at string, in Rule) *rule {
	if !validName(in.Name) {
		c.bad.Add(at+".Name", in.Name, "must be 1 to 64 letters, digits, '-', '_' or '.', such as \"per-ip\"")
	}
	if len(in.Limits) == 0 && in.Concurrent == 0 {
		c.bad.Add(at, in.Name, "limits nothing; set Limits or Concurrent")
	}
	if in.Concurrent < 0 || in.Concurrent > 1<<31-1 {
		c.bad.Add(at+".Concurrent", strconv.Itoa(in.Concurrent), "must be positive, or 0 for no bound")
	}
	if in.OnStoreError > FailClosed {
		c.bad.Add(at+".OnStoreError", fmt.Sprint(in.OnStoreError), "is no mode; use FailLocal, FailOpen or FailClosed")
	}
	c.tierFields(at, in)

	r := &rule{Rule: in}
	if r.Key == nil {
		r.Key = ByIP
	}
	several := len(in.Limits) > 1
	for _, l := range in.Tiers {
		several = several || len(l) > 1
	}
	names := map[string]bool{}
	var lease *limit
	if in.Concurrent > 0 {
		lease = c.lease(r, at, in)
	}
	r.base = newSet(r, c.limits(r, at+".Limits", in.Limits, several, names), lease)
	for _, tier := range slices.Sorted(maps.Keys(in.Tiers)) {
		if r.tiers == nil {
			r.tiers = make(map[string]*limitSet, len(in.Tiers))
		}
		at := fmt.Sprintf("%s.Tiers[%q]", at, tier)
		if len(in.Tiers[tier]) == 0 {
			c.bad.Add(at, "", "has no limits; to refuse or to free a tier use Match")
		}
		set := newSet(r, c.limits(r, at, in.Tiers[tier], several, names), lease)
		r.tiers[tier] = &set
	}
	r.Limits, r.Tiers = nil, nil // the caller's
	return r
}

func newSet(r *rule, limits []*limit, lease *limit) limitSet {
	set := limitSet{rule: r, limits: limits, least: maxBurst}
	if lease != nil {
		set.limits = append(set.limits, lease)
	}
	for i, l := range set.limits {
		if i > 0 {
			set.header += ", "
		}
		set.header += l.header
		if !l.leased() {
			set.least = min(set.least, l.quota)
		}
	}
	return set
}

func (c *compiler) tierFields(at string, in Rule) {
	if in.Tiers != nil && in.Tier == nil {
		c.bad.Add(at+".Tier", "", "is missing; without it no request has a tier")
	}
	if in.Tiers == nil && in.Tier != nil {
		c.bad.Add(at+".Tiers", "", "is missing; Tier has nothing to choose from")
	}
	if in.Tiers != nil && len(in.Limits) == 0 {
		c.bad.Add(at+".Limits", "", "is missing; it holds for requests whose tier is unknown")
	}
}

// limits compiles one list of limits. names holds the bucket names of the rule.
func (c *compiler) limits(r *rule, at string, in []Limit, several bool, names map[string]bool) []*limit {
	out := make([]*limit, 0, len(in))
	here := map[string]bool{}
	for i, l := range in {
		at := fmt.Sprintf("%s[%d]", at, i)
		policy := r.Name
		if several {
			if !validName(l.Name) {
				c.bad.Add(at+".Name", l.Name, "must be 1 to 64 letters, digits, '-', '_' or '.', because the rule has several limits: \"minute\"")
				continue
			}
			policy += "-" + l.Name
		}
		if here[policy] {
			c.bad.Add(at+".Name", l.Name, "is used twice in this list; each limit needs its own")
			continue
		}
		here[policy] = true
		compiled := c.limit(at, policy, l)
		if compiled == nil {
			continue
		}
		if !names[policy] {
			names[policy] = true
			c.claim(at, policy)
			r.all = append(r.all, compiled)
		}
		out = append(out, compiled)
	}
	return out
}

func (c *compiler) limit(at, policy string, l Limit) *limit {
	s, reason := l.scale()
	if reason != "" {
		c.bad.Add(at, l.Name, "%s", reason)
		return nil
	}
	var local scaled
	fits := l.Per.Microseconds() <= MaxUnits/c.replicas
	if fits {
		local, fits = scale(l.Requests, l.Per.Microseconds()*c.replicas, ceilDiv(l.burst(), c.replicas))
	}
	if !fits {
		c.bad.Add(at, l.Name, "a %d-th part of %d per %v is beyond exact integers; choose a smaller Burst or fewer Replicas", c.replicas, l.Requests, l.Per)
		return nil
	}
	window := ceilDiv(ceilDiv(s.cap, s.rate), 1e6)
	out := newLimit(policy, fmt.Sprintf("%q;q=%d;w=%d", policy, l.burst(), window))
	out.scaled, out.local, out.quota = s, local, l.burst()
	return out
}

// lease is the bucket of a rule's concurrency bound.
func (c *compiler) lease(r *rule, at string, in Rule) *limit {
	policy := in.Name
	if len(in.Limits) > 0 {
		policy += "-concurrent"
	}
	c.claim(at+".Concurrent", policy)
	out := newLimit(policy, fmt.Sprintf("%q;q=%d;qu=\"concurrent-requests\"", policy, in.Concurrent))
	out.quota = int64(in.Concurrent)
	out.scaled = scaled{period: leaseTime.Microseconds(), cap: out.quota}
	out.local = scaled{period: out.period, cap: ceilDiv(out.quota, c.replicas)}
	r.all = append(r.all, out)
	return out
}

func newLimit(policy, header string) *limit {
	sum := sha256.Sum256([]byte("gatehouse ratelimit\x00" + policy))
	return &limit{
		policy:  policy,
		id:      idOf(sum[:]),
		header:  header,
		item:    strconv.Quote(policy) + ";r=",
		problem: quotaExceeded([]string{policy}),
	}
}

// claim makes sure that no two buckets have one name: they would be one bucket.
func (c *compiler) claim(at, policy string) {
	if other, taken := c.policies[policy]; taken {
		c.bad.Add(at, policy, "is the policy name of %s already; names are joined with \"-\", so rename one", other)
		return
	}
	c.policies[policy] = at
}

// validName allows what needs no escape in a header, a log or a store's key.
func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// quotaExceeded and reducedCapacity are the problem types of
// draft-ietf-httpapi-ratelimit-headers-11, section 5.
func quotaExceeded(policies []string) *problem.Problem {
	return problem.New(http.StatusTooManyRequests,
		"https://iana.org/assignments/http-problem-types#quota-exceeded",
		"Request cannot be satisfied as assigned quota has been exceeded", "",
		map[string]any{"violated-policies": policies})
}

func reducedCapacity() *problem.Problem {
	return problem.New(http.StatusServiceUnavailable,
		"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
		"Request cannot be satisfied due to temporary server capacity constraints", "", nil)
}
