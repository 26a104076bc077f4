package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// The image, built from the Dockerfile and run. No registry can be reached where
// the tests run, so that this machine's Go stands in for golang's image.
func TestTheImage(t *testing.T) {
	b := newBuildah(t)
	b.build(t, "../..", "--build-arg", "MODULE=examples/deployment", "--build-arg", "REVISION=0123abc")

	t.Run("holds the program, the certificate authorities and nothing else", func(t *testing.T) {
		id := b.run(t, "from", "app")
		root := b.run(t, "mount", id)
		var files []string
		var size int64
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			size += info.Size()
			files = append(files, strings.TrimPrefix(path, root))
			return err
		}))
		assert.Equal(t, []string{"/deployment", "/etc/ssl/certs/ca-certificates.crt"}, files)
		t.Logf("the image has %.1f MB", float64(size)/1e6)
		assert.Less(t, size, int64(40<<20))

		data, err := os.Stat(filepath.Join(root, "data"))
		require.NoError(t, err)
		assert.EqualValues(t, 65532, data.Sys().(*syscall.Stat_t).Uid)
		assert.Equal(t, fs.FileMode(0o700), data.Mode().Perm())

		program, err := os.ReadFile(filepath.Join(root, "deployment"))
		require.NoError(t, err)
		repository, err := filepath.Abs("../..")
		require.NoError(t, err)
		assert.False(t, bytes.Contains(program, []byte(repository)), "a path of the builder")
	})

	t.Run("says how it is run", func(t *testing.T) {
		c := b.config(t)
		assert.Equal(t, "65532:65532", c.User)
		assert.Equal(t, []string{"/deployment"}, c.Entrypoint)
		assert.Equal(t, []string{"serve"}, c.Cmd)
		assert.Equal(t, "SIGTERM", c.StopSignal)
		assert.Equal(t, []string{"CMD", "/deployment", "healthcheck"}, c.Healthcheck.Test)
		assert.Contains(t, c.ExposedPorts, "8000/tcp")
		assert.Empty(t, c.Volumes, "Railway refuses VOLUME")
		assert.Equal(t, "0123abc", c.Labels["org.opencontainers.image.revision"])
		assert.Equal(t, "MIT", c.Labels["org.opencontainers.image.licenses"])
	})

	t.Run("runs as a user without rights", func(t *testing.T) {
		c := b.config(t)
		id := b.run(t, "from", "app")
		args := func(command ...string) []string {
			return append([]string{"run", "--isolation", "chroot", id, "--"}, command...)
		}
		port := freePort(t)
		env := production(port)
		for _, v := range env {
			b.run(t, "config", "--env", v, id)
		}
		run := b.command(args(append(c.Entrypoint, c.Cmd...)...)...)
		p := startProcess(t, run, port, findProgram(port))

		assert.Equal(t, []string{"65532", "65532", "65532", "65532"}, p.status(t, "Uid"))
		assert.Equal(t, []string{"65532", "65532", "65532", "65532"}, p.status(t, "Gid"))
		b.run(t, args("/deployment", "healthcheck")...)
		b.run(t, args("/deployment", "backup", "/data/copy.db")...)
		out, err := b.command(args("/bin/sh", "-c", "true")...).CombinedOutput()
		require.Error(t, err, "a shell")
		assert.Contains(t, string(out), "no such file")
		b.run(t, "config", "--env", "LOG_DIR=/", id)
		out, err = b.command(args("/deployment", "serve")...).CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "open /app.log: permission denied")
		p.drains(t)
	})

	// What `docker run --read-only --security-opt=no-new-privileges` does, which
	// Buildah's chroot isolation does not: the root file system is mounted
	// read-only in a mount namespace of its own, and the program is process 1.
	t.Run("needs nothing writable but its volume", func(t *testing.T) {
		id := b.run(t, "from", "app")
		root := b.run(t, "mount", id)
		volume := filepath.Join(b.dir, "volume")
		require.NoError(t, os.Mkdir(volume, 0o700))
		require.NoError(t, os.Chown(volume, 65532, 65532))
		inside := func(env []string, command ...string) *exec.Cmd {
			const script = `set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/data"
mount -o remount,bind,ro "$1"
root=$1; shift 2
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" "$@"`
			cmd := exec.CommandContext(t.Context(), "unshare", append([]string{
				"--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", root, volume,
			}, command...)...)
			cmd.Env = append(env, "PATH="+os.Getenv("PATH"))
			return cmd
		}
		port := freePort(t)
		env := production(port)
		p := startProcess(t, inside(env, "/deployment", "serve"), port, firstChild)

		pids := p.status(t, "NSpid")
		assert.Equal(t, "1", pids[len(pids)-1], "signals reach the program itself")
		assert.Equal(t, []string{"0000000000000000"}, p.status(t, "CapEff"))
		assert.Equal(t, []string{"1"}, p.status(t, "NoNewPrivs"))
		out, err := inside(env, "/deployment", "healthcheck").CombinedOutput()
		require.NoError(t, err, string(out))
		out, err = inside(env, "/deployment", "backup", "/data/copy.db").CombinedOutput()
		require.NoError(t, err, string(out))
		out, err = inside(append(env, "LOG_DIR=/"), "/deployment", "serve").CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "open /app.log: read-only file system")
		p.drains(t)
		out, err = inside(env, "/deployment", "healthcheck").CombinedOutput()
		assert.Error(t, err, "nothing answers any more: %s", out)
	})
}

func TestTheSameSourcesGiveTheSameProgramWhereverTheyAreBuilt(t *testing.T) {
	b := newBuildah(t)
	// In the image's stage, from /src and without what .dockerignore keeps back.
	b.build(t, "../..", "--build-arg", "MODULE=examples/deployment")
	inside := b.run(t, "mount", b.run(t, "from", "app"))

	// The same command in this checkout, with its .git.
	outside := filepath.Join(b.dir, "outside")
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	joined := strings.ReplaceAll(string(text), "\\\n", "")
	run := regexp.MustCompile(`(?m)^RUN (.* go build .*)$`).FindStringSubmatch(joined)
	require.Len(t, run, 2)
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(run[1], "/rootfs", outside))
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "MODULE=examples/deployment")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, sum(t, outside), sum(t, inside))
}

func TestABuilderGetsNoSecretsAndNoHistory(t *testing.T) {
	context := newBuildah(t).context(t)
	assert.FileExists(t, filepath.Join(context, "examples/deployment/main.go"))
	require.NoError(t, filepath.WalkDir(context, func(path string, d fs.DirEntry, err error) error {
		assert.NotRegexp(t, `/(\.git|\.env[^/]*|node_modules|var|[^/]*_test\.go)$`, path)
		return err
	}))
}

func TestTheExampleBuildsInARepositoryOfItsOwn(t *testing.T) {
	b := newBuildah(t)
	source := b.context(t)
	dir := filepath.Join(b.dir, "app")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(source, "examples/deployment"))))

	// The README's commands, but for those that fetch: the version that is not
	// published yet is the one here.
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "cp -R gatehouse/examples/deployment app && cd app\n")
	require.True(t, found)
	script, _, _ := strings.Cut(rest, "```")
	script, fetch, found := strings.Cut(script, "go get github.com/gatehouse-go/gatehouse@latest\n")
	require.True(t, found)
	assert.Equal(t, "go mod tidy\n", fetch)
	script += "go mod edit -replace github.com/gatehouse-go/gatehouse=" + source + "\n"
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	b.build(t, dir, "--volume", source+":"+source+":ro")
	b.run(t, "run", "--isolation", "chroot", b.run(t, "from", "app"), "--", "/deployment", "version")
}

func sum(t *testing.T, rootfs string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rootfs, "deployment"))
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// production is an environment that needs no other service.
func production(port string) []string {
	return []string{
		"ENVIRONMENT=production", "PLATFORM=railway", "PORT=" + port, "BACKEND_URL=https://app.example.com",
		"SECRET_KEY=hT9v0cXq2Lr7mZ4sWk1uYb8eNf5dGj3a", "DATABASE_URL=sqlite:////data/app.db",
		"GOOGLE_CLIENT_ID=id", "GOOGLE_CLIENT_SECRET=s", "DRAIN_DELAY=0",
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(testenv.FreeAddr(t))
	require.NoError(t, err)
	return port
}

// buildah keeps its images and containers below dir.
type buildah struct{ bin, dir string }

func newBuildah(t *testing.T) buildah {
	t.Helper()
	bin := testenv.Command(t, "buildah", "buildah")
	if os.Getuid() != 0 {
		testenv.Missing(t, "the image is built with the owners it will have, and run as another user: that needs root")
	}
	dir, err := os.MkdirTemp("", "image-")
	require.NoError(t, err)
	b := buildah{bin, dir}
	t.Cleanup(func() {
		_ = b.command("rm", "--all").Run()
		_ = b.command("rmi", "--all", "--force").Run()
		assert.NoError(t, os.RemoveAll(dir))
	})
	return b
}

func (b buildah) command(args ...string) *exec.Cmd {
	//nolint:gosec // the tests' own arguments; not the test's context, which has ended when Cleanup runs it
	return exec.CommandContext(context.Background(), b.bin, append([]string{
		"--root", b.dir + "/root", "--runroot", b.dir + "/run", "--storage-driver", "vfs",
	}, args...)...)
}

// run returns the last line that the command wrote to stdout.
func (b buildah) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := b.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "buildah %s:\n%s%s", strings.Join(args, " "), out, &stderr)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// build builds the Dockerfile to its last stage, as "app".
func (b buildah) build(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append([]string{
		"build", "--isolation", "chroot", "--format", "docker", "--pull-never",
		"-f", "Dockerfile", "--ignorefile", ".dockerignore", "-t", "app",
	}, args...)
	for _, dir := range b.golang(t) {
		args = append(args, "--volume", dir)
	}
	b.run(t, append(args, dir)...)
}

// golang makes a stand-in for the image that the Dockerfile begins with, and
// returns the directories of this machine that are mounted into it: it has no files
// of its own but the certificate authorities.
func (b buildah) golang(t *testing.T) []string {
	t.Helper()
	name := regexp.MustCompile(`(?m)^FROM (\S+) AS build$`).FindStringSubmatch(read(t, "Dockerfile"))
	require.Len(t, name, 2)
	names := []string{"GOROOT", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB"}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	require.NoError(t, err)
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, values, len(names))

	dir := filepath.Join(b.dir, "golang")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc/ssl/certs"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "tmp"), 0o755))
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		require.NoError(t, os.Symlink("usr/"+name, filepath.Join(dir, name)))
	}
	authorities := read(t, "/etc/ssl/certs/ca-certificates.crt")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"), []byte(authorities), 0o644))
	var file strings.Builder
	file.WriteString("FROM scratch\nCOPY . /\nENV GOTOOLCHAIN=local HOME=/tmp PATH=" + values[0] + "/bin:/usr/bin")
	for i, name := range names {
		file.WriteString(" " + name + "=" + strconv.Quote(values[i]))
	}
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "Golang"), []byte(file.String()+"\n"), 0o600))
	b.run(t, "build", "--isolation", "chroot", "-f", filepath.Join(b.dir, "Golang"), "-t", name[1], dir)
	mounts := []string{"/usr:/usr:ro", values[1] + ":" + values[1], values[2] + ":" + values[2]}
	if !strings.HasPrefix(values[0], "/usr/") {
		mounts = append(mounts, values[0]+":"+values[0]+":ro")
	}
	return mounts
}

// context is the repository as a builder gets it.
func (b buildah) context(t *testing.T) string {
	t.Helper()
	file := filepath.Join(b.dir, "Context")
	require.NoError(t, os.WriteFile(file, []byte("FROM scratch\nCOPY . /\n"), 0o600))
	b.run(t, "build", "--isolation", "chroot", "-f", file, "--ignorefile", ".dockerignore", "-t", "context", "../..")
	return b.run(t, "mount", b.run(t, "from", "context"))
}

type imageConfig struct {
	User, StopSignal      string
	Entrypoint, Cmd       []string
	Healthcheck           struct{ Test []string }
	ExposedPorts, Volumes map[string]any
	Labels                map[string]string
}

func (b buildah) config(t *testing.T) imageConfig {
	t.Helper()
	out, err := b.command("inspect", "--type", "image", "--format", "{{.Config}}", "app").Output()
	require.NoError(t, err)
	var c struct{ Config imageConfig }
	require.NoError(t, json.Unmarshal(out, &c))
	return c.Config
}

// A process is the program, as it runs in the image.
type process struct {
	pid, port string
	log       bytes.Buffer // to be read when done is closed
	done      chan struct{}
	err       error
}

// startProcess waits for /health; pid finds the program below the command.
func startProcess(t *testing.T, cmd *exec.Cmd, port string, pid func(parent int) string) *process {
	t.Helper()
	p := &process{port: port, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	require.NoError(t, cmd.Start())
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			if n, err := strconv.Atoi(p.pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
			_ = cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Log(p.log.String())
		}
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://127.0.0.1:" + port + "/health")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	p.pid = pid(cmd.Process.Pid)
	require.NotEmpty(t, p.pid)
	return p
}

// status is a line of /proc/PID/status.
func (p *process) status(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + p.pid + "/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Fields(value)
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

// drains sends SIGTERM while a request is half through: it is finished, and the
// program ends well.
func (p *process) drains(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+p.port)
	require.NoError(t, err)
	defer conn.Close()
	const body = `{"code":"none","verifier":"none"}`
	fmt.Fprintf(conn, "POST /auth/token HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n') // the handler asks for the body
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue")
	_, err = r.ReadString('\n')
	require.NoError(t, err)

	pid, err := strconv.Atoi(p.pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+p.port)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond, "no new connections")
	fmt.Fprint(conn, body)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	select {
	case <-p.done:
		require.NoError(t, p.err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	assert.Contains(t, p.log.String(), "draining")
}

// firstChild is the program below unshare, which replaced the shell.
func firstChild(parent int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	return strings.TrimSpace(string(text))
}

// findProgram looks for the program by its PORT: Buildah has processes of its own
// between.
func findProgram(port string) func(int) string {
	return func(int) string {
		all, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range all {
			dir := filepath.Dir(name)
			env, _ := os.ReadFile(name)
			comm, _ := os.ReadFile(dir + "/comm")
			if string(comm) == "deployment\n" && bytes.Contains(env, []byte("PORT="+port+"\x00")) {
				return filepath.Base(dir)
			}
		}
		return ""
	}
}
