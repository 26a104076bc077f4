// Package redisstore keeps the buckets of package ratelimit in Redis or Valkey,
// so that all replicas of a service share one limit.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis:6379"})
//	store, err := redisstore.New(redisstore.Config{Client: client})
//	if err != nil { ... }
//	defer store.Close()
//	if err := store.Ping(ctx); err != nil { ... }
//	limiter, err := ratelimit.New(ratelimit.Config{Store: store, Replicas: 4, ...})
//
// # What it costs
//
// A decision is one run of one script, for all limits of the request, and a
// denied one often none at all:
//
//   - While a trip to Redis is out, new calls gather; the next takes them all.
//     A server sees a few connections with large pipelines, not one for each
//     request. Equal calls on one key become one step of the script, which
//     grants them in turn: thousands of calls on one key cost a handful of trips.
//   - A key that is known to hold too little is denied without asking, as long
//     as not even its refill can have changed that. This is exact, because
//     everybody else can only have taken from it. Tokens that another process
//     gave back (a refund, a reset, other limits) are seen after
//     Config.MaxStale. So a flood of denied requests is not a flood on Redis: it
//     sees the refill rate, and a call or two per MaxStale and replica.
//
// Only integers are computed with, and only the clock of Redis counts: the
// clocks of the replicas may be wrong.
//
// # When Redis is away
//
// Do returns within Config.Timeout, whatever the client's own timeouts say; a
// dial or a reply goes on in the background. The first failure opens a breaker:
// then one call at a time finds out whether Redis is back, and the others get
// [ErrUnavailable] at once. What happens to a request then is the rule's
// OnStoreError. Nothing has to be restarted. A request that was cancelled is no
// failure.
//
// Nothing is sent twice that could charge twice: after a lost reply the call
// fails, and it is charged once or not at all. A script that the server does
// not know (after SCRIPT FLUSH or a restart) is sent with EVAL, a key that has
// moved (MOVED, ASK) is asked for at its new node: in these cases nothing was
// executed. A failover or a restart without data forgets what was not
// replicated: the clients concerned start afresh, with one burst at most.
//
// # Cluster
//
// The keys of a client have one hash tag and are changed atomically. A request
// whose rules have different principals (an address and an API key) needs keys
// of several nodes: they are asked at once, and where one denies the others get
// their tokens back before the answer. In between, for the length of a trip,
// they are missing: another request may be denied for that. If the trip that
// gives back fails, they stay charged. On a single server, with or without
// Sentinel, this is atomic too. A node that does not answer opens the breaker
// for its own hash slots only, in sixteenths.
//
// # What is stored
//
// A key is Config.Prefix, the hashed principal in braces, the hashed limit:
// "gatehouse:{c2VjcmV0LWdyb3VwLTAwMQ}c2VjcmV0LWtleS0wMDAwMQ". Set
// ratelimit.Config.KeySecret, or whoever reads Redis finds IPv4 addresses by
// trying all. Each key ends by itself as soon as its bucket is full. There is
// no SCAN and no KEYS. A key that holds something else is an [ErrForeign] and
// left alone.
//
// Set maxmemory-policy noeviction: an evicted key is a client that starts
// afresh. A full Redis then refuses to write, which is an error like an outage.
//
// # Permissions
//
// The smallest ACL, as the tests have it:
//
//	ACL SETUSER limiter on >secret resetkeys ~gatehouse:* resetchannels -@all
//	  +evalsha +eval +time +get +set +del +zadd +zcount +zscore +zrem
//	  +zremrangebyscore +zrevrange +pexpire
//
// In a cluster the client itself also needs +cluster|slots and +asking.
// [Store.Ping] tries each of them; with +info it also sees the version and the
// eviction policy.
//
// # Servers
//
// Tested with Redis 7.0: single, Cluster, Sentinel; and with miniredis, for
// your own tests. No command that is used is younger than Redis 6, so that
// Valkey should do; the tests have not been run with it, nor with a redis.Ring.
// A client of any other type is treated as a cluster's.
//
// # What it does not do
//
// It does not keep its promise through a failover that loses writes, or where a
// network partition leaves two masters: each then grants its own burst. It does
// not spread one key over several nodes. It does not notice that a server
// evicts keys, except in Ping.
package redisstore
