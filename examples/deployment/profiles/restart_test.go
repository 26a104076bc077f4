//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A load is requests without end, from several clients: over HTTP/2 and HTTP/1.1,
// on connections that stay open and on a new one each time.
type load struct {
	done, posted, failed atomic.Int64
	stop                 context.CancelFunc
	wg                   sync.WaitGroup
}

func (r *run) load(token string) *load {
	ctx, stop := context.WithCancel(r.t.Context())
	l := &load{stop: stop}
	for i := range 12 {
		c := r.client(fmt.Sprintf("127.8.%d.1", i))
		c.token = token
		transport := c.http.Transport.(*http.Transport)
		transport.ForceAttemptHTTP2 = i%3 == 0
		transport.DisableKeepAlives = i%3 == 2
		l.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				l.one(c, n)
				time.Sleep(2 * time.Millisecond) // a load, not a benchmark
			}
		})
	}
	return l
}

func (l *load) one(c *client, n int) {
	method, path, body, want := "GET", "/api/stack", any(nil), 200
	switch n % 3 {
	case 1:
		path = "/api/threads"
	case 2:
		method, path, body, want = "POST", "/api/threads", object{"title": "under load"}, 201
	}
	a, err := c.try(method, path, body)
	switch {
	case err != nil:
		l.failed.Add(1)
		c.t.Errorf("%s %s: %v", method, path, err)
	case a.StatusCode != want:
		l.failed.Add(1)
		c.t.Errorf("%s %s: %s %s", method, path, a.Status, a.text)
	case method == "POST":
		l.posted.Add(1)
	}
	l.done.Add(1)
}

// more waits until so many requests more were answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	from := l.done.Load()
	require.Eventually(t, func() bool { return l.done.Load() >= from+n }, patience, 10*time.Millisecond)
}

func TestARollingRestartLosesNoRequest(t *testing.T) {
	t.Parallel()
	r := start(t, "replicas", options{production: true}, "RATE_LIMIT_DEFAULT=1000000/minute", "DRAIN_DELAY=4s")
	ada := r.client("127.7.0.1")
	r.loginBeside(ada, "google", "ada")
	l := r.load(ada.token)
	l.more(t, 100)
	const served = `"http.route":"/api/threads"`
	for _, p := range r.replicas {
		require.NotZero(t, lines(t, p, served), "%s takes part", p.name)
		require.NoError(t, p.end())
		assert.Zero(t, p.cmd.ProcessState.ExitCode())
		assert.Zero(t, lines(t, p, "were cut"))
		assert.Less(t, lastOfDrain(t, p), 3*time.Second, "nothing is sent to it any more, long before its port closes")
		before := lines(t, p, served)
		l.more(t, 50) // two replicas do it all
		require.NoError(t, p.again())
		require.Eventually(t, func() bool { return lines(t, p, served) > before }, patience, 50*time.Millisecond, "it gets requests again")
	}
	l.more(t, 50)
	l.stop()
	l.wg.Wait()
	assert.Zero(t, l.failed.Load())

	conn, err := pgx.Connect(t.Context(), r.database.String())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var stored int64
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT COUNT(*) FROM threads WHERE title = 'under load'").Scan(&stored))
	assert.Equal(t, l.posted.Load(), stored, "each POST was executed once")
	t.Logf("%d requests, %d of them POSTs", l.done.Load(), stored)
}

// A POST whose answer does not come may have been done: neither balancer sends it
// again, to another replica or on another connection. HAProxy leaves that to the
// client, whom it tells, on a connection that is not new, that it may.
func TestNoBalancerSendsAPOSTTwice(t *testing.T) {
	t.Parallel()
	needTools(t)
	var posts atomic.Int64
	replicas := make([]*process, 3)
	for i := range replicas {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.Copy(io.Discard, r.Body)
				posts.Add(1)
				panic(http.ErrAbortHandler)
			}
		}))
		t.Cleanup(s.Close)
		replicas[i] = &process{addr: s.Listener.Addr().String()}
	}
	m, err := newMachine(bin)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, m.close()) })
	for _, tt := range []struct{ name, http2, http1 string }{
		{"haproxy", "REFUSED_STREAM", "EOF"},
		{"nginx", "502 Bad Gateway", "502 Bad Gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			posts.Store(0)
			port, err := freePort()
			require.NoError(t, err)
			host := fmt.Sprintf("localhost:%d", port)
			f, err := m.balancer(tt.name, host, replicas)
			require.NoError(t, err)
			for i, want := range []string{tt.http2, tt.http1} {
				c := &client{t: t, base: "https://" + host, http: f.client("127.0.0.1")}
				c.http.Transport.(*http.Transport).ForceAttemptHTTP2 = i == 0
				t.Cleanup(c.http.CloseIdleConnections)
				require.Equal(t, 200, c.do("GET", "/", nil).StatusCode)
				body := io.MultiReader(strings.NewReader("{}")) // which this client cannot send again
				resp, err := c.http.Post(c.base+"/", "application/json", body)
				if err == nil {
					_ = resp.Body.Close()
					assert.Equal(t, want, resp.Status)
				} else {
					assert.ErrorContains(t, err, want)
				}
				assert.EqualValues(t, i+1, posts.Load())
			}
		})
	}
}

// lastOfDrain is how long after the signal the process answered its last request.
func lastOfDrain(t *testing.T, p *process) time.Duration {
	t.Helper()
	log, err := os.ReadFile(p.log())
	require.NoError(t, err)
	var begun, last time.Time
	for text := range strings.Lines(string(log)) {
		var line struct {
			Time  time.Time
			Msg   string
			Route string `json:"http.route"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &line), text)
		if line.Msg == "draining" {
			begun = line.Time
		} else if strings.HasPrefix(line.Route, "/api/") {
			last = line.Time
		}
	}
	require.False(t, begun.IsZero())
	return last.Sub(begun)
}

// under are the processes that run in a directory.
func under(t *testing.T, dir string) (all []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	require.NoError(t, err)
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "comm"))
			all = append(all, strings.TrimSpace(string(name)))
		}
	}
	return all
}

func TestNothingOutlivesTheCommand(t *testing.T) {
	t.Parallel()
	needTools(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "profiles-")
			require.NoError(t, err)
			defer os.RemoveAll(dir)
			require.NoError(t, os.Chmod(dir, 0o711))
			out, err := os.Create(filepath.Join(dir, "out"))
			require.NoError(t, err)
			defer out.Close()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVariable+"="+bin, "TMPDIR="+dir)
			cmd.Stdout, cmd.Stderr = out, out
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			require.NoError(t, cmd.Start())
			text := func() string { b, _ := os.ReadFile(out.Name()); return string(b) }
			require.Eventually(t, func() bool { return strings.Contains(text(), "Ctrl-C") }, patience, 50*time.Millisecond, "%s", out.Name())
			for _, name := range []string{"postgres", "redis-server", "app"} {
				assert.Contains(t, under(t, dir), name)
			}
			require.NoError(t, cmd.Process.Signal(signal))
			err = cmd.Wait()
			require.Eventually(t, func() bool { return len(under(t, dir)) == 0 }, patience, 50*time.Millisecond)
			if signal == syscall.SIGINT {
				assert.NoError(t, err, text())
				left, err := filepath.Glob(filepath.Join(dir, "profile-*"))
				require.NoError(t, err)
				assert.Empty(t, left)
			}
		})
	}
}
