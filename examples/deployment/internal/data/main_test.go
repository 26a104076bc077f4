package data_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// childVariable makes the test binary another process of the application: a
// JSON [child].
const childVariable = "DATA_TEST_CHILD"

type child struct {
	Database       config.Database
	UserID, Thread string
	Messages       int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runChild is a replica: it opens, migrates, and writes with four goroutines.
func runChild(text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d, err := data.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Migrate(ctx); err != nil {
		return err
	}
	if err := d.Ready(ctx); err != nil {
		return err
	}
	return write(ctx, d, c.UserID, c.Thread, 4, c.Messages)
}

// write adds messages from several goroutines and returns the first error.
func write(ctx context.Context, d *data.DB, userID, thread string, writers, messages int) error {
	errs := make(chan error, writers)
	for range writers {
		go func() {
			for range messages / writers {
				if _, err := d.AddMessage(ctx, userID, thread, "user", "hello"); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range writers {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// startChildren runs n replicas at once and sees that all do well.
func startChildren(t *testing.T, n int, c child) {
	t.Helper()
	text, err := json.Marshal(c)
	assert.NoError(t, err)
	var wg sync.WaitGroup
	output := make([][]byte, n)
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+string(text))
			output[i], errs[i] = cmd.CombinedOutput()
		})
	}
	wg.Wait()
	for i := range n {
		assert.NoError(t, errs[i], "%s", output[i])
	}
}

// sqliteFile is a database that does not exist yet.
func sqliteFile(t testing.TB) config.Database {
	return config.Database{Driver: "sqlite", DSN: t.TempDir() + "/a dir/app #1?.db"}
}

func open(t testing.TB, c config.Database) *data.DB {
	t.Helper()
	d, err := data.Open(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func openMigrated(t testing.TB, c config.Database) *data.DB {
	t.Helper()
	d := open(t, c)
	require.NoError(t, d.Migrate(t.Context()))
	return d
}

// newUser is a user that no other test knows.
func newUser(t testing.TB, d *data.DB) data.User {
	t.Helper()
	u, err := d.UpsertUser(t.Context(), data.Identity{
		Issuer: "https://idp.example", Subject: t.Name() + time.Now().String(), Email: "ada@example.org", Name: "Ada",
	})
	require.NoError(t, err)
	return u
}

func newThread(t testing.TB, d *data.DB, userID string) data.Thread {
	t.Helper()
	thread, err := d.CreateThread(t.Context(), userID, "A thread")
	require.NoError(t, err)
	return thread
}

func newMessage(t testing.TB, d *data.DB, userID, thread, content string) data.Message {
	t.Helper()
	m, err := d.AddMessage(t.Context(), userID, thread, "user", content)
	require.NoError(t, err)
	return m
}

// count counts the rows of a table that a condition is true for.
func count(t testing.TB, d *data.DB, table, condition string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, d.Raw().QueryRowContext(t.Context(),
		"SELECT COUNT(*) FROM "+table+" WHERE "+condition, args...).Scan(&n))
	return n
}
