package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

func TestNewReturnsAllMistakesAtOnce(t *testing.T) {
	_, err := redisstore.New(redisstore.Config{
		Client: (*redis.Client)(nil), Prefix: "a{b}", Timeout: -1, MaxStale: time.Hour,
	})
	var fields []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var mistake *gatehouse.ConfigError
		require.True(t, errors.As(e, &mistake))
		fields = append(fields, mistake.Field)
	}
	require.Equal(t, []string{"Client", "Prefix", "Timeout", "MaxStale"}, fields)
	require.ErrorContains(t, err, `redisstore: Prefix "a{b}": byte 1 is none of`)
}

func TestAPrefixHasNoGlobAndNoHashTag(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for _, prefix := range []string{"*", "a?", "[a]", "a^", "{", "a}", "a b", "a\n", "ü", `\`, string(make([]byte, 65))} {
		_, err := redisstore.New(redisstore.Config{Client: client, Prefix: prefix})
		require.Error(t, err, "%q", prefix)
	}
	for _, prefix := range []string{"", "gatehouse:", "api.prod/limits_1:"} {
		s, err := redisstore.New(redisstore.Config{Client: client, Prefix: prefix})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}
