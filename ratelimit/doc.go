// Package ratelimit limits how often and how much clients may ask: token buckets
// per address, user, route or anything else, exact to the microsecond, in bounded
// memory or in a store that replicas share.
//
//	limits, err := ratelimit.Parse("10/second; 1000/day")
//	limiter, err := ratelimit.New(ratelimit.Config{
//		ClientIP: resolver.ClientIP, // behind a proxy; see package forwarded
//		Rules:    []ratelimit.Rule{{Name: "per-ip", Limits: limits}},
//	})
//	handler := limiter.Handler(mux)
//
// # What it stops
//
// One client taking what is there for all: scrapers, password guessing, loops in
// somebody's script, a bill for AI calls. Exhaustion of the limiter itself:
// millions of distinct keys leave its memory flat, a denied request costs a lookup
// and changes nothing.
//
// # What it does not stop
//
// A flood that fills the line or the kernel before a handler runs. Clients with
// very many addresses: add a rule with [ByNetwork], and a [Global] one for what
// the service can bear. Requests of an unauthenticated client keyed by what he
// himself sends: see [ByValue].
//
// # The answers
//
// A refused request gets 429 with problem+json (RFC 9457, type quota-exceeded, the
// violated policies named), Retry-After in seconds and Cache-Control: no-store
// (RFC 6585, section 4). While a shared store is away, rules with [FailClosed]
// answer 503 of type temporary-reduced-capacity; others go on, see [FailMode].
// There is never a 500. Allowed and refused answers carry the fields of
// draft-ietf-httpapi-ratelimit-headers-11:
//
//	RateLimit-Policy: "per-ip-second";q=10;w=1, "per-ip-day";q=1000;w=86400
//	RateLimit: "per-ip-second";r=9;t=1, "per-ip-day";r=999;t=87
//
// q is the burst, w the seconds in which an empty bucket fills, r the whole tokens
// left and t the seconds until there is one more, or, where the request was
// refused, until it would pass; Retry-After is the largest such t. A t that would
// be 0 is left out. The body of a HEAD answer stays empty.
//
// # All or none
//
// Every rule must let a request pass, and every limit of a rule. It is charged to
// all of them or to none: a client that is held back by "10 per second" does not
// lose his "1000 per day" meanwhile.
//
// # Cost, streams, tiers
//
// [Rule].Cost weighs requests. A cost known later is charged by
// [PermitFrom](ctx).Charge. [Rule].Concurrent bounds the requests in flight, for
// streams that are one request however long they last. [Rule].Tiers gives some
// clients more.
//
// # Position
//
// Behind host validation and CORS, in front of the mux: requests that could never
// be served take no token, preflights are free, and a 429 is readable by scripts
// of allowed origins ([ExposedHeaders] names the fields). A limiter keyed by user
// stands behind authentication; limiters may be nested.
package ratelimit
