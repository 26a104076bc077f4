package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopChromium()
	if bin, err := built(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// built is the program as it is deployed.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deployment-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "deployment")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", bin, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	os.Stderr.Write(out)
	return bin, err
})

// runIn runs the program to its end and returns all that it wrote, and how it
// ended.
func runIn(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	bin, err := built()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir, cmd.Env = dir, append([]string{}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A program is the running server, with nothing in its environment but a free
// PORT and what the test adds.
type program struct {
	t    *testing.T
	dir  string // where it was started
	url  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended, once done is closed

	mu      sync.Mutex
	log     bytes.Buffer
	secrets map[string]string // what no log may show, and what it is
}

func start(t *testing.T, dir string, env ...string) *program {
	t.Helper()
	bin, err := built()
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(testenv.FreeAddr(t))
	require.NoError(t, err)
	env = append([]string{"PORT=" + port}, env...)
	for _, v := range env { // the last one counts
		if value, ok := strings.CutPrefix(v, "PORT="); ok {
			port = value
		}
	}
	p := &program{
		t: t, dir: dir, url: "http://localhost:" + port, done: make(chan struct{}), secrets: map[string]string{},
		cmd: exec.CommandContext(context.Background(), bin),
	}
	p.cmd.Dir, p.cmd.Env = dir, env
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		p.noSecretInTheLog()
	})
	require.Eventually(t, func() bool {
		select {
		case <-p.done:
			return true
		default:
		}
		resp, err := http.Get(p.url + "/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	select {
	case <-p.done:
		t.Fatalf("it ended:\n%s", p.text())
	default:
	}
	return p
}

// Write takes what the program writes.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *program) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// lines are the JSON lines of the log.
func (p *program) lines() []map[string]any {
	p.t.Helper()
	var all []map[string]any
	for line := range strings.Lines(p.text()) {
		if !strings.HasPrefix(line, "{") {
			continue // the banner
		}
		var v map[string]any
		require.NoError(p.t, json.Unmarshal([]byte(line), &v), line)
		all = append(all, v)
	}
	return all
}

// end sends the signal and waits; once it has ended, it does nothing.
func (p *program) end(s os.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("still running 15 s after %s; log:\n%s", s, p.text())
	}
}

// secret notes a value that no log may show. Short ones, like "code", are words.
func (p *program) secret(what, value string) {
	if len(value) < 12 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secrets[value] = what
}

// secretsOf notes all query values of a URL but the public ones.
func (p *program) secretsOf(raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	for name, values := range u.Query() {
		if !slices.Contains([]string{"redirect_uri", "prompt", "scope", "client_id", "response_type", "code_challenge_method"}, name) {
			for _, v := range values {
				p.secret("query value "+name, v)
			}
		}
	}
}

func (p *program) noSecretInTheLog() {
	p.t.Helper()
	if key, err := os.ReadFile(filepath.Join(p.dir, "var/secret")); err == nil {
		p.secret("the secret key", string(key))
	}
	text := p.text()
	for value, what := range p.secrets {
		assert.NotContains(p.t, text, value, what)
	}
	for _, sign := range []string{"code=", "state=", "token=", "eyJ", "Bearer ", "verifier"} {
		assert.NotContains(p.t, text, sign)
	}
	for _, line := range p.lines() {
		path, _ := line["url.path"].(string)
		assert.NotContains(p.t, path, "?")
	}
}

// A client is one browser's worth of cookies, and the token.
type client struct {
	*program
	http  *http.Client
	token string
}

func (p *program) client() *client {
	jar, err := cookiejar.New(nil)
	require.NoError(p.t, err)
	return &client{program: p, http: &http.Client{
		Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// An answer is a response that was read to its end.
type answer struct {
	*http.Response
	text string
}

// json decodes the body.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

// do sends a request: body nil, url.Values (a form), or anything else as JSON.
func (c *client) do(method, to string, body any, edits ...func(*http.Request)) answer {
	c.t.Helper()
	var reader io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case url.Values:
		reader, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(b)
		require.NoError(c.t, err)
		reader, contentType = bytes.NewReader(text), "application/json"
	}
	if strings.HasPrefix(to, "/") {
		to = c.url + to
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, to, reader)
	require.NoError(c.t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, edit := range edits {
		edit(r)
	}
	resp, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	for _, cookie := range resp.Cookies() {
		c.secret("cookie "+cookie.Name, cookie.Value)
	}
	c.secretsOf(resp.Header.Get("Location"))
	return answer{resp, string(text)}
}

type object = map[string]any

// login goes the whole way by hand, as the SPA does, and notes every value that
// is secret on it.
func (c *client) login(provider, user string) {
	t := c.t
	t.Helper()
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	begun := c.do("POST", "/auth/"+provider+"/initiate", object{
		"challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "return_url": "/threads",
	})
	require.Equal(t, 200, begun.StatusCode, begun.text)
	authURL, _ := begun.json(t)["auth_url"].(string)
	state, _ := begun.json(t)["state"].(string)
	c.secretsOf(authURL)
	c.secret("verifier", verifier)

	require.Equal(t, 200, c.do("GET", authURL, nil).StatusCode)
	allowed := c.do("POST", authURL, url.Values{"user": {user}})
	require.Equal(t, 303, allowed.StatusCode, allowed.text)
	back := c.do("GET", allowed.Header.Get("Location"), nil)
	require.Equal(t, 303, back.StatusCode, back.text)
	page, err := url.Parse(back.Header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, c.url+"/auth/callback", page.Scheme+"://"+page.Host+page.Path)
	require.Equal(t, state, page.Query().Get("state"))

	code := page.Query().Get("code")
	bought := c.do("POST", "/auth/token", object{"code": code, "verifier": verifier})
	require.Equal(t, 200, bought.StatusCode, bought.text)
	token, _ := bought.json(t)["access_token"].(string)
	require.NotEmpty(t, token)
	c.secret("token", token)
	again := c.do("POST", "/auth/token", object{"code": code, "verifier": verifier})
	require.Equal(t, 400, again.StatusCode, "a code is good once")
	c.token = token
}

// set returns an edit of a request that sets headers.
func set(headers map[string]string) func(*http.Request) {
	return func(r *http.Request) {
		for name, value := range maps.All(headers) {
			r.Header.Set(name, value)
			if name == "Host" {
				r.Host = value
			}
		}
	}
}
