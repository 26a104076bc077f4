package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// Compare with the floors of the same run: PING, the shortest script, and the
// shortest that reads the clock and a key and writes it, through the same client.
// Absolute times say nothing.
//
//	go test -run '^$' -bench . -benchtime 500ms ./ratelimit/redisstore
func BenchmarkStore(b *testing.B) {
	ctx := context.Background()
	server := redistest.Start(b)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 64})
	defer client.Close()
	nothing := redis.NewScript("return 1")
	// What every script has to do that takes a token by the server's clock, and
	// nothing else: no arithmetic, one limit, a value that is never looked at.
	touch := redis.NewScript("redis.call('TIME') redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1], 'PX', 86400000) return 1")
	for _, s := range []*redis.Script{nothing, touch} {
		if err := s.Load(ctx, client).Err(); err != nil {
			b.Fatal(err)
		}
	}
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("floor:%032d", i)
	}
	store := func() *redisstore.Store { return open(b, redisstore.Config{Client: client, Timeout: time.Second}) }
	allow, hot, deny, pair := store(), store(), store(), store()

	const plenty = 1 << 40
	wide := func() ratelimit.Bucket {
		return ratelimit.Bucket{Key: id(), Group: id(), Rate: 1, Period: 1000, Cap: 1000 * plenty, Cost: 1000}
	}
	keys := make([]ratelimit.Bucket, 10_000)
	for i := range keys {
		keys[i] = wide()
	}
	hotKey, drained := wide(), bucket(1, day)
	do(b, deny, ratelimit.OpTake, drained)

	take := func(s *redisstore.Store, want bool, buckets ...ratelimit.Bucket) error {
		var levels [2]ratelimit.Level
		err := s.Do(ctx, ratelimit.OpTake, buckets, levels[:len(buckets)])
		if err == nil && levels[0].OK != want {
			err = fmt.Errorf("allowed: %v", !want)
		}
		return err
	}
	for _, n := range []int{1, 16, 64} {
		concurrently(b, "floor=PING", n, func(int64) error { return client.Ping(ctx).Err() })
		concurrently(b, "floor=EVALSHA", n, func(int64) error { return nothing.EvalSha(ctx, client, []string{"k"}).Err() })
		concurrently(b, "floor=TIME_GET_SET", n, func(i int64) error {
			return touch.EvalSha(ctx, client, names[i%int64(len(names)):][:1], "b1 1099511627775000 1795449600000000 1 1000 1099511627776000").Err()
		})
		concurrently(b, "allow=many_keys", n, func(i int64) error { return take(allow, true, keys[i%int64(len(keys))]) })
		concurrently(b, "allow=two_limits", n, func(i int64) error {
			x, y := keys[i%int64(len(keys))], keys[(i+1)%int64(len(keys))]
			return take(pair, true, x, y)
		})
		concurrently(b, "allow=one_key", n, func(int64) error { return take(hot, true, hotKey) })
		concurrently(b, "deny=one_key", n, func(int64) error { return take(deny, false, drained) })
	}
}

// concurrently measures f in n goroutines.
func concurrently(b *testing.B, name string, n int, f func(i int64) error) {
	b.Run(fmt.Sprintf("goroutines=%d/%s", n, name), func(b *testing.B) {
		b.ReportAllocs()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for {
					i := next.Add(1)
					if i > int64(b.N) {
						return
					}
					if err := f(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
