// Package redistest starts real redis-server processes for tests: single, as a
// cluster, with a Sentinel, and a TCP proxy that fails on demand. Everything
// listens on free loopback ports, keeps nothing, and ends with its test.
package redistest

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// patience is how long anything may take to come up on a busy machine.
const patience = 30 * time.Second

// A Server is one redis-server process. Its methods are not safe for concurrent
// use, except that clients may be in any state.
type Server struct {
	Addr string

	t    testing.TB
	bin  string
	dir  string
	args []string
	cmd  *exec.Cmd
}

// Start starts a server that keeps nothing on disk. The arguments are options
// as on its command line. It skips the test, or fails it under CI, where there
// is no redis-server.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	bin := testenv.Command(t, "redis-server", "redis-server", "valkey-server")
	for range 5 { // another process may take the free port first
		addr := testenv.FreeAddr(t)
		s := &Server{Addr: addr, t: t, bin: bin, dir: t.TempDir()}
		s.args = append([]string{
			"--bind", "127.0.0.1", "--port", port(addr), "--dir", s.dir,
			"--save", "", "--appendonly", "no", "--enable-debug-command", "yes",
			"--logfile", filepath.Join(s.dir, "log"),
		}, args...)
		if s.start() {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal("redistest: no server would start")
	return nil
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// start runs the process and waits until it answers. False where it ended.
func (s *Server) start() bool {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, s.args...)
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd)
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if answers(s.Addr) {
			return true
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("redistest: the server does not answer:\n%s", log)
	return false
}

// answers tells whether a server replies to a PING, be it with an error.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return false
	}
	var reply [1]byte
	_, err = io.ReadFull(c, reply[:])
	return err == nil
}

// Kill ends the process as kill -9 does. Calling it again does nothing.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
}

// Restart starts a killed server again on the same port, empty.
func (s *Server) Restart() {
	s.t.Helper()
	for range 100 {
		if s.start() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatal("redistest: the server would not start again")
}

// Freeze stops the process without closing its connections; Thaw lets it go on.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Client returns a client of the server with default options, closed with the
// test.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// eventually waits for a condition that other processes bring about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("redistest: never came true: %s", what)
}
