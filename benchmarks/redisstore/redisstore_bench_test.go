// Package redisstorebench compares limiters on one Redis, beside the floors of the
// same run: PING, and the shortest script through the same client.
//
//	go test -run '^$' -bench . -benchtime 500ms ./redisstore
//
// Read ratios to floor=EVALSHA at the same number of goroutines. The peers get
// what they are best at: one limit for each decision.
package redisstorebench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	ulule "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

const (
	keys   = 10_000
	plenty = 1_000_000_000
)

var errWrong = errors.New("decided otherwise")

// A contender decides about the i-th of many keys, or about one key.
type contender struct {
	name              string
	many, one, denied func(i int64) error
}

func BenchmarkRedis(b *testing.B) {
	ctx := context.Background()
	server := redistest.Start(b)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 64})
	defer client.Close()
	nothing := redis.NewScript("return 1")
	if err := nothing.Load(ctx, client).Err(); err != nil {
		b.Fatal(err)
	}
	contenders := []contender{ours(b, client), redisRate(b, client), fixedWindow(b, client)}
	for _, n := range []int{1, 16, 64} {
		at := func(name string, f func(int64) error) { concurrently(b, n, name, f) }
		at("floor=PING", func(int64) error { return client.Ping(ctx).Err() })
		at("floor=EVALSHA", func(int64) error { return nothing.EvalSha(ctx, client, []string{"k"}).Err() })
		for _, l := range contenders {
			at("many_keys/"+l.name, l.many)
			at("one_key/"+l.name, l.one)
			at("denied/"+l.name, l.denied)
		}
	}
}

func ours(b *testing.B, client *redis.Client) contender {
	s, err := redisstore.New(redisstore.Config{Client: client, Timeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	bucket := func(burst int64) (bucket ratelimit.Bucket) {
		bucket = ratelimit.Bucket{Rate: 1, Period: 86_400, Cap: burst * 86_400, Cost: 86_400}
		_, _ = rand.Read(bucket.Key[:])
		_, _ = rand.Read(bucket.Group[:])
		return bucket
	}
	var wide [keys]ratelimit.Bucket
	for i := range wide {
		wide[i] = bucket(plenty)
	}
	hot, drained := bucket(plenty), bucket(1)
	drained.Rate, drained.Period, drained.Cap, drained.Cost = 1, 1<<40, 1<<40, 1<<40
	take := func(bucket ratelimit.Bucket, want bool) error {
		var level [1]ratelimit.Level
		err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{bucket}, level[:])
		if err == nil && level[0].OK != want {
			err = errWrong
		}
		return err
	}
	if err := take(drained, true); err != nil {
		b.Fatal(err)
	}
	return contender{
		name:   "gatehouse",
		many:   func(i int64) error { return take(wide[i%keys], true) },
		one:    func(int64) error { return take(hot, true) },
		denied: func(int64) error { return take(drained, false) },
	}
}

func redisRate(b *testing.B, client *redis.Client) contender {
	l := redis_rate.NewLimiter(client)
	take := func(key string, limit redis_rate.Limit, want int) error {
		r, err := l.Allow(context.Background(), key, limit)
		if err == nil && r.Allowed != want {
			err = errWrong
		}
		return err
	}
	wide := redis_rate.Limit{Rate: plenty, Period: 24 * time.Hour, Burst: plenty}
	narrow := redis_rate.Limit{Rate: 1, Period: 24 * time.Hour, Burst: 1}
	if err := take("drained", narrow, 1); err != nil {
		b.Fatal(err)
	}
	return contender{
		name:   "redis_rate",
		many:   func(i int64) error { return take("many"+strconv.FormatInt(i%keys, 10), wide, 1) },
		one:    func(int64) error { return take("one", wide, 1) },
		denied: func(int64) error { return take("drained", narrow, 0) },
	}
}

// fixedWindow counts in fixed windows, which lets twice the limit pass at a
// boundary: less is asked of it.
func fixedWindow(b *testing.B, client *redis.Client) contender {
	store, err := ulule.NewStore(client)
	if err != nil {
		b.Fatal(err)
	}
	of := func(n int64) *limiter.Limiter {
		return limiter.New(store, limiter.Rate{Period: 24 * time.Hour, Limit: n})
	}
	wide, narrow := of(plenty), of(1)
	take := func(l *limiter.Limiter, key string, reached bool) error {
		c, err := l.Get(context.Background(), key)
		if err == nil && c.Reached != reached {
			err = errWrong
		}
		return err
	}
	if err := take(narrow, "drained", false); err != nil {
		b.Fatal(err)
	}
	return contender{
		name:   "ulule",
		many:   func(i int64) error { return take(wide, "many"+strconv.FormatInt(i%keys, 10), false) },
		one:    func(int64) error { return take(wide, "one", false) },
		denied: func(int64) error { return take(narrow, "drained", true) },
	}
}

func concurrently(b *testing.B, n int, name string, f func(i int64) error) {
	b.Run(fmt.Sprintf("goroutines=%d/%s", n, name), func(b *testing.B) {
		b.ReportAllocs()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
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
