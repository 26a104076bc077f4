//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything may take to come up, or to end, on a busy machine.
const patience = 60 * time.Second

// A machine is where a profile runs: a temporary directory and the processes. All
// of it ends with close.
type machine struct {
	dir       string
	bin       string // the application
	processes []*process
}

func newMachine(bin string) (*machine, error) {
	dir, err := os.MkdirTemp("", "profile-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL's user must get through to the directory of its own.
	return &machine{dir: dir, bin: bin}, os.Chmod(dir, 0o711)
}

// close ends the processes, the newest first, and removes the directory.
func (m *machine) close() error {
	for _, p := range m.processes {
		if strings.HasPrefix(p.name, "app") {
			p.signal(p.stop) // all replicas at once: each takes its time
		}
	}
	var errs []error
	for len(m.processes) > 0 {
		last := len(m.processes) - 1
		errs = append(errs, m.processes[last].end())
		m.processes = m.processes[:last]
	}
	return errors.Join(append(errs, os.RemoveAll(m.dir))...)
}

// A process is one server. It is for one goroutine at a time.
type process struct {
	name string
	addr string // where it listens
	dir  string // its own
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	attr  *syscall.SysProcAttr
	stop  syscall.Signal // what ends it in good order
	ready func(context.Context) error
}

// process makes the directory of a server.
func (m *machine) process(name string) (*process, error) {
	p := &process{name: name, dir: filepath.Join(m.dir, name), stop: syscall.SIGTERM, attr: &syscall.SysProcAttr{
		// Ctrl-C is for us: we end the others, in order.
		Setpgid: true,
		// And if we are killed, the kernel does.
		Pdeathsig: syscall.SIGKILL,
	}}
	return p, os.MkdirAll(p.dir, 0o700)
}

// asUser lets the process run as another user where this one is root: PostgreSQL
// and PgBouncer refuse to run as root.
func (p *process) asUser(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := osuser.Lookup(name)
	if err != nil {
		return err
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return p.own(p.dir)
}

func (p *process) own(path string) error {
	if c := p.attr.Credential; c != nil {
		return os.Chown(path, int(c.Uid), int(c.Gid))
	}
	return nil
}

// write writes a file that only the process can read, and returns its path.
func (p *process) write(name string, text []byte) (string, error) {
	path := filepath.Join(p.dir, name)
	return path, errors.Join(os.WriteFile(path, text, 0o600), p.own(path))
}

// parameter is ${NAME} in a configuration file.
var parameter = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)

// config writes a configuration file of this directory with its parameters filled
// in. DIR is the directory of the process.
func (p *process) config(file string, parameters map[string]string) (path string, err error) {
	text, err := fs.ReadFile(files, file)
	if err != nil {
		return "", err
	}
	var missing []error
	text = parameter.ReplaceAllFunc(text, func(found []byte) []byte {
		name := string(found[2 : len(found)-1])
		value, ok := parameters[name]
		switch {
		case name == "DIR":
			value = p.dir
		case name == "NAME": // in comments, of any
			value = string(found)
		case !ok:
			missing = append(missing, fmt.Errorf("%s: %s has no value", file, found))
		}
		return []byte(value)
	})
	if err := errors.Join(missing...); err != nil {
		return "", err
	}
	return p.write(filepath.Base(file), text)
}

// start runs the command on a free port and waits until it is ready. The command
// is asked for again where another process was faster to take the port.
func (m *machine) start(p *process, command func(port int) (*exec.Cmd, error), ready func(context.Context) error) error {
	m.processes = append(m.processes, p)
	p.ready = ready
	var err error
	for range 5 {
		var port int
		if port, err = freePort(); err != nil {
			return err
		}
		p.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		cmd, errCommand := command(port)
		if errCommand != nil {
			return errCommand
		}
		if err = p.launch(cmd); err == nil || !errors.Is(err, errEnded) {
			return err
		}
	}
	return err
}

var errEnded = errors.New("it ended")

// launch runs the command and waits until the process is ready.
func (p *process) launch(cmd *exec.Cmd) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Dir, cmd.SysProcAttr = p.dir, p.attr
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(done)
	}()
	p.cmd, p.done = cmd, done
	err = wait(func(ctx context.Context) error {
		select {
		case <-done:
			return errEnded
		default:
			return p.ready(ctx)
		}
	})
	if err != nil {
		text, _ := os.ReadFile(p.log())
		return fmt.Errorf("%s: %w; the end of its log:\n%s", p.name, err, text[max(0, len(text)-2000):])
	}
	return nil
}

// again starts a process that has ended with the same command, and other
// environment variables where some are given.
func (p *process) again(env ...string) error {
	cmd := exec.Command(p.cmd.Path, p.cmd.Args[1:]...)
	cmd.Env = p.cmd.Env
	if len(env) > 0 {
		cmd.Env = append(append([]string{}, p.cmd.Env...), env...) // the last of a name counts
	}
	return p.launch(cmd)
}

// log is the path of what the process writes, through all its lives.
func (p *process) log() string { return p.dir + ".log" }

// signal sends a signal to the process, if it has been started.
func (p *process) signal(s syscall.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// ended waits until the process has ended.
func (p *process) ended() error {
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s: still running", p.name)
	}
}

// end ends the process in good order, or by force. Once it has ended, it does
// nothing.
func (p *process) end() error {
	if p.cmd == nil {
		return nil
	}
	p.signal(syscall.SIGCONT)
	p.signal(p.stop)
	err := p.ended()
	if err != nil {
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	return err
}

// wait tries until there is no error, or errEnded, or patience is over.
func wait(try func(context.Context) error) error {
	until := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := try(ctx)
		cancel()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(until) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort returns a port that was free a moment ago, below those that Linux gives
// to outgoing connections: a server that is started again must find it free.
func freePort() (int, error) {
	for range 100 {
		port := 15000 + rand.IntN(17000)
		ln, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			return port, ln.Close()
		}
	}
	return 0, errors.New("no free port from 15000 to 32000")
}

// program finds a program where Debian has it.
func program(name, debianPackage string) (string, error) {
	for _, pattern := range []string{"/usr/sbin/" + name, "/usr/lib/postgresql/*/bin/" + name} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: apt-get install %s", name, debianPackage)
	}
	return path, nil
}

// run runs a program to its end, as the process would run.
func (p *process) run(path string, args ...string) error {
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, p.attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %s: %w\n%s", p.name, filepath.Base(path), err, bytes.TrimSpace(out))
	}
	return nil
}
