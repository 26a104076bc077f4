package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup writes the whole SQLite database, as it is at one moment, into a new
// file; writers go on meanwhile. The file gets its name once it is complete, was
// found sound, and is on the disk. PostgreSQL has pg_dump.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.config.Driver != "sqlite" {
		return errors.New("data: backup is for SQLite; PostgreSQL is backed up with pg_dump or by who runs it")
	}
	source, err := filePath(d.config.DSN)
	if err != nil {
		return err
	}
	if err := copyDatabase(ctx, source, path); err != nil {
		return fmt.Errorf("data: backup: %w", err)
	}
	return nil
}

// Restore makes the database file "to" from a backup. It refuses a backup that
// is damaged, is of something else, or is of a newer release than this program;
// and it overwrites nothing: a database that a server may have open must be
// moved away first, with the server stopped.
func Restore(ctx context.Context, from, to string) error {
	if err := inspect(ctx, from, ours); err != nil {
		return fmt.Errorf("data: restore: %w", err)
	}
	if err := copyDatabase(ctx, from, to); err != nil {
		return fmt.Errorf("data: restore: %w", err)
	}
	return nil
}

// copyDatabase copies an SQLite database to a name that is free.
func copyDatabase(ctx context.Context, from, to string) error {
	to, err := filePath(to)
	if err != nil {
		return err
	}
	if err := free(to); err != nil {
		return err
	}
	if err := inspect(ctx, from, sound); err != nil {
		return err
	}
	// In the same directory, so that the rename is one step; for nobody else to read.
	temp, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*.part")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already where all went well
	if err := temp.Close(); err != nil {
		return err
	}
	if err := inspect(ctx, from, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM INTO $1", temp.Name())
		return err
	}); err != nil {
		return err
	}
	if err := errors.Join(inspect(ctx, temp.Name(), sound), flush(temp.Name())); err != nil {
		return err
	}
	return publish(temp.Name(), to)
}

// publish gives a finished file its name.
func publish(temp, to string) error {
	if err := free(to); err != nil { // again: the copy took a while
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	_ = flush(filepath.Dir(to)) // so that the name survives a power failure; some systems cannot
	return nil
}

// free tells whether nothing is at the name, and no log of a database that a
// server has open, or that ended without writing it back.
func free(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		switch _, err := os.Lstat(path + suffix); {
		case err == nil && suffix == "":
			return fmt.Errorf("%q exists; move it away first, with the server stopped", path)
		case err == nil:
			return fmt.Errorf("%q exists: stop the server that has the database open, "+
				"and move the file away together with its database", path+suffix)
		case !errors.Is(err, os.ErrNotExist):
			return err
		}
	}
	return nil
}

// inspect opens a database that must exist for reading only.
func inspect(ctx context.Context, path string, f func(context.Context, *sql.DB) error) error {
	path, err := filePath(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil { // SQLite only says "unable to open"
		return err
	}
	db, err := sql.Open("sqlite", sqliteURI(path, "mode=ro"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := f(ctx, db); err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	return nil
}

// sound tells whether a database is whole.
func sound(ctx context.Context, db *sql.DB) error {
	problem, err := first(ctx, db, "PRAGMA integrity_check(1)")
	if err != nil {
		return err
	}
	if problem != "ok" {
		return fmt.Errorf("the database is damaged: %s", problem)
	}
	orphan, err := first(ctx, db, "SELECT t.\"table\" FROM pragma_foreign_key_check AS t")
	if err != nil {
		return err
	}
	if orphan != "" {
		return fmt.Errorf("the database is damaged: a row of %s belongs to nothing", orphan)
	}
	return nil
}

// ours tells whether this program can work with a database, be it after
// migrating.
func ours(ctx context.Context, db *sql.DB) error {
	switch have, err := version(ctx, db); {
	case err != nil:
		return fmt.Errorf("it is no database of this program: %w", err)
	case have > latest():
		return fmt.Errorf("the schema has version %d and this program knows %d: use the newer release", have, latest())
	}
	return nil
}

// first returns the first row of a query that may take long, or "".
func first(ctx context.Context, db *sql.DB, query string) (s string, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&s)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return s, err
}

// flush waits until a file is on the disk.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
