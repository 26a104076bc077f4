package data

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
)

// openSQLite opens, or makes, the file. One process is meant to serve from it;
// others (backup, a shell) may use it at the same time.
//
// SQLite has one writer at a time. With one connection for writing, the writers
// of this process wait in database/sql's queue, first come first served, and not
// in SQLite's, which sleeps and tries again, and may give up with SQLITE_BUSY
// although everybody else is quick. Readers have a pool of their own: in WAL
// mode they neither wait for the writer nor hold it up. Eight of them is more
// than the processor runs at once; each has a page cache of up to 2 MB.
func openSQLite(ctx context.Context, c config.Database) (*DB, error) {
	path, err := filePath(c.DSN)
	if err != nil {
		return nil, err
	}
	if err := makePrivate(path); err != nil {
		return nil, fmt.Errorf("data: open: %w", err)
	}
	d := &DB{config: c}
	// IMMEDIATE takes the write lock when a transaction begins. The default takes it
	// at the first write, and if another process has written in between, there is
	// nothing to wait for: the transaction fails busy at once, whatever the timeout.
	if d.write, err = sql.Open("sqlite", sqliteURI(path, serving, "_txlock=immediate", "_journal_mode=WAL")); err != nil {
		return nil, err
	}
	if d.read, err = sql.Open("sqlite", sqliteURI(path, serving, "_query_only=1")); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxOpenConns(8)
	d.read.SetMaxIdleConns(8)

	if err := needWAL(ctx, d.write); err != nil {
		return nil, errors.Join(fmt.Errorf("data: open %q: %w", path, err), d.Close())
	}
	return d, nil
}

// needWAL connects, which turns a new file to WAL mode, and sees whether that
// worked. Of several processes that do so at the same moment SQLite lets one,
// and tells the others to begin again, without waiting.
func needWAL(ctx context.Context, db *sql.DB) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		var mode string
		err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return errors.New("the journal mode is " + mode + " and cannot be WAL; is the file on a network volume?")
		case !busy(err) || ctx.Err() != nil:
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serving is what every connection that serves has:
//   - foreign keys, which are off by default: cascades would silently not happen;
//   - NORMAL: in WAL mode a power failure may take the last commits, never the
//     file, and a commit need not wait for the disk;
//   - "a misspelt column" is an error, as in PostgreSQL, and not a string.
const serving = "_foreign_keys=1&_synchronous=NORMAL&_dqs=0"

// sqliteURI names a file and its settings. All wait for another process that
// writes, in ms and as long as a statement may take.
func sqliteURI(path string, settings ...string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	u.RawQuery = strings.Join(append(settings, "_busy_timeout=5000"), "&")
	return u.String()
}

// filePath checks the DSN, which is a file's name.
func filePath(dsn string) (string, error) {
	if dsn == "" || strings.HasPrefix(dsn, ":") || strings.HasPrefix(dsn, "file:") {
		return "", fmt.Errorf("data: the SQLite DSN %q is not the name of a file, such as ./var/app.db", dsn)
	}
	return filepath.Abs(dsn)
}

// making keeps this process from using a file that it is still making.
var making sync.Mutex

// makePrivate makes the file, where it does not exist, for nobody else to read;
// SQLite gives its log the same mode. It never opens a file that exists: closing
// it would drop the locks that SQLite has on it in this process (fcntl's rule).
func makePrivate(path string) error {
	making.Lock()
	defer making.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}
