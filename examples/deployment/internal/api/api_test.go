package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/api"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
)

// newAPI is the API on a real SQLite database, with two users. A request says in
// X-User whose it is; the tests of package auth prove who may.
func newAPI(t *testing.T) (call func(user, method, path, body string) (int, http.Header, map[string]any)) {
	t.Helper()
	db, err := data.Open(t.Context(), config.Database{Driver: "sqlite", DSN: filepath.Join(t.TempDir(), "app.db")})
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.NoError(t, db.Migrate(t.Context()))
	users := map[string]data.User{}
	for _, name := range []string{"ada", "alan"} {
		users[name], err = db.UpsertUser(t.Context(), data.Identity{Issuer: "test", Subject: name, Email: name + "@example.com", Name: name})
		require.NoError(t, err)
	}
	mux := http.NewServeMux()
	api.Register(mux, db, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, ok := users[r.Header.Get("X-User")]; ok {
				r = r.WithContext(auth.WithUser(r.Context(), u))
			}
			r.Body = http.MaxBytesReader(w, r.Body, 1<<18)
			next.ServeHTTP(w, r)
		})
	})
	mux.Handle("/api/", problems.Fallback(mux))
	return func(user, method, path, body string) (int, http.Header, map[string]any) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-User", user)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		var v map[string]any
		if w.Body.Len() > 0 {
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v), w.Body.String())
		}
		return w.Code, w.Header(), v
	}
}

func TestThreadsAndMessagesLiveThroughTheirWholeLife(t *testing.T) {
	call := newAPI(t)
	status, _, me := call("ada", "GET", "/api/me", "")
	require.Equal(t, 200, status)
	assert.Equal(t, "ada@example.com", me["email"])

	status, h, thread := call("ada", "POST", "/api/threads", `{"title":"First"}`)
	require.Equal(t, 201, status)
	assert.Equal(t, "no-store", h.Get("Cache-Control"))
	path := "/api/threads/" + thread["id"].(string)
	assert.Equal(t, path, h.Get("Location"))

	status, _, got := call("ada", "PATCH", path, `{"title":"Renamed"}`)
	require.Equal(t, 200, status)
	assert.Equal(t, "Renamed", got["title"])

	status, _, message := call("ada", "POST", path+"/messages", `{"content":"Hello \u00e9"}`)
	require.Equal(t, 201, status)
	assert.Equal(t, "user", message["role"], "a client cannot write in another's role")
	mid := path + "/messages/" + message["id"].(string)
	status, _, got = call("ada", "PATCH", mid, `{"content":"Edited"}`)
	require.Equal(t, 200, status)
	assert.Equal(t, "Edited", got["content"])

	_, _, list := call("ada", "GET", path+"/messages", "")
	assert.Len(t, list["messages"], 1)
	status, _, _ = call("ada", "DELETE", mid, "")
	require.Equal(t, 204, status)
	status, _, _ = call("ada", "DELETE", path, "")
	require.Equal(t, 204, status)
	status, _, _ = call("ada", "GET", path, "")
	require.Equal(t, 404, status)
}

func TestAnothersThreadDoesNotExist(t *testing.T) {
	call := newAPI(t)
	_, _, thread := call("ada", "POST", "/api/threads", `{"title":"Private"}`)
	path := "/api/threads/" + thread["id"].(string)
	_, _, message := call("ada", "POST", path+"/messages", `{"content":"secret"}`)
	mid := path + "/messages/" + message["id"].(string)
	for _, c := range []struct{ method, path, body string }{
		{"GET", path, ""},
		{"PATCH", path, `{"title":"Mine"}`},
		{"DELETE", path, ""},
		{"GET", path + "/messages", ""},
		{"POST", path + "/messages", `{"content":"x"}`},
		{"PATCH", mid, `{"content":"x"}`},
		{"DELETE", mid, ""},
	} {
		status, _, body := call("alan", c.method, c.path, c.body)
		assert.Equal(t, 404, status, "%s %s", c.method, c.path)
		assert.NotContains(t, body, "id")
	}
	_, _, list := call("alan", "GET", "/api/threads", "")
	assert.Empty(t, list["threads"])
	status, _, got := call("ada", "GET", path, "")
	require.Equal(t, 200, status)
	assert.Equal(t, "Private", got["title"])
}

func TestListsComeInPages(t *testing.T) {
	call := newAPI(t)
	for range 5 {
		call("ada", "POST", "/api/threads", `{"title":"t"}`)
	}
	seen := map[any]bool{}
	path := "/api/threads?limit=2"
	for range 4 {
		status, _, page := call("ada", "GET", path, "")
		require.Equal(t, 200, status)
		for _, thread := range page["threads"].([]any) {
			id := thread.(map[string]any)["id"]
			assert.False(t, seen[id])
			seen[id] = true
		}
		next, more := page["next"].(string)
		if !more {
			break
		}
		path = "/api/threads?limit=2&before=" + next
	}
	assert.Len(t, seen, 5)
}

// TestAPageOfLongMessagesIsShort: who does not read an answer has the server keep it.
func TestAPageOfLongMessagesIsShort(t *testing.T) {
	call := newAPI(t)
	_, _, thread := call("ada", "POST", "/api/threads", `{"title":"long"}`)
	path := "/api/threads/" + thread["id"].(string) + "/messages"
	for range 12 {
		status, _, _ := call("ada", "POST", path, `{"content":"`+strings.Repeat("<", api.MaxContent)+`"}`)
		require.Equal(t, 201, status)
	}
	var sizes []int
	for query := "?limit=100"; ; {
		_, _, page := call("ada", "GET", path+query, "")
		sizes = append(sizes, len(page["messages"].([]any)))
		next, more := page["next"].(string)
		if !more {
			break
		}
		query = "?limit=100&after=" + next
	}
	assert.Equal(t, []int{5, 5, 2}, sizes)
}

func TestProblemsAreJSONAndSayWhatToDo(t *testing.T) {
	call := newAPI(t)
	_, _, thread := call("ada", "POST", "/api/threads", `{"title":"t"}`)
	path := "/api/threads/" + thread["id"].(string)
	tests := []struct {
		name, user, method, path, body string
		status                         int
		header, value                  string
	}{
		{"nobody", "", "GET", "/api/me", "", 401, "Www-Authenticate", `Bearer realm="api"`},
		{"an unknown path", "ada", "GET", "/api/none", "", 404, "", ""},
		{"an id that is none", "ada", "GET", "/api/threads/1%27%20OR%201=1", "", 404, "", ""},
		{"another method", "ada", "PUT", "/api/threads", "", 405, "Allow", "GET, HEAD, POST"},
		{"another method of one thread", "ada", "POST", path, "", 405, "Allow", "GET, HEAD, PATCH, DELETE"},
		{"no JSON", "ada", "POST", "/api/threads", "{", 400, "", ""},
		{"an array", "ada", "POST", "/api/threads", "[]", 400, "", ""},
		{"two objects", "ada", "POST", "/api/threads", `{"title":"a"} {"title":"b"}`, 400, "", ""},
		{"another field", "ada", "POST", "/api/threads", `{"titel":"x"}`, 400, "", ""},
		{"a field too many", "ada", "POST", "/api/threads", `{"title":"x","user_id":"y"}`, 400, "", ""},
		{"an empty title", "ada", "POST", "/api/threads", `{"title":"  "}`, 400, "", ""},
		{"a long title", "ada", "POST", "/api/threads", `{"title":"` + strings.Repeat("x", 201) + `"}`, 400, "", ""},
		{"a NUL", "ada", "POST", "/api/threads", `{"title":"a\u0000b"}`, 400, "", ""},
		{"a huge body", "ada", "POST", "/api/threads", `{"title":"` + strings.Repeat("x", 1<<19) + `"}`, 413, "", ""},
		{"a bad limit", "ada", "GET", "/api/threads?limit=1000", "", 400, "", ""},
		{"a bad cursor", "ada", "GET", "/api/threads?before=x", "", 400, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, h, body := call(tt.user, tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, status)
			assert.Equal(t, "application/problem+json", h.Get("Content-Type"))
			assert.EqualValues(t, tt.status, body["status"])
			if tt.header != "" {
				assert.Equal(t, tt.value, h.Get(tt.header))
			}
		})
	}
}

func TestAFormCannotPost(t *testing.T) {
	mux := http.NewServeMux()
	api.Register(mux, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(auth.WithUser(r.Context(), data.User{ID: "x"})))
		})
	})
	r := httptest.NewRequest("POST", "/api/threads", strings.NewReader(`{"title":"x"}`))
	r.Header.Set("Content-Type", "text/plain") // what a form of another site can send
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	assert.Equal(t, 415, w.Code)
}

func TestABodyIsOneWholeObject(t *testing.T) {
	ends := io.MultiReader(strings.NewReader(`{"title":"x"}`), iotest.ErrReader(io.ErrUnexpectedEOF))
	for name, body := range map[string]io.Reader{
		"a brace more": strings.NewReader(`{"title":"x"}}`), "a bracket": strings.NewReader(`{"title":"x"} ]`),
		"an object more": strings.NewReader(`{"title":"x"}{}`), "garbage": strings.NewReader(`{"title":"x"} \x00`),
		"a connection that broke": ends,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/threads", body)
		r.Header.Set("Content-Type", "application/json")
		_, err := api.Text(r, "title", 10)
		require.Error(t, err, name)
		w := httptest.NewRecorder()
		api.Fail(w, r, err)
		assert.Equal(t, 400, w.Code, name)
	}
}

// TestAClientThatLeftIsNoErrorInTheLog: anybody could fill the log with them.
func TestAClientThatLeftIsNoErrorInTheLog(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "POST", "/api/threads", nil)
	cancel()
	api.Fail(httptest.NewRecorder(), r, fmt.Errorf("data: %w", ctx.Err()))
	assert.Empty(t, log.String())
}

// broken is a database of which every question fails.
type broken struct {
	api.Data
	err error
}

func (b broken) Threads(context.Context, string, string, int) ([]data.Thread, error) {
	return nil, b.err
}

func TestADatabaseThatIsAwayIs503AndAnyOtherFaultTellsNothing(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{context.DeadlineExceeded, 503},
		{errors.New("syntax error near 'secret'"), 500},
	} {
		mux := http.NewServeMux()
		api.Register(mux, broken{err: tt.err}, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(auth.WithUser(r.Context(), data.User{ID: "x"})))
			})
		})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/api/threads", nil))
		assert.Equal(t, tt.status, w.Code)
		assert.Equal(t, tt.status == 503, w.Header().Get("Retry-After") != "")
		body, err := io.ReadAll(w.Body)
		require.NoError(t, err)
		assert.NotContains(t, string(body), "secret")
	}
}
