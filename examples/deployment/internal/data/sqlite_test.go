package data_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

func TestSixteenPoolsOnOneFileWriteWithoutOneBusy(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	// The methods write first. What reads first is refused at once, without waiting,
	// if another has written in between, unless the transaction began IMMEDIATE.
	readThenWrite := func(ctx context.Context, tx *sql.Tx) error {
		var epoch int64
		if err := tx.QueryRowContext(ctx, "SELECT token_epoch FROM users WHERE id = $1", u.ID).Scan(&epoch); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE users SET token_epoch = $1 WHERE id = $2", epoch+1, u.ID)
		return err
	}
	var pools []*data.DB
	for range 16 { // each its own connection: they meet in SQLite, not in a queue of ours
		pools = append(pools, open(t, c))
	}
	// SQLite's waiting is not fair: while 15 others never pause, one may get no turn
	// until they are done. So 800 and then 800: each is done long before the five
	// seconds that a statement may take.
	all := func(f func(own *data.DB)) {
		var wg sync.WaitGroup
		for _, own := range pools {
			wg.Go(func() { f(own) })
		}
		wg.Wait()
	}
	all(func(own *data.DB) {
		assert.NoError(t, write(t.Context(), own, u.ID, thread.ID, 1, 50))
	})
	all(func(own *data.DB) {
		for range 50 {
			if !assert.NoError(t, data.Transaction(own, t.Context(), readThenWrite)) {
				break
			}
		}
	})
	assert.Equal(t, 800, count(t, d, "messages", "thread_id = $1", thread.ID))
	read, err := d.User(t.Context(), u.ID)
	require.NoError(t, err)
	assert.EqualValues(t, 800, read.TokenEpoch)
}

func TestFourProcessesOnOneFileWriteWithoutOneBusy(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	startChildren(t, 4, child{Database: c, UserID: u.ID, Thread: thread.ID, Messages: 200})
	assert.Equal(t, 800, count(t, d, "messages", "thread_id = $1", thread.ID))
}

func TestAReaderIsNotHeldUpByAWriterOfAnotherProcess(t *testing.T) {
	c := sqliteFile(t)
	d, other := openMigrated(t, c), open(t, c)
	u := newUser(t, d)
	tx, err := other.Raw().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "UPDATE users SET name = 'changed'")
	require.NoError(t, err)

	read, err := d.User(t.Context(), u.ID)
	require.NoError(t, err)
	assert.Equal(t, "Ada", read.Name)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = d.CreateThread(ctx, u.ID, "while another writes")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, data.Unavailable(err), "%v", err)

	require.NoError(t, tx.Rollback())
	newThread(t, d, u.ID)
}

func TestAReaderCannotWrite(t *testing.T) {
	d := openMigrated(t, sqliteFile(t))
	_, err := d.Reader().ExecContext(t.Context(), "DELETE FROM users")
	assert.ErrorContains(t, err, "readonly")
}

func TestSQLiteGivesUpAfterFiveSecondsWithoutADeadlineOfTheCaller(t *testing.T) {
	t.Parallel()
	c := sqliteFile(t)
	d, other := openMigrated(t, c), open(t, c)
	u := newUser(t, d)
	tx, err := other.Raw().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	start := time.Now()
	err = d.LogoutEverywhere(t.Context(), u.ID)
	assert.True(t, data.Unavailable(err), "%v", err)
	assert.Less(t, time.Since(start), 8*time.Second)
}

func TestTheFileIsForNobodyElse(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	newUser(t, d)
	for _, name := range []string{c.DSN, c.DSN + "-wal", c.DSN + "-shm", c.DSN + "-migrating"} {
		info, err := os.Stat(name)
		if assert.NoError(t, err) {
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
		}
	}
	info, err := os.Stat(filepath.Dir(c.DSN))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestClosingLeavesOneFileWithEverything(t *testing.T) {
	c := sqliteFile(t)
	d, err := data.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, d.Migrate(t.Context()))
	u := newUser(t, d)
	_, err = d.User(t.Context(), u.ID) // a reader is open too
	require.NoError(t, err)
	require.NoError(t, d.Close())
	assert.NoFileExists(t, c.DSN+"-wal")
	assert.NoFileExists(t, c.DSN+"-shm")
	_, err = open(t, c).User(t.Context(), u.ID)
	assert.NoError(t, err)
}

func TestWhatNamesNoDatabaseIsRefused(t *testing.T) {
	for _, c := range []config.Database{
		{},
		{Driver: "mysql", DSN: "x"},
		{Driver: "sqlite"},
		{Driver: "sqlite", DSN: ":memory:"},
		{Driver: "sqlite", DSN: "file:x?mode=memory"},
		{Driver: "sqlite", DSN: t.TempDir()},
		{Driver: "sqlite", DSN: "/proc/nowhere/app.db"},
		{Driver: "postgres", DSN: "postgres://app:geheim@[::1/x"},
		{Driver: "postgres", DSN: "postgres://app:gehe%zzim@localhost/x"},
		{Driver: "postgres", DSN: "postgres://app:gehe/im@localhost/x"},
	} {
		d, err := data.Open(t.Context(), c)
		assert.Nil(t, d)
		if assert.Error(t, err, "%v", c) {
			assert.NotContains(t, err.Error(), "gehe", "no part of a password")
		}
	}
}

func TestAFileThatIsNoDatabaseIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "app.db")
	require.NoError(t, os.WriteFile(name, []byte(strings.Repeat("no database ", 1000)), 0o600))
	_, err := data.Open(t.Context(), config.Database{Driver: "sqlite", DSN: name})
	assert.ErrorContains(t, err, "not a database")
}

func TestABackupIsWholeWhileOthersWrite(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	for range 20 {
		newMessage(t, d, u.ID, thread.ID, "before")
	}
	written := make(chan error, 1)
	go func() { written <- write(t.Context(), d, u.ID, thread.ID, 4, 200) }()
	dir := t.TempDir()
	for _, name := range []string{"1.db", "2.db"} {
		require.NoError(t, open(t, c).Backup(t.Context(), filepath.Join(dir, name)))
	}
	require.NoError(t, <-written)
	info, err := os.Stat(filepath.Join(dir, "2.db"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	restored := filepath.Join(dir, "restored.db")
	require.NoError(t, data.Restore(t.Context(), filepath.Join(dir, "2.db"), restored))
	r := open(t, config.Database{Driver: "sqlite", DSN: restored})
	require.NoError(t, r.Ready(t.Context()))
	read, err := r.User(t.Context(), u.ID)
	require.NoError(t, err)
	assert.Equal(t, u, read)
	n := count(t, r, "messages", "content = 'before'")
	assert.Equal(t, 20, n)
	require.NoError(t, r.LogoutEverywhere(t.Context(), u.ID), "a restored database can be written")

	assert.Error(t, d.Backup(t.Context(), filepath.Join(dir, "2.db")), "a backup is not overwritten")
	left, err := filepath.Glob(filepath.Join(dir, "*.part"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestABackupOfADatabaseThatANewerReleaseMigratedIsMade(t *testing.T) {
	d := openMigrated(t, sqliteFile(t))
	_, err := d.Raw().ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	require.NoError(t, err)
	assert.NoError(t, d.Backup(t.Context(), filepath.Join(t.TempDir(), "backup.db")))
}

func TestRestoreOverwritesNothing(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	u := newUser(t, d)
	backup := filepath.Join(t.TempDir(), "backup.db")
	require.NoError(t, d.Backup(t.Context(), backup))

	err := data.Restore(t.Context(), backup, c.DSN)
	assert.ErrorContains(t, err, "move it away first")
	// Moved away, but the server still runs: it would go on writing to the file that
	// was moved, and its log would be taken for that of the restored one.
	require.NoError(t, os.Rename(c.DSN, c.DSN+".old"))
	err = data.Restore(t.Context(), backup, c.DSN)
	assert.ErrorContains(t, err, "stop the server")
	require.NoError(t, os.Rename(c.DSN+".old", c.DSN))
	_, err = d.User(t.Context(), u.ID)
	assert.NoError(t, err)
}

func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	dir := t.TempDir()
	c := config.Database{Driver: "sqlite", DSN: filepath.Join(dir, "app.db")}
	d := openMigrated(t, c)
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	for range 200 {
		newMessage(t, d, u.ID, thread.ID, strings.Repeat("x", 500))
	}
	backup := filepath.Join(dir, "backup.db")
	require.NoError(t, d.Backup(t.Context(), backup))
	whole, err := os.ReadFile(backup)
	require.NoError(t, err)

	change := func(name string, f func(*sql.DB)) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, whole, 0o600))
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		f(db)
		require.NoError(t, db.Close())
		return path
	}
	do := func(query string) func(*sql.DB) {
		return func(db *sql.DB) {
			_, err := db.Exec(query)
			require.NoError(t, err)
		}
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	damaged := append([]byte(nil), whole...)
	for i := len(damaged) / 2; i < len(damaged)/2+5000; i++ {
		damaged[i] = 0x55
	}
	for from, reason := range map[string]string{
		filepath.Join(dir, "missing"):                      "no such file",
		write("text", []byte("this is no backup")):         "not a database",
		write("empty", nil):                                "no database of this program",
		write("damaged", damaged):                          "",
		write("cut off", whole[:len(whole)/2]):             "",
		change("other", do("DROP TABLE goose_db_version")): "no database of this program",
		change("newer", do("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")): "use the newer release",
		change("orphans", do("PRAGMA foreign_keys = 0; DELETE FROM threads; PRAGMA foreign_keys = 1")): "belongs to nothing",
	} {
		to := filepath.Join(dir, "restored.db")
		err := data.Restore(t.Context(), from, to)
		assert.ErrorContains(t, err, reason, from)
		assert.NoFileExists(t, to)
		assert.NoFileExists(t, filepath.Join(dir, "missing"))
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.part*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestACopyOfTheFilesOfAServerThatCrashedCanBeRestored(t *testing.T) {
	c := sqliteFile(t)
	d := openMigrated(t, c)
	u := newUser(t, d) // is in the log only
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(c.DSN + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "copy.db"+suffix), b, 0o600))
	}
	require.NoError(t, data.Restore(t.Context(), filepath.Join(dir, "copy.db"), filepath.Join(dir, "restored.db")))
	_, err := open(t, config.Database{Driver: "sqlite", DSN: filepath.Join(dir, "restored.db")}).User(t.Context(), u.ID)
	assert.NoError(t, err)
}

func TestAMigrationWaitsForAnotherNoLongerThanItMay(t *testing.T) {
	c := sqliteFile(t)
	d := open(t, c)
	guard, err := sql.Open("sqlite", "file:"+strings.NewReplacer("#", "%23", "?", "%3f").Replace(c.DSN)+"-migrating?_txlock=exclusive")
	require.NoError(t, err)
	defer guard.Close()
	tx, err := guard.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	assert.Error(t, d.Migrate(ctx))
	assert.Error(t, d.Ready(t.Context()))
	require.NoError(t, tx.Rollback())
	assert.NoError(t, d.Migrate(t.Context()))
}
