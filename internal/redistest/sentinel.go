package redistest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// StartSentinel starts a master, a replica of it and a Sentinel that watches
// them under the name "main" and fails over after half a second.
func StartSentinel(t testing.TB) (sentinel, master, replica *Server) {
	t.Helper()
	ctx := context.Background()
	master = Start(t, "--repl-diskless-sync-delay", "0")
	replica = Start(t, "--replicaof", "127.0.0.1 "+port(master.Addr))
	eventually(t, "the replica follows", func() bool {
		info, err := replica.Client().Info(ctx, "replication").Result()
		return err == nil && contains(info, "master_link_status:up")
	})
	sentinel = startSentinel(t)
	c := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Addr})
	defer c.Close()
	check(t, c.Monitor(ctx, "main", "127.0.0.1", port(master.Addr), "1").Err())
	check(t, c.Set(ctx, "main", "down-after-milliseconds", "500").Err())
	check(t, c.Set(ctx, "main", "failover-timeout", "5000").Err())
	eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := c.Replicas(ctx, "main").Result()
		return err == nil && len(replicas) == 1
	})
	return sentinel, master, replica
}

// startSentinel starts a Sentinel that watches nothing yet. It wants a
// configuration file that it may write.
func startSentinel(t testing.TB) *Server {
	t.Helper()
	bin := testenv.Command(t, "redis-server", "redis-server", "valkey-server")
	for range 5 {
		addr := testenv.FreeAddr(t)
		s := &Server{Addr: addr, t: t, bin: bin, dir: t.TempDir()}
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := "bind 127.0.0.1\nport " + port(addr) + "\ndir " + s.dir + "\nlogfile " + filepath.Join(s.dir, "log") + "\n"
		check(t, os.WriteFile(conf, []byte(text), 0o600))
		s.args = []string{conf, "--sentinel"}
		if s.start() {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal("redistest: no sentinel would start")
	return nil
}

func contains(info, line string) bool {
	for have := range strings.Lines(info) {
		if strings.TrimSpace(have) == line {
			return true
		}
	}
	return false
}
