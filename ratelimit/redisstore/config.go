package redisstore

import (
	"reflect"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config says which Redis, and how long a request may wait for it. Only Client
// is required.
type Config struct {
	// Client is the connection to Redis or Valkey, required: a *redis.Client for
	// a single server or for Sentinel (redis.NewFailoverClient), a
	// *redis.ClusterClient, or a *redis.Ring. It stays yours: Close does not
	// close it. Add hooks to it before New.
	//
	// Its timeouts do not lengthen a request, see Timeout, but they decide how
	// soon a broken connection is given up: a DialTimeout of 1 s and, in a
	// cluster, a ReadTimeout of 1 s suit this package better than the client's 5 s.
	Client redis.UniversalClient

	// Prefix begins every key; the default is "gatehouse:". Two services that
	// share a Redis need two prefixes, or they share the buckets of clients whose
	// rules have the same names. At most 64 of the bytes A-Z a-z 0-9 _ . : / so
	// that neither a glob pattern (an ACL, SCAN) nor a hash tag can be made of it.
	Prefix string

	// Timeout is how long a call waits for an answer, everything included: the
	// queue, a dial, the server. The default is 25 ms: some twenty trips within a
	// data centre, and short enough to be felt by nobody when Redis is gone.
	// Shorter than a trip and nothing is ever decided here; longer and an outage
	// costs every request that long, until the breaker opens. At most 10 s.
	Timeout time.Duration

	// MaxStale is how long a denial may be decided from the last answer, without
	// asking Redis; the default is 1 s. Such a denial is exact except for what
	// another process gave back meanwhile (a refund, a reset, a raised limit, a
	// key that was deleted): that is seen after MaxStale at the latest. Negative
	// turns local denials off: then a flood of denied requests is a flood on
	// Redis. At most 1 min.
	MaxStale time.Duration
}

const (
	defaultPrefix   = "gatehouse:"
	defaultTimeout  = 25 * time.Millisecond
	defaultMaxStale = time.Second
	maxPrefix       = 64
	maxTimeout      = 10 * time.Second
	maxMaxStale     = time.Minute
)

// prefixBytes are the bytes of a Prefix: none that a glob or a hash tag knows,
// none that a shell or a log would garble.
const prefixBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/"

// checked returns c with its defaults, or all its mistakes.
func (c Config) checked() (Config, error) {
	bad := mistakes.In("redisstore")
	if c.Client == nil || isNilPointer(c.Client) {
		bad.Add("Client", "", "is nil; pass redis.NewClient, redis.NewFailoverClient or redis.NewClusterClient")
	}
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if i := strings.IndexFunc(c.Prefix, func(r rune) bool { return !strings.ContainsRune(prefixBytes, r) }); i >= 0 {
		bad.Add("Prefix", c.Prefix, "byte %d is none of A-Z a-z 0-9 _ . : /", i)
	}
	if len(c.Prefix) > maxPrefix {
		bad.Add("Prefix", c.Prefix, "is %d bytes long; at most %d", len(c.Prefix), maxPrefix)
	}
	switch {
	case c.Timeout == 0:
		c.Timeout = defaultTimeout
	case c.Timeout < 0 || c.Timeout > maxTimeout:
		bad.Add("Timeout", c.Timeout.String(), "is not in (0, %v]; 0 means %v", maxTimeout, defaultTimeout)
	}
	switch {
	case c.MaxStale == 0:
		c.MaxStale = defaultMaxStale
	case c.MaxStale > maxMaxStale:
		bad.Add("MaxStale", c.MaxStale.String(), "is above %v: a reset by another replica would be unseen that long", maxMaxStale)
	}
	return c, bad.Err()
}

// isNilPointer finds a nil *redis.Client inside the interface, which would panic
// at the first request instead of now.
func isNilPointer(client redis.UniversalClient) bool {
	v := reflect.ValueOf(client)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
