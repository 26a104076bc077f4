package data

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Unavailable tells whether the error means that the database is away, starting,
// stopping, full or busy: trying again later is right (503 with Retry-After),
// nothing is wrong with the request (no 4xx) or with this program (no 500). A
// request that its client gave up is not meant; nobody reads its answer.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	for _, target := range []error{
		context.DeadlineExceeded, // no connection was free, or the statement hung
		driver.ErrBadConn, sql.ErrConnDone,
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, // the server ended the connection
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var connect *pgconn.ConnectError
	var network net.Error
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case errors.As(err, &pg):
		return pgUnavailable(pg)
	case errors.As(err, &lite):
		return sqliteUnavailable(lite.Code() & 0xff) // without the extended part
	default:
		// SafeToRetry: the connection was found closed before anything was sent.
		return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
	}
}

// pgUnavailable knows the SQLSTATEs of PostgreSQL's appendix A.
func pgUnavailable(err *pgconn.PgError) bool {
	switch err.Code {
	case "57014", // query_canceled: a statement_timeout
		"57P01", "57P02", "57P03", "57P05", // shutdown, crash, starting up, idle too long
		"25P03",          // idle_in_transaction_session_timeout
		"55P03",          // lock_not_available
		"40001", "40P01", // serialization failure, deadlock: the other one won
		"25006": // read only: a replica during a failover
		return true
	case "08P01":
		// PgBouncer's code for all its refusals (no server, query_wait_timeout, too
		// many clients), each of which ends the connection. PostgreSQL's own use is
		// a protocol mistake of the program.
		return err.Severity == "FATAL"
	}
	if len(err.Code) < 2 {
		return false
	}
	switch err.Code[:2] {
	case "08", // connection exceptions
		"53", // insufficient resources: too many connections, disk full, out of memory
		"58": // system error outside PostgreSQL
		return true
	}
	return false
}

func sqliteUnavailable(code int) bool {
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, // another process writes
		sqlite3.SQLITE_INTERRUPT,                                           // the context's deadline
		sqlite3.SQLITE_PROTOCOL,                                            // a race for the log's locks
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL: // the volume
		return true
	}
	return false
}

// busy tells whether another connection has the SQLite file locked.
func busy(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_BUSY
}

// foreignKey tells whether a row was refused because the one it belongs to is
// gone.
func foreignKey(err error) bool {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	return errors.As(err, &pg) && pg.Code == "23503" ||
		errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}
