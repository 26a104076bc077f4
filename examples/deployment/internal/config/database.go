package config

import "log/slog"

// Database says where the data is.
type Database struct {
	// Driver is "sqlite" or "postgres".
	Driver string
	// DSN is ready for the driver: a file name, or a postgres:// URL.
	DSN string
	// UnpooledDSN bypasses a pooler such as PgBouncer, for migrations, which need
	// a session of their own; empty: DSN.
	UnpooledDSN string
}

// String shows no password.
func (d Database) String() string { return d.Driver + " " + redactURL(d.DSN) }

// GoString keeps %#v from printing the password.
func (d Database) GoString() string { return d.String() }

// LogValue keeps slog from printing the password.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }
