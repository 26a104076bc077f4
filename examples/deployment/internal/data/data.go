package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
)

var (
	// ErrNotFound is returned for a row that does not exist, is another user's, or
	// was asked for by something that is no ID.
	ErrNotFound = errors.New("data: not found")
	// ErrInvalid is returned for what cannot be stored: text with a NUL or not in
	// UTF-8, an unknown role, a page cursor that is no ID.
	ErrInvalid = errors.New("data: invalid value")
)

// timeout bounds every statement and every transaction, the wait for a
// connection included. All statements here take a millisecond; one that takes
// seconds waits for something, and a client that gets its 503 soon is better off
// than one whose request keeps a connection that others wait for.
const timeout = 5 * time.Second

// MaxPage is the largest page that [DB.Threads] and [DB.Messages] return.
const MaxPage = 100

// PageBytes is how much text a page of [DB.Messages] holds before its last message:
// a hundred of the longest would be 25 MB, six times that as JSON, and as much again
// for each request that somebody sends and does not read the answer of.
const PageBytes = 128 << 10

// DB is an open database. It is safe for concurrent use.
type DB struct {
	config config.Database
	// Two pools on SQLite, the same one twice on PostgreSQL.
	read, write *sql.DB
	// inTxFirst runs first in every transaction, where it is not empty.
	inTxFirst string
}

// Open opens the database and sees whether it answers. It does not migrate it:
// see [DB.Migrate] and [DB.Ready].
func Open(ctx context.Context, c config.Database) (*DB, error) {
	var d *DB
	var err error
	switch c.Driver {
	case "sqlite":
		d, err = openSQLite(ctx, c)
	case "postgres":
		d, err = openPostgres(c)
	default:
		return nil, fmt.Errorf("data: driver %q is unknown; it is sqlite or postgres", c.Driver)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = d.write.PingContext(ctx)
	if err == nil && d.read != d.write {
		err = d.read.PingContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data: open: %w", err), d.Close())
	}
	return d, nil
}

// Close waits for running statements and closes all connections.
func (d *DB) Close() error {
	return errors.Join(d.read.Close(), d.write.Close())
}

// bounded returns the context of a statement or a transaction. It ends after
// timeout, or at the caller's deadline, but not when a client hangs up: what has
// begun takes a millisecond more, whereas stopping it would take a connection
// from the pool, and one for the request to the server to cancel. Clients that
// hang up on purpose should not have that power; with PgBouncer before 1.21, in
// which cancelled queries can end the whole pooler, even less.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if ctx.Err() == nil { // it had not hung up before
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline)
}

// A querier is a pool or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A row is what can be scanned: *sql.Row and *sql.Rows.
type row interface{ Scan(dest ...any) error }

// one returns the only row, or ErrNotFound.
func one[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	v, err := scan(q.QueryRowContext(ctx, query, args...))
	return v, explain(ctx, err)
}

// list returns all rows; the query has a LIMIT.
func list[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	return listUntil(ctx, q, scan, func(T) bool { return false }, query, args...)
}

// listUntil returns the rows up to the one of which full says that it is the last.
func listUntil[T any](ctx context.Context, q querier, scan func(row) (T, error), full func(T) bool, query string, args ...any) ([]T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explain(ctx, err)
	}
	defer rows.Close()
	all := []T{} // not nil: JSON's [] and not null
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, explain(ctx, err)
		}
		all = append(all, v)
		if full(v) {
			break
		}
	}
	return all, explain(ctx, rows.Err())
}

// exec runs a statement that must change a row, or it is ErrNotFound.
func exec(ctx context.Context, q querier, query string, args ...any) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return explain(ctx, err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return explain(ctx, err)
}

// transaction runs f in a transaction: all of it happens, or nothing.
func (d *DB) transaction(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return explain(ctx, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing is left to undo after a Commit
	if d.inTxFirst != "" {
		if _, err := tx.ExecContext(ctx, d.inTxFirst); err != nil {
			return explain(ctx, err)
		}
	}
	if err := f(ctx, tx); err != nil {
		return err
	}
	return explain(ctx, tx.Commit())
}

// explain gives the drivers' errors the names that callers know.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows), foreignKey(err): // the parent row is gone
		return ErrNotFound
	case ctx.Err() != nil: // the driver may only say that it was interrupted
		return fmt.Errorf("data: %w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("data: %w", err)
}

// newID returns a UUIDv7. Those of one process grow.
func newID() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// known tells whether all of them look like IDs of ours: nothing else is sent to
// the database.
func known(ids ...string) bool {
	for _, s := range ids {
		if len(s) != 36 {
			return false
		}
		id, err := uuid.Parse(s)
		if err != nil || id.String() != s {
			return false
		}
	}
	return true
}

// storable tells whether both databases keep the texts as they are.
func storable(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return false
		}
	}
	return true
}

// now is the time as it is stored: without it, what a Create returns would
// differ from what is read later.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// stamp scans microseconds into a time.
type stamp struct{ to *time.Time }

// Scan implements [sql.Scanner].
func (s stamp) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("data: a time is stored as %T", v)
	}
	*s.to = time.UnixMicro(n).UTC()
	return nil
}
