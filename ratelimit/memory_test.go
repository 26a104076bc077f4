package ratelimit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/storetest"
)

func newMemory(t testing.TB, c ratelimit.MemoryConfig) *ratelimit.Memory {
	t.Helper()
	m, err := ratelimit.NewMemory(c)
	require.NoError(t, err)
	return m
}

func TestMemoryIsAStore(t *testing.T) {
	for name, c := range map[string]ratelimit.MemoryConfig{
		"default":                      {},
		"one shard":                    {Shards: 1, MaxKeys: 1024},
		"three shards, which are four": {Shards: 3, OnFull: ratelimit.DenyNew},
	} {
		t.Run(name, func(t *testing.T) {
			newStore := func(t *testing.T) ratelimit.Store { return newMemory(t, c) }
			storetest.RunFake(t, newStore)
		})
	}
	t.Run("real clock", func(t *testing.T) {
		t.Parallel() // it mostly sleeps
		storetest.Run(t, func(t *testing.T) ratelimit.Store { return newMemory(t, ratelimit.MemoryConfig{}) })
	})
}
