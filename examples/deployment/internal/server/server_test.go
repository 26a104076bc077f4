package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newServer is the server with a production-like configuration, routes of the
// test, and X-User instead of a login.
func newServer(t testing.TB, env map[string]string, edit func(*Deps)) (*Server, *syncBuffer) {
	t.Helper()
	e := map[string]string{
		"ENVIRONMENT": "production", "SECRET_KEY": "hT9v0cXq2Lr7mZ4sWk1uYb8eNf5dGj3a",
		"BACKEND_URL": "https://app.example.com", "DATABASE_URL": "postgres://u:p@127.0.0.1/d",
		"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "s", "PLATFORM": "railway", "DRAIN_DELAY": "0",
		"RATE_LIMIT_DEFAULT": "5/hour", "CORS_ORIGINS": "https://www.example.org",
	}
	maps.Copy(e, env)
	c, err := config.Load(func(name string) string { return e[name] })
	require.NoError(t, err)
	log := &syncBuffer{}
	d := Deps{
		Config: c,
		App:    fstest.MapFS{"index.html": {Data: []byte("<!doctype html><title>app</title>")}},
		Authenticate: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-User") == "" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		UserID: func(r *http.Request) string { return r.Header.Get("X-User") },
		Routes: func(mux *http.ServeMux, p Parts) (Drain, error) {
			mux.Handle("GET /api/items/{id}", p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, "item")
			})))
			mux.HandleFunc("POST /auth/google/initiate", func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
				}
			})
			return nil, nil
		},
		Log: slog.New(slog.NewJSONHandler(log, nil)),
	}
	if edit != nil {
		edit(&d)
	}
	s, err := New(d)
	require.NoError(t, err)
	return s, log
}

// ask sends a request as Railway's edge would pass it on.
func ask(s *Server, method, target string, edits ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "app.example.com"
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Real-IP", "192.0.2.1")
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestEveryAnswerIsHardened(t *testing.T) {
	for _, tt := range []struct {
		name, method, target string
		edits                []func(*http.Request)
		status               int
		mediaType            string
	}{
		{"an API route", "GET", "/api/items/1", []func(*http.Request){set("X-User", "ada")}, 200, ""},
		{"without a token", "GET", "/api/items/1", nil, 401, ""},
		{"an unknown API path is JSON, never the app", "GET", "/api/none", []func(*http.Request){set("Sec-Fetch-Dest", "document")}, 404, "application/problem+json"},
		{"a method that is not there", "DELETE", "/api/items/1", nil, 405, "application/problem+json"},
		{"a deep link", "GET", "/threads/42", []func(*http.Request){set("Sec-Fetch-Dest", "document")}, 200, "text/html"},
		{"the login callback is the app's", "GET", "/auth/callback", []func(*http.Request){set("Sec-Fetch-Dest", "document")}, 200, "text/html"},
		{"a foreign host", "GET", "/", []func(*http.Request){func(r *http.Request) { r.Host = "attacker.example" }}, 400, "application/problem+json"},
		{"plain HTTP", "GET", "/", []func(*http.Request){set("X-Forwarded-Proto", "http")}, 308, ""},
		{"health", "GET", "/health", nil, 200, "application/json"},
		{"health by HEAD", "HEAD", "/health", nil, 200, ""},
		{"the platform's probe: its own host, plain HTTP", "GET", "/health", []func(*http.Request){
			set("X-Forwarded-Proto", "http"), func(r *http.Request) { r.Host = "healthcheck.railway.app" },
		}, 200, "application/json"},
		{"a preflight", "OPTIONS", "/api/items/1", []func(*http.Request){
			set("Origin", "https://www.example.org"), set("Access-Control-Request-Method", "PATCH"),
			set("Access-Control-Request-Headers", "authorization,content-type"),
		}, 204, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newServer(t, nil, nil)
			resp := ask(s, tt.method, tt.target, tt.edits...)
			require.Equal(t, tt.status, resp.StatusCode)
			assert.Contains(t, resp.Header.Get("Content-Type"), tt.mediaType)
			assert.NotEmpty(t, resp.Header.Get("X-Correlation-ID"))
			assert.NotEmpty(t, resp.Header.Get("Content-Security-Policy"))
			if tt.status == 405 {
				assert.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
			}
		})
	}
}

func TestLimitsArePerClientAndPerUserAndHealthIsFree(t *testing.T) {
	s, _ := newServer(t, nil, nil)
	for range 5 {
		require.Equal(t, 200, ask(s, "GET", "/api/items/1", set("X-User", "ada")).StatusCode)
	}
	resp := ask(s, "GET", "/api/items/1", set("X-User", "ada"), set("Origin", "https://www.example.org"))
	require.Equal(t, 429, resp.StatusCode)
	assert.Equal(t, "https://www.example.org", resp.Header.Get("Access-Control-Allow-Origin"), "the frontend can read why")

	// From elsewhere the address's bucket is full, the user's is not.
	resp = ask(s, "GET", "/api/items/1", set("X-User", "ada"), set("X-Real-IP", "198.51.100.7"))
	require.Equal(t, 429, resp.StatusCode)
	assert.Contains(t, body(t, resp), `"user"`)
	resp = ask(s, "GET", "/api/items/1", set("X-User", "alan"), set("X-Real-IP", "198.51.100.7"))
	require.Equal(t, 200, resp.StatusCode)

	// A whole network of attackers.
	denied := 0
	for i := range 100 {
		resp = ask(s, "POST", "/auth/google/initiate", set("X-Real-IP", fmt.Sprintf("2001:db8:0:%x::1", i)))
		if resp.StatusCode == 429 {
			denied++
			assert.Contains(t, body(t, resp), `"network"`)
		}
	}
	assert.Equal(t, 50, denied, "a /48 has ten times one address's limit")
	for range 50 {
		require.Equal(t, 200, ask(s, "GET", "/health").StatusCode)
	}
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

func TestBodiesAreBoundedAndTheRouteIsStillLogged(t *testing.T) {
	s, log := newServer(t, nil, nil)
	resp := ask(s, "POST", "/auth/google/initiate", func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", maxBody+1)))
	})
	assert.Equal(t, 413, resp.StatusCode)
	assert.Contains(t, log.String(), `"http.route":"/auth/google/initiate"`)
}

func TestCookieModeRefusesOtherSites(t *testing.T) {
	s, _ := newServer(t, map[string]string{"TOKEN_DELIVERY": "cookie"}, nil)
	post := func(origin string) int {
		return ask(s, "POST", "/auth/google/initiate", set("Origin", origin), set("Sec-Fetch-Site", "cross-site")).StatusCode
	}
	assert.Equal(t, 403, post("https://attacker.example"))
	assert.Equal(t, 200, post("https://www.example.org"))
	s, _ = newServer(t, nil, nil)
	assert.Equal(t, 200, post("https://attacker.example"), "a bearer token is not sent by a form")
}

func TestReadinessAsksOnceASecondWhoeverAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		failing := atomic.Bool{}
		s, log := newServer(t, nil, func(d *Deps) {
			d.Checks = map[string]func(context.Context) error{"database": func(ctx context.Context) error {
				asked.Add(1)
				time.Sleep(100 * time.Millisecond)
				if failing.Load() {
					return errors.New("gone: password=hush")
				}
				return nil
			}}
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { assert.Equal(t, 200, ask(s, "GET", "/health/ready").StatusCode) })
		}
		wg.Wait()
		assert.EqualValues(t, 1, asked.Load())

		failing.Store(true)
		time.Sleep(2 * time.Second)
		resp := ask(s, "GET", "/health/ready")
		assert.Equal(t, 503, resp.StatusCode)
		assert.NotEmpty(t, resp.Header.Get("Retry-After"))
		assert.NotContains(t, body(t, resp), "hush")
		assert.Equal(t, 200, ask(s, "GET", "/health").StatusCode, "the process itself is fine")
		assert.Contains(t, log.String(), "not ready")

		failing.Store(false)
		time.Sleep(2 * time.Second)
		assert.Equal(t, 200, ask(s, "GET", "/health/ready").StatusCode)
	})
}

func TestAFrozenServiceMakesReadinessFailInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, nil, func(d *Deps) {
			d.Checks = map[string]func(context.Context) error{"database": func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		begun := time.Now()
		assert.Equal(t, 503, ask(s, "GET", "/health/ready").StatusCode)
		assert.Equal(t, checkTimeout, time.Since(begun))
	})
}

func TestTheStackPageTellsWhatWasDecided(t *testing.T) {
	s, _ := newServer(t, nil, nil)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(body(t, ask(s, "GET", "/api/stack"))), &got))
	assert.Equal(t, "192.0.2.1", got["client_address"])
	assert.Equal(t, true, got["https"])
	assert.Equal(t, "listed", got["host"])
}

func TestSIGTERMDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, log := newServer(t, map[string]string{"SHUTDOWN_TIMEOUT": "10s"}, func(d *Deps) {
		d.Routes = func(mux *http.ServeMux, _ Parts) (Drain, error) {
			mux.HandleFunc("GET /api/slow", func(w http.ResponseWriter, _ *http.Request) {
				close(entered)
				<-release
				fmt.Fprint(w, "finished")
			})
			return nil, nil
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()

	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /api/slow HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n\r\n")
	<-entered
	stop()
	require.Eventually(t, func() bool { return ask(s, "GET", "/health/ready").StatusCode == 503 }, 5*time.Second, 10*time.Millisecond)
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, "finished", body(t, resp), "a request that has begun is finished")
	require.NoError(t, <-done)
	assert.Contains(t, log.String(), "draining")
	_, err = net.Dial("tcp", ln.Addr().String())
	assert.Error(t, err, "the port is closed")
}

// A load balancer needs a moment to see that readiness is off. Until then nothing
// it sends may be lost, on open connections or new ones.
func TestNothingIsRefusedDuringTheDrainDelay(t *testing.T) {
	s, log := newServer(t, map[string]string{"DRAIN_DELAY": "1s"}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	dial := func() (get func() *http.Response) {
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		from := bufio.NewReader(conn)
		return func() *http.Response {
			fmt.Fprint(conn, "GET /health HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
			resp, err := http.ReadResponse(from, nil)
			require.NoError(t, err)
			require.NotEmpty(t, body(t, resp))
			return resp
		}
	}
	before := dial()
	assert.False(t, before().Close)
	stop()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "draining") }, 5*time.Second, time.Millisecond)
	for name, get := range map[string]func() *http.Response{"a connection from before": before, "a new one": dial()} {
		resp := get()
		assert.Equal(t, 200, resp.StatusCode, name)
		assert.True(t, resp.Close, "%s: it ends with this answer", name)
	}
	assert.Equal(t, 503, ask(s, "GET", "/health/ready").StatusCode)
	require.NoError(t, <-done)
	_, err = net.Dial("tcp", ln.Addr().String())
	assert.Error(t, err, "the port is closed")
}

// awayStore fails on demand.
type awayStore struct {
	ratelimit.Store
	away atomic.Bool
}

func (s *awayStore) Do(ctx context.Context, op ratelimit.Op, b []ratelimit.Bucket, out []ratelimit.Level) error {
	if s.away.Load() {
		return errors.New("connection refused")
	}
	return s.Store.Do(ctx, op, b, out)
}

func TestAnOutageOfTheSharedStoreIsOneLineAndNoReasonToBeNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
		require.NoError(t, err)
		store := &awayStore{Store: memory}
		s, log := newServer(t, map[string]string{"RATE_LIMIT_DEFAULT": "1000/minute"}, func(d *Deps) { d.Store = store })
		const lost, found = "redis is away", "redis is back"
		counts := func() [2]int {
			return [2]int{strings.Count(log.String(), lost), strings.Count(log.String(), found)}
		}
		many := func() {
			for range 50 {
				assert.Equal(t, 200, ask(s, "GET", "/api/stack").StatusCode)
			}
		}
		ready := func() string {
			time.Sleep(2 * readyFor)
			resp := ask(s, "GET", "/health/ready")
			assert.Equal(t, 200, resp.StatusCode)
			return body(t, resp)
		}
		many()
		assert.Equal(t, [2]int{0, 0}, counts())
		assert.JSONEq(t, `{"redis":"ok"}`, ready())

		store.away.Store(true)
		many()
		time.Sleep(time.Hour)
		many()
		assert.Equal(t, [2]int{1, 0}, counts())
		assert.JSONEq(t, `{"redis":"away"}`, ready())
		for range 10 { // of a cluster, one part
			many()
			store.away.Store(!store.away.Load())
		}
		assert.Equal(t, [2]int{1, 0}, counts())

		store.away.Store(false)
		many()
		time.Sleep(quiet)
		many()
		assert.Equal(t, [2]int{1, 1}, counts())
		assert.JSONEq(t, `{"redis":"ok"}`, ready())
		store.away.Store(true)
		many()
		assert.Equal(t, [2]int{2, 1}, counts(), "the next outage")
	})
}

func TestProbesAreLimitedByNothing(t *testing.T) {
	s, _ := newServer(t, nil, nil)
	for range 2000 {
		require.Equal(t, 200, ask(s, "GET", "/health/ready").StatusCode)
	}
}

func TestWhatIsLeftAfterTheTimeoutIsCut(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	s, log := newServer(t, map[string]string{"SHUTDOWN_TIMEOUT": "100ms"}, func(d *Deps) {
		d.Routes = func(mux *http.ServeMux, _ Parts) (Drain, error) {
			mux.HandleFunc("GET /api/stuck", func(_ http.ResponseWriter, r *http.Request) {
				close(entered)
				<-r.Context().Done()
				close(ended)
			})
			return nil, nil
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /api/stuck HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n\r\n")
	<-entered
	stop()
	require.NoError(t, <-done)
	<-ended
	assert.Contains(t, log.String(), "cut")
}

func TestTheDrainEndsStreamsAndIsWaitedFor(t *testing.T) {
	leave, open := make(chan struct{}), make(chan struct{})
	var order []string
	s, _ := newServer(t, map[string]string{"SHUTDOWN_TIMEOUT": "10s", "DRAIN_DELAY": "200ms"}, func(d *Deps) {
		d.Routes = func(mux *http.ServeMux, p Parts) (Drain, error) {
			require.NotNil(t, p.ChatLimits)
			require.NotNil(t, p.ChatPlaces)
			mux.HandleFunc("GET /api/stream", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(200)
				_ = http.NewResponseController(w).Flush()
				close(open)
				<-leave
				fmt.Fprint(w, "come back")
				time.Sleep(50 * time.Millisecond)
				order = append(order, "the stream has ended")
			})
			return func(ctx context.Context) func() {
				_, bounded := ctx.Deadline()
				assert.True(t, bounded)
				order = append(order, "told")
				close(leave)
				return func() { order = append(order, "waited") }
			}, nil
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET /api/stream HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n\r\n")
	<-open
	began := time.Now()
	stop()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, "come back", body(t, resp))
	assert.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond, "not before the balancer has noticed")
	require.NoError(t, <-done)
	assert.Equal(t, []string{"told", "the stream has ended", "waited"}, order)
}

func TestRoutesThatCannotBeMadeKeepTheServerFromStarting(t *testing.T) {
	c, err := config.Load(func(string) string { return "" })
	require.NoError(t, err)
	_, err = New(Deps{
		Config: c, App: fstest.MapFS{"index.html": {}}, Log: slog.New(slog.DiscardHandler),
		UserID: func(*http.Request) string { return "" },
		Routes: func(*http.ServeMux, Parts) (Drain, error) { return nil, errors.New("no provider") },
	})
	require.ErrorContains(t, err, "no provider")
}
