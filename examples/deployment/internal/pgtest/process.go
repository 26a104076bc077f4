//go:build unix

package pgtest

import (
	"bytes"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// patience is how long anything may take to come up on a busy machine.
const patience = 30 * time.Second

// fastShutdown ends PostgreSQL's sessions and then the server.
const fastShutdown = syscall.SIGINT

// A process is a server's process with its directory. Its methods are called by
// one goroutine, the test's.
type process struct {
	t     testing.TB
	dir   string
	bin   string
	args  []string
	ready func() error
	stop  os.Signal
	attr  *syscall.SysProcAttr
	cmd   *exec.Cmd
	ended chan struct{}
	log   *os.File
}

// newProcess makes the directory. Neither server runs as root, so where the test
// does, they get a user of their own, and the directory belongs to it.
func newProcess(t testing.TB) process {
	t.Helper()
	// Not t.TempDir, which only its owner may enter.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := process{t: t, dir: dir, attr: dieWithParent()}
	if p.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.log.Close() })
	if os.Geteuid() != 0 {
		return p
	}
	account, err := osuser.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes a file that the server can read.
func (p *process) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if c := p.attr.Credential; c != nil {
		if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// run runs a program to its end.
func (p *process) run(bin string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.attr
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("pgtest: %s: %v\n%s", bin, err, out)
	}
}

// start starts the server on a free port and waits until it is ready.
func (p *process) start(args func(addr string) []string, ready func() error) {
	p.t.Helper()
	p.ready = ready
	p.t.Cleanup(p.Kill)
	for range 5 { // another process may take the free port first
		p.args = args(testenv.FreeAddr(p.t))
		if p.launch() {
			return
		}
	}
	p.fatal("no server would start")
}

// launch runs the process and waits until it is ready. False where it ended.
func (p *process) launch() bool {
	p.t.Helper()
	cmd := exec.Command(p.bin, p.args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.attr
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	p.cmd, p.ended = cmd, ended
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			return false
		default:
		}
		if p.ready() == nil {
			return true
		}
	}
	p.fatal("the server does not answer")
	return false
}

func (p *process) fatal(what string) {
	p.t.Helper()
	log, _ := os.ReadFile(p.log.Name())
	p.t.Fatalf("pgtest: %s: %s\n%s", p.bin, what, bytes.TrimSpace(log))
}

// Stop ends the server as an administrator does: its clients are told.
func (p *process) Stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(p.stop)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.fatal("the server does not stop")
	}
}

// Kill ends the server at once: its clients are not told.
func (p *process) Kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(immediateShutdown)
		select {
		case <-p.ended:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
		}
	}
}

// immediateShutdown: PostgreSQL kills its own processes, which a SIGKILL would
// leave behind for a moment, and PgBouncer has no better idea of it.
const immediateShutdown = syscall.SIGQUIT

// Restart starts a server again that was stopped, on the same port.
func (p *process) Restart() {
	p.t.Helper()
	for range 100 {
		if p.launch() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.fatal("the server would not start again")
}
