package data

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
)

// poolSize is how many connections one process has at most.
//
// Without a pooler, what all replicas have together must stay under the server's
// max_connections (100 by default, 3 of them reserved): four replicas, twice as
// many for the minute in which a deployment replaces them, and two connections
// that migrate are 4 x 2 x 10 + 2 = 82. More connections do not make a server
// with a few cores faster: ten statements of a millisecond each are 10 000 a
// second.
//
// Behind PgBouncer, max_client_conn must exceed replicas x 2 x 10, and
// default_pool_size (20) is what PostgreSQL sees, whatever the replicas are. Once
// PostgreSQL was away, PgBouncer tries it again only after server_login_retry
// (15 s).
const poolSize = 10

// txLimits runs first in every transaction and ends with it, so that it says
// nothing to the next user of a pooled connection. It is for a process that
// hangs, or whose network does, in the middle of a transaction: its row locks
// are gone within seconds, and so nobody waits for them longer. All else is
// stopped, in the server too, by the context's deadline.
//
// For the session they would be start-up parameters, which PgBouncer refuses, or
// a SET, which would stay with a connection that is somebody else's next.
const txLimits = `SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '5s'`

// openPostgres prepares the pool; it connects when first used.
func openPostgres(c config.Database) (*DB, error) {
	conf, err := pgConfig(c.DSN)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*conf)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)            // fewer would connect anew in every burst
	pool.SetConnMaxIdleTime(5 * time.Minute)  // a quiet replica gives them back
	pool.SetConnMaxLifetime(30 * time.Minute) // after a failover they spread again
	return &DB{config: c, read: pool, write: pool, inTxFirst: txLimits}, nil
}

// pgConfig reads a DSN and sets what makes it work behind PgBouncer in
// transaction mode, where each transaction may get another server connection.
func pgConfig(dsn string) (*pgx.ConnConfig, error) {
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Not the driver's words: they may hold the password.
		return nil, errors.New("data: the PostgreSQL DSN cannot be read; it is " +
			"postgres://user:password@host:5432/name, and special characters in the password are percent-encoded")
	}
	// Extended protocol without prepared statements: those live in one server
	// connection and the next transaction may be on another. Parameters still travel
	// apart from the SQL. One round trip, and no plan that outlives a migration.
	conf.DefaultQueryExecMode = pgx.QueryExecModeExec
	conf.StatementCacheCapacity, conf.DescriptionCacheCapacity = 0, 0
	conf.ConnectTimeout = cmp.Or(conf.ConnectTimeout, timeout)
	return conf, nil
}

// openUnpooled opens the connections that migrate.
func openUnpooled(c config.Database) (*sql.DB, error) {
	conf, err := pgConfig(cmp.Or(c.UnpooledDSN, c.DSN))
	if err != nil {
		return nil, err
	}
	var options []stdlib.OptionOpenDB
	if c.UnpooledDSN != "" { // the session is ours alone, so it may be set up
		options = append(options, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			// An ALTER TABLE that waits for a long query lets everybody else wait behind
			// it. It gives up instead; the start fails and is tried again. Work itself may
			// take long, whatever the role's own limit.
			_, err := conn.Exec(ctx, "SET lock_timeout = '10s'; SET statement_timeout = 0")
			return err
		}))
	}
	pool := stdlib.OpenDB(*conf, options...)
	pool.SetMaxOpenConns(2) // one holds the lock, one migrates
	return pool, nil
}
