//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

var bin string // the application, as it is deployed

// childVariable makes the test binary the command: the application's path.
const childVariable = "PROFILES_TEST_CHILD"

func TestMain(m *testing.M) {
	if bin = os.Getenv(childVariable); bin != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := show(ctx, bin, tiers[1], options{}, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "profile-bin-")
	if err == nil {
		bin = filepath.Join(dir, "app")
		err = build(bin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A run is a tier that runs until the test ends.
type run struct {
	*running
	t *testing.T
	m *machine
}

// needTools skips the test where a server is missing, or fails it.
func needTools(t *testing.T) {
	t.Helper()
	for _, tool := range [][2]string{ // even where one tier needs fewer: they come together
		{"initdb", "postgresql"},
		{"pgbouncer", "pgbouncer"},
		{"redis-server", "redis-server"},
		{"redis-cli", "redis-tools"},
		{"haproxy", "haproxy"},
		{"nginx", "nginx-light"},
	} {
		if _, err := program(tool[0], tool[1]); err != nil {
			testenv.Missing(t, err.Error()+" (make deps does it)")
		}
	}
}

// start starts the tier whose name it is. The variables win over the tier's.
func start(t *testing.T, name string, o options, env ...string) *run {
	t.Helper()
	needTools(t)
	m, err := newMachine(bin)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range m.processes {
				text, _ := os.ReadFile(p.log())
				t.Logf("%s: the end of its log:\n%s", p.name, text[max(0, len(text)-3000):])
			}
		}
		assert.NoError(t, m.close())
	})
	// A busy machine is not an outage of Redis.
	o.env = append([]string{"REDIS_TIMEOUT=5s", "DRAIN_DELAY=0"}, env...)
	for _, tier := range tiers {
		if tier.name == name {
			r, err := tier.start(m, o)
			require.NoError(t, err)
			return &run{r, t, m}
		}
	}
	t.Fatal("no tier " + name)
	return nil
}

// A client has an address and a token. It is safe for concurrent use.
type client struct {
	t     testing.TB
	http  *http.Client
	base  string
	token string
}

// client is a client from an address of 127.0.0.0/8.
func (r *run) client(from string) *client {
	f := r.front
	if f == nil {
		f = &front{https: r.replicas[0].addr} // which is no HTTPS
	}
	c := &client{t: r.t, base: r.url, http: f.client(from)}
	r.t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// An answer is a response that was read to its end.
type answer struct {
	*http.Response
	text string
}

func (a answer) json(t testing.TB) (v map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(a.text), &v), a.text)
	return v
}

// try sends a request: body nil, url.Values (a form), or anything else as JSON.
func (c *client) try(method, to string, body any, headers ...string) (answer, error) {
	var reader io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case url.Values:
		reader, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		reader, contentType = bytes.NewReader(text), "application/json"
	}
	if strings.HasPrefix(to, "/") {
		to = c.base + to
	}
	r, err := http.NewRequestWithContext(context.Background(), method, to, reader)
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, err
}

func (c *client) do(method, to string, body any, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, to, body, headers...)
	require.NoError(c.t, err, "%s %s", method, to)
	return a
}

type object = map[string]any

// login goes the way of a browser to a token.
func (c *client) login(provider, user string) {
	t := c.t
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &client{t: t, base: c.base, http: &http.Client{
		Jar: jar, Timeout: patience, Transport: c.http.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	begun := browser.do("POST", "/auth/"+provider+"/initiate", object{
		"challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "return_url": "/threads",
	})
	require.Equal(t, 200, begun.StatusCode, begun.text)
	authURL, _ := begun.json(t)["auth_url"].(string)
	require.Equal(t, 200, browser.do("GET", authURL, nil).StatusCode)
	allowed := browser.do("POST", authURL, url.Values{"user": {user}})
	require.Equal(t, 303, allowed.StatusCode, allowed.text)
	back := browser.do("GET", allowed.Header.Get("Location"), nil)
	require.Equal(t, 303, back.StatusCode, back.text)
	page, err := back.Location()
	require.NoError(t, err)
	bought := browser.do("POST", "/auth/token", object{"code": page.Query().Get("code"), "verifier": verifier})
	require.Equal(t, 200, bought.StatusCode, bought.text)
	c.token, _ = bought.json(t)["access_token"].(string)
	require.NotEmpty(t, c.token)
}

// loginBeside logs a client of production in: at a process in development with
// the same key and the same database, which is not behind the balancer.
func (r *run) loginBeside(c *client, provider, user string) {
	t := r.t
	t.Helper()
	p, err := r.m.app("app-login", append(append([]string{}, r.env...),
		"ENVIRONMENT=development", "GOOGLE_CLIENT_ID=", "GOOGLE_CLIENT_SECRET=", "DRAIN_DELAY=0"))
	require.NoError(t, err)
	beside := &client{t: t, base: r.url, http: &http.Client{Transport: behindProxy(p.addr), Timeout: patience}}
	beside.login(provider, user)
	c.token = beside.token
	require.NoError(t, p.end())
	require.Equal(t, 200, c.do("GET", "/api/me", nil).StatusCode, "one replica's token is good at the others")
}

// behindProxy sends requests for the public origin to one process, as the balancer
// does.
type behindProxy string

func (addr behindProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, "http", string(addr)
	r.Header.Set("X-Forwarded-Proto", "https")
	return http.DefaultTransport.RoundTrip(r)
}

// burst sends n requests of one client, ten at a time, and returns how many
// passed. The others got a 429.
func (c *client) burst(n int) int {
	c.t.Helper()
	var next, passed atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				a, err := c.try("GET", "/api/stack", nil)
				switch {
				case !assert.NoError(c.t, err):
				case a.StatusCode == 200:
					passed.Add(1)
				default:
					assert.Equal(c.t, 429, a.StatusCode, a.text)
					assert.NotEmpty(c.t, a.Header.Get("Retry-After"))
				}
			}
		})
	}
	wg.Wait()
	return int(passed.Load())
}

// lines counts the lines of a process' log in which all the texts are.
func lines(t testing.TB, p *process, texts ...string) (n int) {
	t.Helper()
	log, err := os.ReadFile(p.log())
	require.NoError(t, err)
	for line := range strings.Lines(string(log)) {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			n++
		}
	}
	return n
}
