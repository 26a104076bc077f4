package redisstore_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
	"github.com/gatehouse-go/gatehouse/ratelimit/storetest"
)

func TestItIsAStoreOnARealServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	t.Run("with local denials", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) ratelimit.Store {
			return open(t, redisstore.Config{Client: client})
		})
	})
	t.Run("without", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) ratelimit.Store {
			return open(t, redisstore.Config{Client: client, MaxStale: -1})
		})
	})
}

func TestItIsAStoreOnACluster(t *testing.T) {
	t.Parallel()
	client := redistest.StartCluster(t, 3).Client()
	storetest.Run(t, func(t *testing.T) ratelimit.Store {
		return open(t, redisstore.Config{Client: client})
	})
}

// Users' own tests run on miniredis, which has another Lua.
func TestItIsAStoreOnMiniredis(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) ratelimit.Store {
		server := miniredis.RunT(t)
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		t.Cleanup(func() { _ = client.Close() })
		return open(t, redisstore.Config{Client: client})
	})
}
