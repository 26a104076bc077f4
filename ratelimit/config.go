package ratelimit

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config configures a [Middleware]. Rules is required; everything else has a
// default that works for one process whose clients connect to it directly.
type Config struct {
	// Rules must all let a request pass; it is charged to all or none. Required:
	// there is no limit that is right for every service. A client whose request
	// is refused by one rule loses no token of another.
	Rules []Rule
	// Store keeps the buckets. nil makes a [Memory] of default size: exact, and
	// each replica then grants each limit by itself.
	Store Store
	// Replicas is how many processes share the Store. While the Store cannot be
	// reached, a rule with FailLocal grants here a Replicas-th part of its limit:
	// of the burst rounded up, of the rate exactly. 0 means 1. Too small a number
	// grants too much during an outage, too large a number too little.
	Replicas int
	// ClientIP tells the client's address: a forwarded.Resolver's method behind
	// a proxy. nil means the peer of the connection, which behind a proxy is the
	// proxy: everybody then shares one bucket.
	ClientIP func(*http.Request) netip.Addr
	// Route tells the pattern of the request's route, for ByRoute. nil means
	// r.Pattern, which is set inside a ServeMux's handlers only. For a limiter
	// that stands outside a mux:
	//
	//	Route: func(r *http.Request) string { _, p := mux.Handler(r); return p }
	Route func(*http.Request) string
	// Exempt requests pass without a rule being asked, and without an event: a
	// health probe, by its exact path. nil means none. Whatever a client can
	// choose, he can choose to be exempt.
	Exempt func(*http.Request) bool
	// Headers are the fields by which a client learns its limits.
	Headers HeaderMode
	// Deny answers a refused request. RateLimit fields and Retry-After are set
	// already; next is not called. nil answers 429 (503 where Decision.Err is
	// set) with problem+json (RFC 9457) that is not to be cached (RFC 6585,
	// section 4).
	Deny func(http.ResponseWriter, *http.Request, Decision)
	// Observe is told of every decision, for metrics and logs. It is called in
	// the request's goroutine and must not block.
	Observe func(Event)
	// NoPermit spares the copy of the request in whose context the [Permit]
	// stands, half of what a limiter costs: for a service in which no handler
	// charges or refunds. One that tries gets ErrUnknownRule.
	NoPermit bool
	// KeySecret makes the keys that the Store sees an HMAC: without it, whoever
	// reads a shared store can find the clients' addresses by trying all of them.
	// At least 16 bytes, the same on every replica; changing it forgets all
	// buckets. nil means a plain hash. A Memory needs neither: nobody can read it.
	KeySecret []byte
}

// A Rule is one set of limits for one kind of principal: 10 a second and 1000 a
// day for each client address. It needs Limits or Concurrent.
type Rule struct {
	// Name is required and unique: 1 to 64 letters, digits, '-', '_', '.'. It
	// names the policy in headers, problem details and events, and the buckets
	// in the store: with another name they begin full again. With several
	// limits, each is Name-Limit.Name.
	Name string
	// Key tells whose bucket a request draws from. nil means [ByIP].
	Key KeyFunc
	// Limits must all have a token: {10 per second} and {1000 per day}.
	Limits []Limit
	// Tiers are other limits for some principals, by the name that Tier returns:
	// "free", "pro". Limits of the same Name in different tiers are the same
	// bucket, so a client who changes tiers keeps what he has used, in tokens.
	// An unknown tier means Limits, which is therefore required with Tiers.
	Tiers map[string][]Limit
	// Tier tells the tier of a request; required with Tiers. It must not be
	// something a client can choose.
	Tier func(Subject) string
	// Cost is how many tokens a request takes of each limit; nil means 1. 0 takes
	// none and is never refused, not even in debt. Below 0, or above a limit's
	// burst, the request is refused, without Retry-After because it never fits,
	// and EventBadCost is reported. A cost that is known only later is charged
	// by [Permit.Charge].
	Cost func(*http.Request) int64
	// Match tells which requests the rule is for; nil means all.
	Match func(*http.Request) bool
	// Concurrent bounds the requests in flight per key: streams, uploads, calls
	// to an AI model. 0 means no bound. The place is free again as soon as the
	// handler returns or panics (a handler of a stream must return when
	// r.Context() is done), and a minute after its process has died.
	Concurrent int
	// OnStoreError says what happens while the Store cannot tell.
	OnStoreError FailMode
	// DryRun asks and charges the rule, for the requests that the others allow,
	// but never refuses: EventWouldDeny tells what it would have done. It sets
	// no headers.
	DryRun bool
}

// FailMode is what a rule does while its [Store] fails. A Memory never fails.
type FailMode uint8

const (
	// FailLocal counts in this process's memory, a Replicas-th part of each
	// limit. These buckets outlive the outage, so a store that comes and goes
	// adds one local burst at most. The default: neither an outage of the store
	// becomes one of the service, nor does it take the limits away.
	FailLocal FailMode = iota
	// FailOpen admits everything: for rules that only smooth the load. Who can
	// bring the store down is rid of the limit.
	FailOpen
	// FailClosed refuses with 503: for rules that guard money or passwords.
	FailClosed
)

// HeaderMode selects the fields in answers.
type HeaderMode uint8

const (
	// HeadersStandard sends RateLimit-Policy and RateLimit
	// (draft-ietf-httpapi-ratelimit-headers-11), on allowed and refused answers.
	HeadersStandard HeaderMode = iota
	// HeadersLegacy sends X-RateLimit-Limit, X-RateLimit-Remaining and
	// X-RateLimit-Reset (Unix seconds) of the limit that has least left.
	HeadersLegacy
	// HeadersNone sends neither. Retry-After is sent with every refusal.
	HeadersNone
)

const maxReplicas = 1 << 20

// check reports the mistakes in what is not a rule.
func (c *Config) check(bad *mistakes.List) {
	if len(c.Rules) == 0 {
		bad.Add("Rules", "", "is empty; one rule {Name: \"per-ip\", Limits: ...} limits every client address")
	}
	if c.Replicas < 0 || c.Replicas > maxReplicas {
		bad.Add("Replicas", strconv.Itoa(c.Replicas), "must be the number of processes that share the Store, or 0 for one")
	}
	if c.Headers > HeadersNone {
		bad.Add("Headers", strconv.Itoa(int(c.Headers)), "is no mode; use HeadersStandard, HeadersLegacy or HeadersNone")
	}
	if n := len(c.KeySecret); n > 0 && n < 16 {
		bad.Add("KeySecret", "", "has %d bytes; needs at least 16 random ones (openssl rand -hex 32)", n)
	}
}
