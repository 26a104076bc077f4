package chat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

type object = map[string]any

// A script is a provider.
type script func(ctx context.Context, req ai.Request, emit func(string) error) (ai.Result, error)

func (script) Name() string { return "script" }

func (s script) Stream(ctx context.Context, req ai.Request, emit func(string) error) (ai.Result, error) {
	return s(ctx, req, emit)
}

// counts is a provider that says "0 1 2 ..." with a pause before each, and costs
// ten tokens and one for each word.
func counts(n int, pause time.Duration) script {
	return func(ctx context.Context, _ ai.Request, emit func(string) error) (ai.Result, error) {
		result := ai.Result{Provider: "p", Model: "m", StopReason: ai.StopEnd, Usage: ai.Usage{Input: 10}}
		for i := range n {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return result, context.Cause(ctx)
			}
			if err := emit(string(rune('a'+i%26)) + " "); err != nil {
				return result, err
			}
			result.Usage.Output++
		}
		return result, nil
	}
}

// said is the text of counts.
func said(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(string(rune('a'+i%26)) + " ")
	}
	return b.String()
}

// fails is a provider that says something first, or nothing.
func fails(text string, after time.Duration, err error) script {
	return func(ctx context.Context, _ ai.Request, emit func(string) error) (ai.Result, error) {
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return ai.Result{}, context.Cause(ctx)
		}
		if text != "" {
			if err := emit(text); err != nil {
				return ai.Result{}, err
			}
		}
		return ai.Result{Provider: "p", Model: "m"}, err
	}
}

// A world is a database, a store of limits, and users; replicas are added to it.
type world struct {
	t     *testing.T
	db    *data.DB
	store *ratelimit.Memory
	users map[string]data.User
	log   *syncBuffer

	requests, tokens string // limits
	concurrent       int
}

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

// newWorld works within synctest: SQLite runs in this process.
func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := data.Open(t.Context(), config.Database{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "app.db")})
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.NoError(t, db.Migrate(t.Context()))
	return newWorldOn(t, db)
}

func newWorldOn(t *testing.T, db *data.DB) *world {
	store, err := ratelimit.NewMemory(ratelimit.MemoryConfig{})
	require.NoError(t, err)
	w := &world{
		t: t, db: db, store: store, users: map[string]data.User{}, log: &syncBuffer{},
		// The budget hardly refills while a test runs.
		requests: "10/minute", tokens: "10000/year", concurrent: 2,
	}
	for _, name := range []string{"ada", "alan"} {
		w.users[name], err = db.UpsertUser(t.Context(), data.Identity{Issuer: "test", Subject: name})
		require.NoError(t, err)
	}
	return w
}

// A replica is one process.
type replica struct {
	*world
	*Hub
	mux *http.ServeMux
}

const budgetTokens = 10_000

func (w *world) replica(provider ai.Provider, edits ...func(*Config)) *replica {
	w.t.Helper()
	limits, err := ratelimit.Parse(w.requests)
	require.NoError(w.t, err)
	tokens, err := ratelimit.Parse(w.tokens)
	require.NoError(w.t, err)
	c := config.Config{RateAI: limits, RateAITokens: tokens, AI: config.AI{Concurrent: w.concurrent}}
	user := func(r *http.Request) string { return r.Header.Get("X-User") }
	asked, err := ratelimit.New(ratelimit.Config{Rules: LimitRules(c, user), Store: w.store})
	require.NoError(w.t, err)
	places, err := ratelimit.New(ratelimit.Config{Rules: PlaceRules(c, user), Store: w.store})
	require.NoError(w.t, err)
	hc := Config{
		Data: w.db, Provider: provider, Limits: asked, Places: places, MaxTokens: 1000, Budget: tokens[0].Requests,
		StreamMax: 4 * time.Minute, Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, edit := range edits {
		edit(&hc)
	}
	r := &replica{world: w, Hub: New(hc), mux: http.NewServeMux()}
	r.Register(r.mux, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if u, ok := w.users[req.Header.Get("X-User")]; ok {
				req = req.WithContext(auth.WithUser(req.Context(), u))
			}
			next.ServeHTTP(rw, req)
		})
	})
	return r
}

func (w *world) thread(user string) string {
	thread, err := w.db.CreateThread(w.t.Context(), w.users[user].ID, "t")
	require.NoError(w.t, err)
	return thread.ID
}

func (w *world) messages(user, thread string) []data.Message {
	all, err := w.db.Messages(w.t.Context(), w.users[user].ID, thread, "", 100)
	require.NoError(w.t, err)
	return all
}

// left is what the user's bucket of a rule holds.
func (r *replica) left(rule, user string) int64 {
	m := r.Limits
	if rule == rulePlaces || rule == ruleReaders {
		m = r.Places
	}
	states, err := m.Peek(r.t.Context(), rule, ratelimit.KeyOf(user))
	require.NoError(r.t, err)
	return states[0].Remaining
}

// An event is one of a stream.
type event struct {
	name, id string
	data     object
}

// A response is one that is being read: the fields of http.ResponseWriter that
// streams need, without a network.
type response struct {
	t      *testing.T
	header http.Header
	status int
	begun  chan struct{} // closed with the status
	r      *bufio.Reader
	w      *io.PipeWriter
	leave  context.CancelFunc
	over   chan struct{} // closed when the handler has returned

	mu       sync.Mutex
	deadline time.Time // of writing
	pings    int
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		close(r.begun)
	}
}

func (r *response) Write(p []byte) (int, error) {
	r.WriteHeader(200)
	r.mu.Lock()
	left := time.Until(r.deadline)
	r.mu.Unlock()
	if left < writeTimeout-time.Second {
		r.t.Errorf("a write with %v left", left)
	}
	return r.w.Write(p)
}

func (r *response) FlushError() error { return nil }

func (r *response) SetWriteDeadline(at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = at
	return nil
}

// send serves a request; body "" is none.
func (r *replica) send(user, method, path, body string, header ...string) *response {
	ctx, leave := context.WithCancel(r.t.Context())
	req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	req.Header.Set("X-User", user)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	pr, pw := io.Pipe()
	resp := &response{
		t: r.t, header: http.Header{}, begun: make(chan struct{}), over: make(chan struct{}),
		r: bufio.NewReader(pr), w: pw, leave: leave, deadline: time.Now().Add(time.Minute),
	}
	go func() {
		<-ctx.Done() // a connection that is gone fails what is written to it
		pr.CloseWithError(context.Canceled)
	}()
	go func() {
		defer leave()
		defer pw.Close()
		defer close(resp.over)
		defer resp.WriteHeader(200)
		r.mux.ServeHTTP(resp, req)
	}()
	return resp
}

func (r *replica) ask(user, thread, content string, header ...string) *response {
	body, err := json.Marshal(object{"content": content})
	require.NoError(r.t, err)
	return r.send(user, "POST", "/api/threads/"+thread+"/chat", string(body), header...)
}

func (r *replica) attachTo(user, thread, id string, header ...string) *response {
	return r.send(user, "GET", "/api/threads/"+thread+"/messages/"+id+"/stream", "", header...)
}

// next reads one event; false at the end.
func (r *response) next() (e event, ok bool) {
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return e, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == ": ping\n":
			r.mu.Lock()
			r.pings++
			r.mu.Unlock()
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			require.NoError(r.t, json.Unmarshal([]byte(value), &e.data), value)
		case field == "" && e.name != "":
			return e, true
		case field == "" || field == "retry":
		default:
			r.t.Errorf("a line %q", line)
		}
	}
}

// hello reads the first event and returns the answer's ID.
func (r *response) hello() string {
	<-r.begun
	require.Equal(r.t, 200, r.status)
	e, ok := r.next()
	require.True(r.t, ok)
	require.Equal(r.t, "message", e.name)
	m, _ := e.data["message"].(object)
	require.Empty(r.t, m["content"])
	id, _ := m["id"].(string)
	return id
}

// rest reads to the end: the text, the last ID, the last event.
func (r *response) rest() (text, id string, last event) {
	for {
		e, ok := r.next()
		if !ok {
			return text, id, last
		}
		if last = e; e.name == "delta" {
			piece, _ := e.data["text"].(string)
			text, id = text+piece, e.id
		}
	}
}

// body reads an answer that is no stream.
func (r *response) body() object {
	<-r.begun
	b, _ := io.ReadAll(r.r)
	var v object
	if len(b) > 0 {
		require.NoError(r.t, json.Unmarshal(b, &v), string(b))
	}
	return v
}

// drain ends the replica, and with it everything that the test has begun.
func (r *replica) drain(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	r.Drain(ctx)()
}
