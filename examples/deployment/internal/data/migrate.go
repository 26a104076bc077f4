package data

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrate brings the schema up to date. Any number of replicas may call it at
// once: one migrates, the others wait and find nothing left to do. A deployment
// that replaces replicas one by one has the old release working on the new
// schema for a while: add first, remove one release later.
func (d *DB) Migrate(ctx context.Context) error {
	var err error
	if d.config.Driver == "sqlite" {
		err = d.migrateSQLite(ctx)
	} else {
		err = d.migratePostgres(ctx)
	}
	if err != nil {
		return fmt.Errorf("data: migrate: %w", err)
	}
	return nil
}

func up(ctx context.Context, dialect goose.Dialect, pool *sql.DB) error {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, pool, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// migratePostgres holds an advisory lock in a transaction of its own while
// another connection migrates. A lock of the session would be the usual way; but
// where DATABASE_UNPOOLED_URL was forgotten and the DSN leads through PgBouncer,
// it is taken on one server connection, released on another, and stays for ever.
// The transaction pins its connection in every pool mode, and the lock ends with
// the process.
func (d *DB) migratePostgres(ctx context.Context) (err error) {
	pool, err := openUnpooled(d.config)
	if err != nil {
		return err
	}
	defer pool.Close()
	for {
		tx, locked, err := lockPostgres(ctx, pool)
		if err != nil {
			return err
		}
		if locked {
			// An error of Rollback says that the lock was lost on the way.
			return errors.Join(up(ctx, goose.DialectPostgres, pool), tx.Rollback())
		}
		// Who waits keeps no connection: a small pooler would have none left for the
		// one that migrates.
		_ = tx.Rollback()
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process is migrating: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lockPostgres begins a transaction and tries to take the lock.
func lockPostgres(ctx context.Context, pool *sql.DB) (tx *sql.Tx, locked bool, err error) {
	tx, err = pool.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	// The transaction is idle for as long as the migration takes.
	_, err = tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0")
	if err == nil {
		err = tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", lock.DefaultLockID).Scan(&locked)
	}
	if err != nil {
		return nil, false, errors.Join(err, tx.Rollback())
	}
	return tx, locked, nil
}

// migrateSQLite holds the lock of another, empty database file beside ours:
// SQLite's own locking, on every system, released by the kernel if the process
// dies. The file stays, for removing it would let two processes hold "the" lock.
// A lock of the database itself would be in the way of the migrations.
func (d *DB) migrateSQLite(ctx context.Context) error {
	path, err := filePath(d.config.DSN)
	if err != nil {
		return err
	}
	path += "-migrating"
	if err := makePrivate(path); err != nil {
		return err
	}
	guard, err := sql.Open("sqlite", sqliteURI(path, "_txlock=exclusive"))
	if err != nil {
		return err
	}
	defer guard.Close()
	for {
		tx, err := guard.BeginTx(ctx, nil)
		if err == nil {
			defer func() { _ = tx.Rollback() }()
			return up(ctx, goose.DialectSQLite3, d.write)
		}
		if !busy(err) || ctx.Err() != nil {
			return err
		}
	}
}

// Ready tells whether the database answers and has all migrations of this
// program. One with more, of a newer release, is ready too: see [DB.Migrate].
func (d *DB) Ready(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	have, err := version(ctx, d.read)
	if err != nil {
		return err
	}
	if want := latest(); have < want {
		return fmt.Errorf("data: the schema has version %d and this program needs %d: run migrate", have, want)
	}
	return nil
}

// version is the last migration that a database has.
func version(ctx context.Context, q querier) (v int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+goose.DefaultTablename).Scan(&v)
	return v, explain(ctx, err)
}

// latest is the last migration that this program has.
func latest() (last int64) {
	names, _ := fs.Glob(embedded, "migrations/*.sql")
	for _, name := range names {
		if v, err := goose.NumericComponent(name); err == nil {
			last = max(last, v)
		}
	}
	return last
}
