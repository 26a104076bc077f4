package redistest

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// A Cluster is masters without replicas that share the hash slots evenly.
type Cluster struct {
	Nodes []*Server

	t testing.TB
}

// StartCluster starts a cluster of n masters and waits until it is whole.
func StartCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range n {
		c.Nodes = append(c.Nodes, Start(t,
			"--cluster-enabled", "yes", "--cluster-port", port(testenv.FreeAddr(t)),
			"--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"))
	}
	ctx := context.Background()
	for i, node := range c.Nodes {
		first, last := 16384*i/n, 16384*(i+1)/n-1
		check(t, node.Client().Do(ctx, "cluster", "addslotsrange", first, last).Err())
		bus, err := c.Nodes[0].Client().ConfigGet(ctx, "cluster-port").Result()
		check(t, err)
		if i > 0 {
			check(t, node.Client().Do(ctx, "cluster", "meet", "127.0.0.1", port(c.Nodes[0].Addr), bus["cluster-port"]).Err())
		}
	}
	eventually(t, "every node knows all slots", func() bool {
		for _, node := range c.Nodes {
			for i := range n {
				if owner(ctx, node.Client(), 16384*i/n) == "" {
					return false
				}
			}
			info, err := node.Client().ClusterInfo(ctx).Result()
			if err != nil || !contains(info, "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Addrs lists the nodes.
func (c *Cluster) Addrs() (addrs []string) {
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// Client returns a client of the cluster with default options, closed with the
// test.
func (c *Cluster) Client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// Move moves a slot with its keys to a node, as redis-cli --cluster reshard
// does: both nodes are told, the keys are migrated, the slot is assigned. The
// pause is called while the slot is on both nodes, before its keys have gone and
// after each.
func (c *Cluster) Move(slot int, to *Server, pause func()) error {
	ctx := context.Background()
	target := to.Client()
	targetID, err := target.ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	from := c.Owner(slot)
	if from == nil || from == to {
		return fmt.Errorf("redistest: no other node has slot %d", slot)
	}
	source := from.Client()
	sourceID, err := source.ClusterMyID(ctx).Result()
	if err != nil {
		return err
	}
	if err := target.Do(ctx, "cluster", "setslot", slot, "importing", sourceID).Err(); err != nil {
		return err
	}
	if err := source.Do(ctx, "cluster", "setslot", slot, "migrating", targetID).Err(); err != nil {
		return err
	}
	pause()
	if err := migrate(ctx, source, to, slot, pause); err != nil {
		return err
	}
	// First the node that gets it, so that it is never nobody's.
	for _, node := range append([]*Server{to, from}, c.Nodes...) {
		if err := node.Client().Do(ctx, "cluster", "setslot", slot, "node", targetID).Err(); err != nil {
			return err
		}
	}
	return nil
}

func migrate(ctx context.Context, source *redis.Client, to *Server, slot int, pause func()) error {
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 1).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		err = source.Do(ctx, "migrate", "127.0.0.1", port(to.Addr), keys[0], 0, 5000).Err()
		if err != nil {
			return err
		}
		pause()
	}
}

// Owner is the node that has a slot, by its own word; nil if none says so.
func (c *Cluster) Owner(slot int) *Server {
	ctx := context.Background()
	for _, node := range c.Nodes {
		id, err := node.Client().ClusterMyID(ctx).Result()
		if err == nil && owner(ctx, node.Client(), slot) == id {
			return node
		}
	}
	return nil
}

// owner is the ID of the node that has a slot, as another sees it.
func owner(ctx context.Context, client *redis.Client, slot int) string {
	shards, err := client.ClusterShards(ctx).Result()
	if err != nil {
		return ""
	}
	for _, shard := range shards {
		for _, r := range shard.Slots {
			if r.Start <= int64(slot) && int64(slot) <= r.End && len(shard.Nodes) > 0 {
				return shard.Nodes[0].ID
			}
		}
	}
	return ""
}
