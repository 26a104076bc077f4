// Package data keeps users, login codes, threads and messages in SQLite or
// PostgreSQL: one SQL text, one behaviour, one test table for both.
//
// What is the same in both, and why:
//
//   - Placeholders are $1, $2: SQLite takes them too.
//   - Times are integer microseconds since 1970. SQLite has no time type and its
//     driver would write Go's own notation; integers compare, sort and index the
//     same in both, have no time zone, and lose nothing that PostgreSQL's
//     timestamptz keeps. To read them: datetime(t/1000000, 'unixepoch'),
//     to_timestamp(t/1000000.0).
//   - IDs are UUIDv7 as text: made here, unguessable, and sorted by their time,
//     so that "the next page" is "smaller than the last ID" and rides the index.
//     With several replicas the order is as good as their clocks.
//   - Every query names the user whose row it wants. Another user's row, a row
//     that is gone and an ID that is none are all [ErrNotFound]: an answer never
//     tells which.
//   - Text that one of the two cannot keep (a NUL, bytes that are not UTF-8) is
//     refused as [ErrInvalid] for both.
//   - Every statement ends within five seconds, waiting for a connection
//     included, and is stopped in the database as well, not only given up. A
//     client that hangs up does not end it sooner.
//
// A database that is away, restarting or busy gives an error for which
// [Unavailable] is true. Nothing has to be opened again once it is back.
package data
