package redisstore_test

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

func TestPingIsContentWithAPlainServer(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	require.NoError(t, open(t, redisstore.Config{Client: client}).Ping(context.Background()))
	require.Zero(t, client.DBSize(context.Background()).Val(), "it leaves nothing behind")
}

func TestPingIsContentWithAClusterAndSaysWhereTheClientIsNone(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	require.NoError(t, open(t, redisstore.Config{Client: cluster.Client()}).Ping(context.Background()))
	err := open(t, redisstore.Config{Client: cluster.Nodes[0].Client()}).Ping(context.Background())
	require.ErrorContains(t, err, "is a node of a cluster; use redis.NewClusterClient")
}

func TestPingSaysWhatIsWrong(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, redisstore.Config{Client: client})

	require.NoError(t, client.ConfigSet(ctx, "maxmemory", "100mb").Err())
	require.NoError(t, client.ConfigSet(ctx, "maxmemory-policy", "volatile-lru").Err())
	err := s.Ping(ctx)
	require.ErrorContains(t, err, "maxmemory-policy noeviction")
	require.NotErrorIs(t, err, redisstore.ErrUnchecked)
	require.NoError(t, client.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err())
	require.NoError(t, s.Ping(ctx))

	require.NoError(t, client.ConfigSet(ctx, "maxmemory", "1").Err())
	require.ErrorContains(t, s.Ping(ctx), "OOM")

	replica := redistest.Start(t, "--replicaof", "127.0.0.1 1")
	err = open(t, redisstore.Config{Client: replica.Client()}).Ping(ctx)
	require.ErrorContains(t, err, "is a replica")
}

func TestPingSaysWhatItCouldNotCheck(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	err := open(t, redisstore.Config{Client: client}).Ping(context.Background())
	require.ErrorIs(t, err, redisstore.ErrUnchecked)
	require.ErrorContains(t, err, "version")
}

func TestPingFailsWhereNobodyAnswers(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1})
	defer client.Close()
	err := open(t, redisstore.Config{Client: client}).Ping(context.Background())
	require.ErrorContains(t, err, "connection refused")
}

// The ACL that doc.go gives, and nothing more than it.
var minimalACL = []any{
	"resetkeys", "~gatehouse:*", "resetchannels", "-@all",
	"+evalsha", "+eval", "+time", "+get", "+set", "+del",
	"+zadd", "+zcount", "+zscore", "+zrem", "+zremrangebyscore", "+zrevrange", "+pexpire",
}

func TestTheDocumentedACLIsEnoughAndMinimal(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	admin := server.Client()
	with := func(rules []any) *redisstore.Store {
		args := append([]any{"acl", "setuser", "limiter", "reset", "on", ">secret"}, rules...)
		require.NoError(t, admin.Do(ctx, args...).Err())
		require.NoError(t, admin.Do(ctx, "script", "flush").Err())
		client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "limiter", Password: "secret"})
		t.Cleanup(func() { _ = client.Close() })
		return open(t, redisstore.Config{Client: client})
	}
	require.NoError(t, with(append(minimalACL, "+info")).Ping(ctx))

	s := with(minimalACL)
	err := s.Ping(ctx)
	require.ErrorIs(t, err, redisstore.ErrUnchecked)
	require.ErrorContains(t, err, "may not run INFO")
	b := bucket(2, day)
	require.True(t, do(t, s, ratelimit.OpTake, b)[0].OK)

	for i := 4; i < len(minimalACL); i++ {
		less := append(append([]any{}, minimalACL[:i]...), minimalACL[i+1:]...)
		err := with(less).Ping(ctx)
		require.Error(t, err, "without %s", minimalACL[i])
		require.Regexp(t, "can't run|no permissions", err.Error(), "without %s", minimalACL[i])
		require.NotErrorIs(t, err, redisstore.ErrUnchecked)
	}
	err = with(append([]any{"~other:*"}, minimalACL[2:]...)).Ping(ctx)
	require.ErrorContains(t, err, "NOPERM", "without the keys")
}

// What the cluster client asks for itself.
var clusterACL = []any{"+cluster|slots", "+asking"}

func TestTheDocumentedACLIsEnoughInACluster(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cluster := redistest.StartCluster(t, 3)
	rules := append(append(append([]any{"acl", "setuser", "limiter", "reset", "on", ">secret"}, minimalACL...), clusterACL...), "+info")
	for _, node := range cluster.Nodes {
		require.NoError(t, node.Client().Do(ctx, rules...).Err())
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), Username: "limiter", Password: "secret"})
	defer client.Close()
	s := open(t, redisstore.Config{Client: client})
	require.NoError(t, s.Ping(ctx))

	b := bucket(100, day)
	other := bucket(100, day)
	other.Group = b.Group
	do(t, s, ratelimit.OpTake, b, other)
	slot := redisstore.SlotOf(b.Group)
	to := cluster.Nodes[0]
	if cluster.Owner(slot) == to {
		to = cluster.Nodes[1]
	}
	require.NoError(t, cluster.Move(slot, to, func() { do(t, s, ratelimit.OpTake, b) }))
	require.EqualValues(t, 95, do(t, s, ratelimit.OpTake, b)[0].Units/b.Period, "one, one at each of three pauses, one")
}
