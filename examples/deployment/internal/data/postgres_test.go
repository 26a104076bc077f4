package data_test

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/pgtest"
)

// TestAServerThatComesBackIsUsedAgain stops and starts the real servers under
// databases that stay open.
func TestAServerThatComesBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	// PgBouncer tries a server that failed again after server_login_retry, 15 s by
	// default, and keeps clients waiting until then.
	pooler := server.PgBouncer(t, "server_login_retry = 1")
	direct := server.Database(t)
	straight := openMigrated(t, config.Database{Driver: "postgres", DSN: direct})
	pooled := open(t, config.Database{Driver: "postgres", DSN: pooler.DSN(direct), UnpooledDSN: direct})
	all := map[string]*data.DB{"direct": straight, "through PgBouncer": pooled}
	u := newUser(t, straight)
	busy := func() { // many connections are open when it happens
		var wg sync.WaitGroup
		for _, d := range all {
			for range 10 {
				wg.Go(func() { _, _ = d.User(t.Context(), u.ID) })
			}
		}
		wg.Wait()
	}
	for _, c := range []struct {
		name          string
		down, restart func()
		affected      []string
	}{
		{"PostgreSQL is stopped", server.Stop, server.Restart, []string{"direct", "through PgBouncer"}},
		{"PostgreSQL crashes", server.Kill, server.Restart, []string{"direct", "through PgBouncer"}},
		{"PgBouncer is stopped", pooler.Stop, pooler.Restart, []string{"through PgBouncer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			busy()
			c.down()
			for _, name := range c.affected {
				for range 12 { // more than the pool has
					ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
					_, err := all[name].User(ctx, u.ID)
					require.True(t, data.Unavailable(err), "%s: %v", name, err)
					_, err = all[name].CreateThread(ctx, u.ID, "title")
					require.True(t, data.Unavailable(err), "%s: %v", name, err)
					err = all[name].LogoutEverywhere(ctx, u.ID)
					require.True(t, data.Unavailable(err), "%s: %v", name, err)
					err = all[name].Ready(ctx)
					require.True(t, data.Unavailable(err), "%s: %v", name, err)
					cancel()
				}
			}
			c.restart()
			for name, d := range all {
				require.Eventually(t, func() bool {
					_, err := d.User(t.Context(), u.ID)
					return err == nil && d.Ready(t.Context()) == nil
				}, 20*time.Second, 10*time.Millisecond, name)
				newThread(t, d, u.ID)
			}
		})
	}
}

func TestPostgreSQLUnderDuress(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	pooler := server.PgBouncer(t, "default_pool_size = 4")
	direct := server.Database(t)
	straight := openMigrated(t, config.Database{Driver: "postgres", DSN: direct})
	pooled := open(t, config.Database{Driver: "postgres", DSN: pooler.DSN(direct), UnpooledDSN: direct})
	for name, d := range map[string]*data.DB{"direct": straight, "through PgBouncer": pooled} {
		t.Run(name, func(t *testing.T) {
			t.Run("a statement that hangs is stopped in the server", func(t *testing.T) { hangingStatement(t, straight, d) })
			t.Run("a client that hangs up costs no connection", func(t *testing.T) { hungUp(t, straight, d) })
			t.Run("a transaction limits itself and nobody else", func(t *testing.T) { transactionLimits(t, d) })
		})
	}
	t.Run("a pool that is empty is unavailable", func(t *testing.T) { emptyPool(t, straight) })
	t.Run("a server with no connection left is unavailable", func(t *testing.T) {
		limited := server.Database(t)
		_, err := straight.Raw().ExecContext(t.Context(), "CREATE ROLE limited LOGIN PASSWORD 'limited' CONNECTION LIMIT 0")
		require.NoError(t, err)
		_, err = data.Open(t.Context(), config.Database{Driver: "postgres", DSN: strings.Replace(limited, "app:only-for-tests", "limited:limited", 1)})
		require.ErrorContains(t, err, "53300")
		assert.True(t, data.Unavailable(err))
	})
	t.Run("a pooler alone is enough to migrate", func(t *testing.T) { migrateThroughPooler(t, server, pooler) })
	t.Run("a start-up parameter that the pooler refuses is named", func(t *testing.T) {
		_, err := data.Open(t.Context(), config.Database{Driver: "postgres", DSN: pooler.DSN(direct) + "&statement_timeout=5000"})
		assert.ErrorContains(t, err, "unsupported startup parameter: statement_timeout")
	})
	t.Run("a wrong password is not printed", func(t *testing.T) {
		_, err := data.Open(t.Context(), config.Database{Driver: "postgres", DSN: strings.Replace(direct, "only-for-tests", "geheim", 1)})
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "geheim")
	})
	t.Run("a backup is somebody else's work", func(t *testing.T) {
		assert.ErrorContains(t, straight.Backup(t.Context(), t.TempDir()+"/x"), "pg_dump")
	})
}

// hangingStatement lets d wait for a row that another session has locked.
func hangingStatement(t *testing.T, straight, d *data.DB) {
	u := newUser(t, straight)
	thread := newThread(t, straight, u.ID)
	tx, err := straight.Raw().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), "SELECT 1 FROM threads WHERE id = $1 FOR UPDATE", thread.ID)
	require.NoError(t, err)

	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = d.RenameThread(ctx, u.ID, thread.ID, "title")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = d.AddMessage(ctx, u.ID, thread.ID, "user", "hello")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	assert.Eventually(t, func() bool {
		return count(t, straight, "pg_stat_activity", "wait_event_type = 'Lock'") == 0
	}, 5*time.Second, 10*time.Millisecond, "nothing of it waits in the server any more")
	require.NoError(t, tx.Rollback())
	_, err = d.RenameThread(t.Context(), u.ID, thread.ID, "title")
	assert.NoError(t, err)
}

// hungUp lets clients hang up while their statement waits for a row.
func hungUp(t *testing.T, straight, d *data.DB) {
	u := newUser(t, straight)
	thread := newThread(t, straight, u.ID)
	tx, err := straight.Raw().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), "SELECT 1 FROM threads WHERE id = $1 FOR UPDATE", thread.ID)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var lost atomic.Int32
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		wg.Go(func() {
			if _, err := d.RenameThread(ctx, u.ID, thread.ID, "after the client had gone"); err != nil {
				lost.Add(1)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, tx.Rollback())
	wg.Wait()
	assert.Zero(t, lost.Load(), "statements")
}

func transactionLimits(t *testing.T, d *data.DB) {
	limits := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	},
	) (s string) {
		var a, b string
		require.NoError(t, q.QueryRowContext(t.Context(),
			"SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')").Scan(&a, &b))
		return a + " " + b
	}
	require.NoError(t, data.Transaction(d, t.Context(), func(_ context.Context, tx *sql.Tx) error {
		assert.Equal(t, "5s 5s", limits(tx))
		return nil
	}))
	for range 20 {
		assert.Equal(t, "0 0", limits(d.Raw()))
	}
}

func emptyPool(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	for range d.Raw().Stats().MaxOpenConnections {
		conn, err := d.Raw().Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.User(ctx, u.ID)
	assert.True(t, data.Unavailable(err), "%v", err)
}

// migrateThroughPooler is for those who forget DATABASE_UNPOOLED_URL.
func migrateThroughPooler(t *testing.T, server *pgtest.Server, pooler *pgtest.Bouncer) {
	direct := server.Database(t)
	c := config.Database{Driver: "postgres", DSN: pooler.DSN(direct)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			d, err := data.Open(ctx, c)
			if assert.NoError(t, err) {
				assert.NoError(t, d.Migrate(ctx))
				assert.NoError(t, d.Close())
			}
		})
	}
	wg.Wait()
	d := open(t, config.Database{Driver: "postgres", DSN: direct})
	assert.NoError(t, d.Ready(t.Context()))
	assert.Equal(t, 1, count(t, d, "goose_db_version", "version_id = 1"))
	assert.Equal(t, 0, count(t, d, "pg_locks", "locktype = 'advisory'"), "no lock stays")

	// A lock that somebody else has is waited for, as long as the caller wants.
	tx, err := d.Raw().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(4097083626)")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	assert.ErrorContains(t, d.Migrate(ctx), "another process is migrating")
	require.NoError(t, tx.Rollback())
	assert.NoError(t, d.Migrate(t.Context()))
}
