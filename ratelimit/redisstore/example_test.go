package redisstore_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// Two replicas of a service share one limit.
func Example() {
	server := miniredis.NewMiniRedis() // in your service: redis.NewClient with the address of Redis
	if err := server.Start(); err != nil {
		panic(err)
	}
	defer server.Close()

	replica := func() http.Handler {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), DialTimeout: time.Second})
		store, err := redisstore.New(redisstore.Config{Client: client, Timeout: time.Second})
		if err != nil {
			panic(err)
		}
		limiter, err := ratelimit.New(ratelimit.Config{
			Rules:    []ratelimit.Rule{{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: 3, Per: time.Hour}}}},
			Store:    store,
			Replicas: 2, // while Redis is away each grants half
		})
		if err != nil {
			panic(err)
		}
		return limiter.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	replicas := []http.Handler{replica(), replica()}
	for i := range 5 {
		rec := httptest.NewRecorder()
		replicas[i%2].ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		fmt.Println("replica", i%2, "answers", rec.Code)
	}
	// Output:
	// replica 0 answers 200
	// replica 1 answers 200
	// replica 0 answers 200
	// replica 1 answers 429
	// replica 0 answers 429
}
