//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoLives makes a thread and spends the limit, ends the process and starts it
// again: the data must be there. It returns how much of the limit is.
func twoLives(t *testing.T, r *run) (passed int) {
	t.Helper()
	c := r.client("127.0.0.1")
	c.login("google", "ada")
	require.Equal(t, 201, c.do("POST", "/api/threads", object{"title": "from the first life"}).StatusCode)
	c.burst(99)
	assert.Zero(t, c.burst(10), "100 a day are spent")

	p := r.replicas[0]
	require.NoError(t, p.end())
	assert.Zero(t, p.cmd.ProcessState.ExitCode())
	require.NoError(t, p.again())
	passed = c.burst(150)
	elsewhere := r.client("127.1.0.1")
	elsewhere.token = c.token // still good
	threads := elsewhere.do("GET", "/api/threads", nil)
	require.Equal(t, 200, threads.StatusCode, threads.text)
	assert.Contains(t, threads.text, "from the first life")
	return passed
}

func TestOneProcessKeepsItsDataAndForgetsTheLimits(t *testing.T) {
	t.Parallel()
	r := start(t, "single", options{}, "RATE_LIMIT_DEFAULT=100/day")
	assert.Equal(t, 100, twoLives(t, r))
}

func TestPostgreSQLAndRedisByEnvironmentAloneKeepBoth(t *testing.T) {
	t.Parallel()
	r := start(t, "managed", options{}, "RATE_LIMIT_DEFAULT=100/day")
	assert.Equal(t, 0, twoLives(t, r))
	for _, v := range r.env[:2] {
		name, _, _ := strings.Cut(v, "=")
		assert.Contains(t, []string{"DATABASE_URL", "REDIS_URL"}, name)
	}
}

// Development, as somebody who tries it out has it: each step of the login may
// reach another replica.
func TestAdaLogsInAndWorksAcrossReplicas(t *testing.T) {
	t.Parallel()
	r := start(t, "replicas", options{})
	for i, who := range [][2]string{{"google", "ada"}, {"microsoft", "alan"}, {"google", "alan"}} {
		c := r.client(fmt.Sprintf("127.2.%d.1", i))
		c.login(who[0], who[1])
		made := c.do("POST", "/api/threads", object{"title": "one"})
		require.Equal(t, 201, made.StatusCode, made.text)
		id, _ := made.json(t)["id"].(string)
		for range 6 {
			assert.Equal(t, 200, c.do("GET", "/api/threads/"+id, nil).StatusCode)
		}
	}
	for _, p := range r.replicas {
		assert.NotZero(t, lines(t, p, `"/api/threads/{id}"`), "%s took part", p.name)
	}
	assert.NotContains(t, r.describe(r.m), "PORT=", "what is printed is what a replica gets")

	// With the port of the balancer: this is what is printed for people.
	var out bytes.Buffer
	fmt.Fprint(&out, r.describe(r.m))
	for _, name := range []string{"haproxy", "app1", "app2", "app3", "pgbouncer", "postgres", "redis", "BACKEND_URL="} {
		assert.Contains(t, out.String(), name)
	}
}

// beside starts another balancer before the same replicas.
func (r *run) beside(name string) *run {
	r.t.Helper()
	public, err := freePort()
	require.NoError(r.t, err)
	other := *r.running
	other.url = fmt.Sprintf("https://localhost:%d", public)
	other.front, err = r.m.balancer(name, strings.TrimPrefix(other.url, "https://"), r.replicas)
	require.NoError(r.t, err)
	return &run{&other, r.t, r.m}
}

// forged are headers by which a client claims to be another one, at another
// scheme and host.
var forged = []string{
	"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "6.6.6.7, 127.0.0.1", "Forwarded", "for=6.6.6.6;proto=http;host=attacker.example",
	"X-Real-IP", "6.6.6.6", "X-Client-IP", "6.6.6.6", "True-Client-IP", "6.6.6.6", "CF-Connecting-IP", "6.6.6.6", "Fly-Client-IP", "6.6.6.6",
	"X-Forwarded-Proto", "http", "X-Forwarded-Host", "attacker.example",
}

// TestBehindABalancer is what both balancers must do, in production.
func TestBehindABalancer(t *testing.T) {
	t.Parallel()
	haproxy := start(t, "replicas", options{production: true}, "RATE_LIMIT_DEFAULT=100/day")
	nginx := haproxy.beside("nginx")
	for i, r := range []*run{haproxy, nginx} {
		t.Run(r.front.name, func(t *testing.T) {
			t.Run("three replicas pass exactly 100 of 300", func(t *testing.T) {
				from := fmt.Sprintf("127.3.%d.1", 10*i)
				c := r.client(from)
				assert.Equal(t, 100, c.burst(300))
				for _, p := range r.replicas {
					assert.NotZero(t, lines(t, p, `"client.address":"`+from+`"`), "%s took part", p.name)
				}
			})
			t.Run("a forged address gains nothing", func(t *testing.T) {
				from := fmt.Sprintf("127.3.%d.1", 10*i+1)
				c := r.client(from)
				for n := range 120 {
					headers := append([]string{}, forged...)
					headers[1] = fmt.Sprintf("6.6.6.%d", n) // another one each time
					a := c.do("GET", "/api/stack", nil, headers...)
					if n >= 100 {
						require.Equal(t, 429, a.StatusCode)
						continue
					}
					require.Equal(t, 200, a.StatusCode, a.text)
					got := a.json(t)
					require.Equal(t, from, got["client_address"])
					require.Equal(t, true, got["https"])
				}
			})
			t.Run("nor does going around the balancer", func(t *testing.T) {
				for _, p := range r.replicas {
					dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, 3, 1)}}
					around := &client{t: t, base: "http://" + p.addr, http: &http.Client{
						Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
						CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
					}}
					a := around.do("GET", "/api/stack", nil, "Host", strings.TrimPrefix(r.url, "https://"), "X-Forwarded-Proto", "https", "X-Forwarded-For", "6.6.6.6")
					assert.Equal(t, 308, a.StatusCode, "it came by HTTP, whatever it says")
					assert.Equal(t, r.url+"/api/stack", a.Header.Get("Location"))
					assert.Zero(t, lines(t, p, "6.6.6."), p.name)
				}
			})
			t.Run("TLS, HTTP/2 and the headers of production", func(t *testing.T) {
				c := r.client(fmt.Sprintf("127.3.%d.1", 10*i+2))
				page := c.do("GET", "/", nil, "Accept", "text/html")
				assert.Equal(t, 200, page.StatusCode)
				assert.Equal(t, 2, page.ProtoMajor)
				assert.Equal(t, "max-age=63072000; includeSubDomains", page.Header.Get("Strict-Transport-Security"))
				assert.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'self'")
				assert.Equal(t, 404, c.do("GET", "/dev/idp/google/authorize", nil, "Accept", "text/html").StatusCode, "no development login")

				plain, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.front.http+"/threads?a=b", nil)
				require.NoError(t, err)
				plain.Host = "attacker.example"
				resp, err := http.DefaultTransport.RoundTrip(plain)
				require.NoError(t, err)
				defer resp.Body.Close()
				assert.Equal(t, 308, resp.StatusCode)
				assert.Equal(t, r.url+"/threads?a=b", resp.Header.Get("Location"), "no host but ours")
			})
		})
	}
}

// All replicas need PostgreSQL, so none is ready without: the balancer answers,
// and in the same form.
func TestWithoutPostgreSQLEverybodyIsToldToComeBack(t *testing.T) {
	t.Parallel()
	r := start(t, "replicas", options{production: true})
	c := r.client("127.0.0.1")
	require.Equal(t, 200, c.do("GET", "/api/stack", nil).StatusCode)
	postgres := r.m.processes[slices.IndexFunc(r.m.processes, func(p *process) bool { return p.name == "postgres" })]
	require.NoError(t, postgres.end())
	var a answer
	require.Eventually(t, func() bool {
		a = c.do("GET", "/health/ready", nil)
		return a.StatusCode == 503 && strings.Contains(a.text, "Nobody is there")
	}, patience, 50*time.Millisecond)
	assert.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	assert.Equal(t, "5", a.Header.Get("Retry-After"))
	assert.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	assert.EqualValues(t, 503, a.json(t)["status"])

	require.NoError(t, postgres.again())
	require.Eventually(t, func() bool { return c.do("GET", "/api/stack", nil).StatusCode == 200 }, patience, 50*time.Millisecond)
}

// Each of three replicas grants a third of 100, rounded up.
const shares = 3 * 34

// outage brings Redis down and up again, and sees that everybody is answered, that
// the replicas grant their shares, and that each has one line for it.
func outage(t *testing.T, r *run, nth int, down, up func()) {
	t.Helper()
	const lost, found = `"rate limits: redis is away`, `"rate limits: redis is back"`
	down()
	c, passed := r.client(fmt.Sprintf("127.4.%d.1", nth)), 0
	for until := time.Now().Add(patience); passed < shares && time.Now().Before(until); { // until each has had enough of them
		passed += c.burst(60)
	}
	assert.Equal(t, shares, passed)
	assert.Zero(t, c.burst(150))
	var ready map[string]string
	require.Eventually(t, func() bool { // it is asked once a second
		a := c.do("GET", "/health/ready", nil)
		require.Equal(t, 200, a.StatusCode, "the balancer has somebody left")
		require.NoError(t, json.Unmarshal([]byte(a.text), &ready))
		return ready["redis"] == "away"
	}, patience, 50*time.Millisecond)
	for _, p := range r.replicas {
		assert.Equal(t, nth, lines(t, p, lost), "%s: one line", p.name)
		assert.Equal(t, nth-1, lines(t, p, found), p.name)
	}

	up()
	visitors := 0
	require.Eventually(t, func() bool {
		visitors++ // another one each time, whose requests pass and find out that Redis is back
		r.client(fmt.Sprintf("127.%d.%d.1", 50+nth, visitors%250)).burst(9)
		for _, p := range r.replicas {
			if lines(t, p, found) < nth {
				return false
			}
		}
		return true
	}, 2*patience, 50*time.Millisecond)
	assert.Equal(t, 100, r.client(fmt.Sprintf("127.5.%d.1", nth)).burst(300), "shared again")
	for _, p := range r.replicas {
		assert.Equal(t, nth, lines(t, p, lost), p.name)
		assert.Equal(t, nth, lines(t, p, found), p.name)
		const warning = `"level":"WARN"`
		assert.Equal(t, nth, lines(t, p, warning)-lines(t, p, warning, `"msg":"request"`), "%s: no other warning, but slow requests", p.name)
		assert.Zero(t, lines(t, p, `"level":"ERROR"`), p.name)
	}
}

func TestWithoutRedisEachReplicaGrantsItsShare(t *testing.T) {
	t.Parallel()
	r := start(t, "replicas", options{production: true}, "RATE_LIMIT_DEFAULT=100/day", "REDIS_TIMEOUT=1500ms")
	limits := r.redis[0]
	outage(t, r, 1, func() { limits.signal(syscall.SIGSTOP) }, func() { limits.signal(syscall.SIGCONT) })
	outage(t, r, 2, func() {
		limits.signal(syscall.SIGKILL)
		require.NoError(t, limits.ended())
	}, func() { require.NoError(t, limits.again()) })
}

func TestRedisClusterSharesTheLimits(t *testing.T) {
	t.Parallel()
	r := start(t, "cluster", options{production: true}, "RATE_LIMIT_DEFAULT=100/day")
	for i := range 4 { // several clients: their keys are on several nodes
		assert.Equal(t, 100, r.client(fmt.Sprintf("127.6.%d.1", i)).burst(300))
	}
	for _, p := range r.replicas {
		assert.NotZero(t, lines(t, p, `"client.address":"127.6.0.1"`), "%s took part", p.name)
		assert.Zero(t, lines(t, p, "redis is away"), p.name)
	}
	// A third of the slots is lost: whose keys are there gets the replicas' shares.
	// A replica gives a whole sixteenth of the slots up at a time, so beside the
	// border some get a share on top of what they have at another node.
	r.redis[1].signal(syscall.SIGKILL)
	require.NoError(t, r.redis[1].ended())
	for i := range 5 {
		passed := r.client(fmt.Sprintf("127.61.%d.1", i)).burst(300)
		assert.GreaterOrEqual(t, passed, 34)
		assert.LessOrEqual(t, passed, 100+shares)
	}
	for _, p := range r.replicas {
		assert.LessOrEqual(t, lines(t, p, "redis is away"), 1, "%s: not one line for each request", p.name)
		assert.Zero(t, lines(t, p, "redis is back"), p.name)
	}
}

// The package redisstore says, and tests, what the limiter may do.
func TestTheUserOfRedisIsTheSmallest(t *testing.T) {
	doc, err := os.ReadFile("../../../ratelimit/redisstore/doc.go")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(doc), "ACL SETUSER limiter")
	require.True(t, ok)
	least, more, ok := strings.Cut(text, "In a cluster")
	require.True(t, ok)
	more, _, _ = strings.Cut(more, "[Store.Ping]")
	rights := func(text string) []string {
		found := regexp.MustCompile(`\+[a-z|]+`).FindAllString(text, -1)
		slices.Sort(found)
		return found
	}
	for file, want := range map[string]string{"replicas/redis.conf": least, "cluster/redis.conf": least + more} {
		conf, err := files.ReadFile(file)
		require.NoError(t, err)
		_, user, ok := strings.Cut(string(conf), "\nuser limiter on >${REDIS_PASSWORD} ~gatehouse:* resetchannels -@all ")
		require.True(t, ok)
		assert.Equal(t, rights(want), rights(user), file)
	}
}
