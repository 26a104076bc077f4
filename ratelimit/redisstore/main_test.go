package redisstore_test

import (
	"context"
	"crypto/rand"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

const (
	second = 1_000_000
	day    = 86_400 * second
)

// patient is a Timeout for tests that are not about it: the machine may be busy.
const patient = 5 * time.Second

func open(t testing.TB, c redisstore.Config) *redisstore.Store {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = patient
	}
	s, err := redisstore.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func id() (b [16]byte) {
	_, _ = rand.Read(b[:])
	return b
}

// bucket is n requests in so many microseconds, a burst of n, cost 1.
func bucket(n, micros int64) ratelimit.Bucket {
	g := new(big.Int).GCD(nil, nil, big.NewInt(n), big.NewInt(micros)).Int64()
	return ratelimit.Bucket{Key: id(), Group: id(), Rate: n / g, Period: micros / g, Cap: n * (micros / g), Cost: micros / g}
}

func do(t testing.TB, s ratelimit.Store, op ratelimit.Op, buckets ...ratelimit.Bucket) []ratelimit.Level {
	t.Helper()
	levels := make([]ratelimit.Level, len(buckets))
	require.NoError(t, s.Do(context.Background(), op, buckets, levels))
	return levels
}
