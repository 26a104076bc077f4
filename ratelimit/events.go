package ratelimit

import "time"

// An Event is what [Config].Observe is told. It is a plain value.
type Event struct {
	Kind EventKind
	// Rule is the name of the rule; Policy that of the limit, where the event
	// concerns one limit.
	Rule, Policy string
	// Key is whose bucket it was. Its String shows addresses, and digests of
	// everything else; it is not a label for metrics, for it has no bound.
	Key Key
	// Route is the route's pattern, or empty where it is not known.
	Route string
	// Latency is how long the Store took.
	Latency time.Duration
	// Err is the Store's error, for EventStoreError, and for decisions made
	// without it.
	Err error
}

// EventKind tells events apart.
type EventKind uint8

const (
	// EventAllow: the request passed this rule, and all others.
	EventAllow EventKind = iota + 1
	// EventDeny: this policy refused the request. One event for each.
	EventDeny
	// EventWouldDeny: this policy of a DryRun rule would have refused it.
	EventWouldDeny
	// EventLocalDeny: this policy refused it without the Store being asked: by
	// the local buckets of FailLocal (Err is set), or by what a shared store
	// knew for certain.
	EventLocalDeny
	// EventOverflow: a Memory was full, so a newcomer's bucket was shared.
	EventOverflow
	// EventStoreError: the Store could not tell; what OnStoreError says was done.
	EventStoreError
	// EventRecovered: the Store answers again.
	EventRecovered
	// EventNoRoute: a key made by ByRoute saw no route; see Config.Route.
	EventNoRoute
	// EventBadCost: Rule.Cost returned less than 0 or more than the burst.
	EventBadCost
)

// String is the kind in lower case, "would-deny": a label for metrics.
func (k EventKind) String() string {
	switch k {
	case EventAllow:
		return "allow"
	case EventDeny:
		return "deny"
	case EventWouldDeny:
		return "would-deny"
	case EventLocalDeny:
		return "local-deny"
	case EventOverflow:
		return "overflow"
	case EventStoreError:
		return "store-error"
	case EventRecovered:
		return "recovered"
	case EventNoRoute:
		return "no-route"
	case EventBadCost:
		return "bad-cost"
	}
	return "unknown"
}
