package ratelimit

import "context"

// A Store keeps the buckets and the leases. [NewMemory] makes the one that lives
// in this process; the package redisstore has one that replicas share.
//
// A Store knows nothing of requests, rules, names or tokens: a [Middleware]
// hashes and scales before it calls, so that every store computes with the same
// integers and two stores that are given the same calls at the same times give
// the same answers. The package storetest holds them to that.
//
// # Time and units
//
// A store's clock counts whole microseconds and never runs backwards. A limit of
// n requests per T, where T is a whole number of microseconds, becomes
//
//	g      = gcd(n, T in µs)
//	Rate   = n/g       units that a bucket gains in a microsecond
//	Period = T/g       units that one token (a request of cost 1) is worth
//	Cap    = burst × Period
//	Cost   = cost × Period
//
// so that nothing is ever rounded: "3 per second" is Rate 3, Period 1 000 000;
// "100 per minute" is Rate 1, Period 600 000. A level of u units is worth
// floor(u/Period) whole tokens.
//
// A level lies in [-Cap, Cap]; it is negative where a client is in debt. A
// bucket that the store does not hold is full: level == Cap. A store may
// therefore forget a full bucket at any moment, and must not forget another,
// except by a documented policy against running out of memory. Between two calls
// on it a bucket gains Rate units with every microsecond, up to Cap.
//
// Rate, Period and Cap are in [1, MaxUnits], and Cap is at least 1 token. The
// longest way, from -Cap to Cap, is then 2^53 units, which a float64 (Lua's
// only number) still holds exactly; compute elapsed × Rate only after comparing
// elapsed with the time to full, ceil((Cap-level)/Rate).
//
// # One operation
//
// Do applies op to all buckets at one instant of the store's clock and fills
// levels[i] for buckets[i]; both slices have the same length, at least 1. The
// two slices belong to the caller, who uses them again as soon as Do has
// returned: a store that works on in the background works on copies. It must
// not write to buckets, nor to levels after it has returned.
//
// Within a call no Key occurs twice. Buckets of one Group must be treated
// atomically. Buckets of different groups should be; a store that is spread over
// several nodes may treat group after group, and gives back to the earlier ones
// what it has taken where a later one denies.
//
// # Leases
//
// A Bucket with Rate 0 counts requests in flight. It holds a set of leases, each
// named by 16 bytes that are unique to one request, each with the time when it
// ends; a lease lives until then, exclusive. Cap is the greatest number of
// leases, Period is how long a lease lives in microseconds, Cost is 1. The
// expiry is for a process that dies: a live one renews its leases in time. See
// [Op] for what each operation does to such a bucket.
//
// # A limit that changes
//
// Rate, Period and Cap come with every call. Where they differ from those of the
// last call that changed the bucket (a new deployment with other limits, another
// tier of the same client; old and new replicas may alternate), the tokens are
// carried over, in tokens, not in units:
//
//  1. the bucket is refilled up to now at its stored Rate, up to its stored Cap;
//  2. if it is then full, it becomes full: level = the new Cap (a full bucket
//     and an absent one must not differ);
//  3. otherwise level = floor(level × new Period / stored Period), exactly, to
//     be clamped to [-new Cap, new Cap]. Floor is towards minus infinity. The
//     product needs 104 bits.
//
// The stored Rate, Period and Cap are those of the last call that wrote. A
// denied OpTake, an OpTake of cost 0 and an OpPeek compute with the carried
// level and store nothing. For leases only Cap and Period of the call count.
//
// # Errors
//
// A nil error means: decided, levels hold. Any error means that nothing is known
// and levels hold nothing; the store has charged nothing, or at most once. It
// never retries what could charge twice. The Middleware then does what
// [Rule.OnStoreError] says, so a store only reports: it neither admits nor
// denies by itself when it cannot tell.
//
// If ctx ends before the answer, the error wraps ctx.Err(): a caller that gave
// up is no outage and is not counted as one. A store with its own, shorter time
// limit reports that as another error. A bucket out of bounds is an error too,
// never a panic.
//
// Do is called from many goroutines at once.
type Store interface {
	Do(ctx context.Context, op Op, buckets []Bucket, levels []Level) error
}

// MaxUnits bounds Rate, Period and Cap of a [Bucket]: 2^52.
const MaxUnits = 1 << 52

// Op is what [Store].Do is to do with the buckets.
type Op uint8

const (
	// OpTake takes Cost from every bucket, or changes none: a bucket has enough
	// when its level is at least Cost, or when Cost is 0, which always passes
	// and changes nothing (a client in debt may still do what is free). A Cost
	// above Cap never passes.
	//
	// Of a lease bucket: where Lease is alive it is renewed (it ends Period from
	// now) and takes no further place; else it is added if fewer than Cap are
	// alive; else the bucket denies. Where the call is denied, nothing is added
	// or renewed.
	OpTake Op = iota + 1
	// OpPeek changes nothing and tells what OpTake would say of each bucket by
	// itself.
	OpPeek
	// OpCharge takes Cost from every bucket unconditionally, into debt if need
	// be, down to -Cap and no further. OK is false where it was cut there.
	//
	// Of a lease bucket: Lease is renewed, or added whether or not there is a
	// place left. OK is true.
	OpCharge
	// OpCredit gives Cost back to every bucket, up to Cap. OK is true.
	//
	// Of a lease bucket: Lease is removed; OK tells whether it was alive.
	OpCredit
	// OpReset makes every bucket full, and removes all its leases. OK is true.
	OpReset
)

// A Bucket is one limit for one principal, and what a call wants of it. It is a
// plain value.
type Bucket struct {
	// Key names the bucket: 128 bits of a hash over the rule, the limit and the
	// principal (HMAC-SHA-256 where Config.KeySecret is set). Any bytes may
	// occur. A key is a token bucket or a set of leases for ever, never one
	// after the other.
	Key [16]byte
	// Group names the principal alone. Buckets of the same Group belong to the
	// same client: a sharded store puts them in one shard under one lock, a
	// Redis store uses it as the hash tag, so that one script may touch them
	// all. The group of a Key never changes. Two groups may have the same
	// first or last bytes only by chance.
	Group [16]byte
	// Rate is the units gained per microsecond, in lowest terms with Period.
	// 0 marks a lease bucket.
	Rate int64
	// Period is how many units make a token; of a lease bucket, how long a lease
	// lives in microseconds.
	Period int64
	// Cap is the units of a full bucket; of a lease bucket the number of places.
	Cap int64
	// Cost is the units to take, peek for, charge or credit: 0 to 2 × MaxUnits.
	// It is 1 for a lease bucket. OpReset ignores it.
	Cost int64
	// Lease names the lease of a lease bucket. It is all zeros for OpPeek and
	// OpReset and of a token bucket.
	Lease [16]byte
}

// A Level is what a [Store] says of one [Bucket]. It is a plain value.
type Level struct {
	// Units is the level after the operation, in [-Cap, Cap]; where an OpTake is
	// denied, and for OpPeek, the level as it stands. Of a lease bucket it is
	// the number of free places, Cap minus the leases alive, negative where
	// there are more than Cap.
	//
	// A store that denies from what it knows without asking its server may give
	// an upper bound of the level instead, but for a bucket whose OK is false
	// always one below Cost.
	Units int64
	// OK is whether this bucket had enough for its own Cost; see [Op]. An OpTake
	// is allowed if and only if all are OK. Where one is not, the others may be
	// OK from an upper bound, as above; one that is not OK is never wrong.
	OK bool
	// Shared tells that the bucket stood for more than its own key, because the
	// store was full. The Middleware reports it as EventOverflow.
	Shared bool
	// Local tells that a denial was decided without asking the server. The
	// Middleware reports it as EventLocalDeny.
	Local bool
}
