package correlation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/internal/mwtest"
)

// logs collects JSON lines; it may be written to from many goroutines.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines parses what was logged, each line on its own.
func (l *logs) lines(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), "line %q", line)
		out = append(out, m)
	}
	return out
}

// one is the only line.
func (l *logs) one(t testing.TB) map[string]any {
	t.Helper()
	lines := l.lines(t)
	require.Len(t, lines, 1, "log:\n%s", l)
	return lines[0]
}

// wait is for lines that a server writes after the client has its answer.
func (l *logs) wait(t testing.TB, n int) []map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(l.String(), "\n") >= n }, 5*time.Second, time.Millisecond)
	return l.lines(t)
}

func newLogs() (*logs, *slog.Logger) {
	l := &logs{}
	return l, slog.New(correlation.NewLogHandler(slog.NewJSONHandler(l, nil)))
}

// serve sends one request through the middleware and returns answer and line.
func serve(t testing.TB, cfg correlation.Config, r *http.Request, h http.HandlerFunc) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	l, logger := newLogs()
	cfg.Logger = logger
	rec := httptest.NewRecorder()
	build(t, cfg).Handler(h).ServeHTTP(rec, r)
	return rec, l.one(t)
}

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func nothing(http.ResponseWriter, *http.Request) {}

var (
	uuidV4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	hex32  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

func TestTheSuiteOfEveryMiddleware(t *testing.T) {
	mwtest.Run(t, mwtest.Suite{
		New: func(t testing.TB) (mwtest.Middleware, func()) {
			cfg := correlation.Config{
				Logger:     slog.New(slog.NewJSONHandler(io.Discard, nil)),
				LogHeaders: []string{"User-Agent"}, PropagateTo: []string{"api.internal"},
			}
			m := build(t, cfg)
			return m.Handler, func() { cfg.LogHeaders[0], cfg.PropagateTo[0] = "Cookie", "attacker.example" }
		},
	})
}

func TestTheLineHoldsTheseAttributesAndNothingMore(t *testing.T) {
	r := get("/items/42?token=secret")
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Cookie", "session=secret")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.RemoteAddr = "[::ffff:203.0.113.7]:4711"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		correlation.SetUser(r.Context(), "u-17")
		correlation.AddAttrs(r.Context(), slog.Int("items", 3))
		_, _ = io.WriteString(w, "hello")
	})
	rec, line := serve(t, correlation.Config{}, r, mux.ServeHTTP)
	id := rec.Header().Get("X-Correlation-Id")
	assert.Regexp(t, uuidV4, id)
	assert.Regexp(t, uuidV4, line["request_id"])
	assert.NotEqual(t, id, line["request_id"])
	for _, name := range []string{"duration", "ttfb"} {
		assert.Positive(t, line[name], name)
		assert.Less(t, line[name], 5.0, name)
	}
	for _, changing := range []string{"time", "duration", "ttfb", "request_id"} {
		require.Contains(t, line, changing)
		delete(line, changing)
	}
	assert.Equal(t, map[string]any{
		"level": "INFO", "msg": "request",
		"http.request.method": "GET", "url.path": "/items/42", "http.route": "/items/{id}",
		"http.response.status_code": 200.0, "http.response.body.size": 5.0,
		"client.address": "203.0.113.7", "user.id": "u-17", "correlation_id": id, "items": 3.0,
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
	}, line)
}

func TestAnIDIsTakenWholeOrRefusedWhole(t *testing.T) {
	const u, h = "0B9d0d3c-6d0a-4b0e-8f3c-2f8d7a3b1c55", "4bf92f3577b34da6a3ce929d0e0e4736"
	long := strings.Repeat("a", 128)
	for _, c := range []struct {
		name   string
		format correlation.Format
		sent   []string
		taken  bool
	}{
		{"a UUID", correlation.FormatToken, []string{u}, true},
		{"nginx's request_id", correlation.FormatToken, []string{h}, true},
		{"HAProxy's unique-id", correlation.FormatToken, []string{"C0A80101:C5F6_C0A80102:0050_5A0B1C2D_0012:7A01"}, true},
		{"a ULID", correlation.FormatToken, []string{"01ARZ3NDEKTSV4RRFFQ69G5FAV"}, true},
		{"a word", correlation.FormatToken, []string{"abc-123"}, true},
		{"128 characters", correlation.FormatToken, []string{long}, true},
		{"129 characters", correlation.FormatToken, []string{long + "a"}, false},
		{"60 000 characters", correlation.FormatToken, []string{strings.Repeat("a", 60000)}, false},
		{"nothing", correlation.FormatToken, []string{""}, false},
		{"a space", correlation.FormatToken, []string{"a b"}, false},
		{"a trailing space", correlation.FormatToken, []string{"a "}, false},
		{"a comma", correlation.FormatToken, []string{"a,b"}, false},
		{"a semicolon", correlation.FormatToken, []string{"a;b"}, false},
		{"a slash", correlation.FormatToken, []string{"a/b"}, false},
		{"base64", correlation.FormatToken, []string{"YWJj+/=="}, false},
		{"markup", correlation.FormatToken, []string{"<script>"}, false},
		{"a quote", correlation.FormatToken, []string{`a"b`}, false},
		{"a backslash", correlation.FormatToken, []string{`a\b`}, false},
		{"a line break", correlation.FormatToken, []string{"a\r\nX-Evil: 1"}, false},
		{"an escape sequence", correlation.FormatToken, []string{"\x1b[31m"}, false},
		{"NUL", correlation.FormatToken, []string{"a\x00"}, false},
		{"DEL", correlation.FormatToken, []string{"a\x7f"}, false},
		{"a letter outside ASCII", correlation.FormatToken, []string{"é"}, false},
		{"invalid UTF-8", correlation.FormatToken, []string{"\xff"}, false},
		{"two lines", correlation.FormatToken, []string{"a", "b"}, false},
		{"two equal lines", correlation.FormatToken, []string{"a", "a"}, false},
		{"a UUID as UUID", correlation.FormatUUID, []string{u}, true},
		{"a word as UUID", correlation.FormatUUID, []string{"abc-123"}, false},
		{"a URN as UUID", correlation.FormatUUID, []string{"urn:uuid:" + u}, false},
		{"braces as UUID", correlation.FormatUUID, []string{"{" + u + "}"}, false},
		{"no hyphens as UUID", correlation.FormatUUID, []string{h}, false},
		{"a hyphen displaced", correlation.FormatUUID, []string{"0B9d0d3c6-d0a-4b0e-8f3c-2f8d7a3b1c55"}, false},
		{"a g in a UUID", correlation.FormatUUID, []string{"gB9d0d3c-6d0a-4b0e-8f3c-2f8d7a3b1c55"}, false},
		{"32 digits as hex", correlation.FormatHex32, []string{h}, true},
		{"upper case as hex", correlation.FormatHex32, []string{strings.ToUpper(h)}, true},
		{"31 digits as hex", correlation.FormatHex32, []string{h[1:]}, false},
		{"a UUID as hex", correlation.FormatHex32, []string{u}, false},
		{"an @ as hex", correlation.FormatHex32, []string{"@" + h[1:]}, false},
		{"a backquote as hex", correlation.FormatHex32, []string{"`" + h[1:]}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get("/")
			r.Header["X-Correlation-Id"] = c.sent
			inside, below, header := "", "", []string(nil)
			rec, line := serve(t, correlation.Config{Format: c.format}, r, func(_ http.ResponseWriter, r *http.Request) {
				inside, below, header = correlation.ID(r.Context()), correlation.RequestID(r.Context()), r.Header["X-Correlation-Id"]
			})
			made := uuidV4
			if c.format == correlation.FormatHex32 {
				made = hex32
			}
			if c.taken {
				assert.Equal(t, c.sent[0], inside)
				assert.Equal(t, c.sent, header)
			} else {
				assert.Regexp(t, made, inside)
				assert.Nil(t, header, "the raw value must go nowhere")
				assert.Equal(t, c.sent, r.Header["X-Correlation-Id"], "the request belongs to the layer outside")
			}
			assert.Equal(t, []string{inside}, rec.Header()["X-Correlation-Id"])
			assert.Equal(t, inside, line["correlation_id"])
			assert.Regexp(t, made, below)
			assert.Equal(t, below, line["request_id"])
			assert.NotEqual(t, inside, below)
		})
	}
}

func TestTrustDecidesAboutIDAndTrace(t *testing.T) {
	const tp = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, trusted := range []bool{true, false} {
		asked := 0
		cfg := correlation.Config{Trust: func(*http.Request) bool { asked++; return trusted }}
		r := get("/")
		r.Header.Set("X-Correlation-ID", "abc")
		r.Header.Set("Traceparent", tp)
		_, line := serve(t, cfg, r, func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, trusted, r.Header.Get("X-Correlation-ID") == "abc")
		})
		assert.Equal(t, trusted, line["correlation_id"] == "abc")
		assert.Equal(t, trusted, line["trace_id"] != nil)
		assert.Equal(t, 1, asked)

		r = get("/")
		r.Header.Set("Traceparent", tp)
		_, line = serve(t, cfg, r, nothing)
		assert.Equal(t, trusted, line["trace_id"] != nil)

		asked = 0
		r = get("/")
		r.Header.Set("X-Correlation-ID", "not a token")
		serve(t, cfg, r, nothing)
		assert.Zero(t, asked, "there is nothing to trust")
	}
}

func TestGenerate(t *testing.T) {
	_, line := serve(t, correlation.Config{Generate: correlation.NewV7}, get("/"), nothing)
	assert.Regexp(t, uuidV7, line["correlation_id"])
	assert.Regexp(t, uuidV4, line["request_id"], "the request ID is always our own")

	calls := 0
	broken := func() string {
		if calls++; calls > 1 {
			return "no token\n"
		}
		return "fine"
	}
	rec, _ := serve(t, correlation.Config{Generate: broken}, get("/"), nothing)
	assert.Regexp(t, uuidV4, rec.Header().Get("X-Correlation-ID"), "a generator that breaks later gives way")
}

func TestIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	h := build(t, correlation.Config{Logger: slog.New(slog.DiscardHandler)}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, id := range []string{correlation.ID(r.Context()), correlation.RequestID(r.Context()), correlation.NewV7()} {
			assert.False(t, seen[id])
			seen[id] = true
		}
	}))
	for range 1000 {
		h.ServeHTTP(httptest.NewRecorder(), get("/"))
	}
}

func TestTheIDOfTheAnswerIsTheLoggedOne(t *testing.T) {
	for name, tamper := range map[string]func(http.Header){
		"added to, as a reverse proxy does": func(h http.Header) { h.Add("X-Correlation-ID", "the backend's") },
		"replaced":                          func(h http.Header) { h.Set("X-Correlation-ID", "another") },
		"deleted":                           func(h http.Header) { h.Del("X-Correlation-ID") },
		"written into":                      func(h http.Header) { h["X-Correlation-Id"][0] = "another" },
	} {
		for _, write := range []bool{true, false} {
			rec, line := serve(t, correlation.Config{}, get("/"), func(w http.ResponseWriter, _ *http.Request) {
				tamper(w.Header())
				if write {
					w.WriteHeader(http.StatusOK)
				}
			})
			assert.Equal(t, []string{line["correlation_id"].(string)}, rec.Header()["X-Correlation-Id"], name)
		}
	}
}

func TestARequestHasOneIDAndOneLineHoweverManyMiddlewareThereAre(t *testing.T) {
	l, logger := newLogs()
	outer, inner := build(t, correlation.Config{Logger: logger}), build(t, correlation.Config{Logger: logger, Header: "X-Request-ID"})
	rec := httptest.NewRecorder()
	outer.Handler(inner.Handler(http.HandlerFunc(nothing))).ServeHTTP(rec, get("/"))
	assert.Equal(t, rec.Header().Get("X-Correlation-ID"), l.one(t)["correlation_id"])
	assert.NotContains(t, rec.Header(), "X-Request-Id")
}

func TestAJobsContextIsNoRequest(t *testing.T) {
	ctx, err := correlation.NewContext(t.Context(), "job-1")
	require.NoError(t, err)
	assert.Equal(t, "job-1", correlation.ID(ctx))
	assert.Empty(t, correlation.RequestID(ctx))
	correlation.SetUser(ctx, "x")
	correlation.SetRoute(ctx, "x")
	correlation.AddAttrs(ctx, slog.Int("x", 1))
	many := make([]slog.Attr, 1<<10)
	assert.Zero(t, testing.AllocsPerRun(1, func() { correlation.AddAttrs(ctx, many...) }), "a worker's context must not grow")
	// As the base context of a server it does not hide the requests' own IDs.
	_, line := serve(t, correlation.Config{}, get("/").WithContext(ctx), nothing)
	assert.Regexp(t, uuidV4, line["correlation_id"])

	for _, bad := range []string{"", "a b", "a\n", strings.Repeat("a", 129)} {
		same, err := correlation.NewContext(ctx, bad)
		require.Error(t, err)
		assert.Equal(t, ctx, same)
	}
}

func TestANilNextIsAPanicAtStartUp(t *testing.T) {
	m := build(t, correlation.Config{})
	assert.PanicsWithValue(t, "correlation: Handler: next is nil; for the default mux pass http.DefaultServeMux", func() { m.Handler(nil) })
}

func TestOutsideARequestThereIsNothing(t *testing.T) {
	ctx := t.Context()
	assert.Empty(t, correlation.ID(ctx))
	assert.Empty(t, correlation.RequestID(ctx))
	correlation.SetUser(ctx, "x")
	correlation.SetRoute(ctx, "x")
	correlation.AddAttrs(ctx, slog.Int("x", 1))
}

func TestHandlersGoroutinesMayAddToTheLine(t *testing.T) {
	_, line := serve(t, correlation.Config{}, get("/"), func(_ http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				correlation.AddAttrs(r.Context(), slog.Int("n", 1))
				correlation.SetUser(r.Context(), "u")
				correlation.SetRoute(r.Context(), "/r")
				_ = correlation.ID(r.Context())
			})
		}
		wg.Wait()
	})
	assert.Equal(t, "u", line["user.id"])
	assert.Equal(t, "/r", line["http.route"])
}

func TestMistakesComeAllAtOnce(t *testing.T) {
	_, err := correlation.New(correlation.Config{
		Header: "a b", Format: 9, SlowAfter: -1, ClientErrorLines: -1, Query: 9, Panics: 9,
		LogHeaders:  []string{"Cookie", "b\n", "Accept", "accept"},
		PropagateTo: []string{"*.internal", "a.internal", "A.internal."},
	})
	var fields []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var ce *gatehouse.ConfigError
		require.ErrorAs(t, e, &ce)
		assert.Equal(t, "correlation", ce.Package)
		fields = append(fields, ce.Field)
	}
	assert.Equal(t, []string{
		"Header", "Format", "SlowAfter", "ClientErrorLines", "Query", "Panics",
		"LogHeaders[0]", "LogHeaders[1]", "LogHeaders[3]", "PropagateTo[0]", "PropagateTo[2]",
	}, fields)
	_, err = correlation.New(correlation.Config{Format: correlation.FormatUUID, Generate: func() string { return "abc" }})
	require.ErrorContains(t, err, "Generate")
}

func TestHeadersThatCarryCredentialsAreNeverLogged(t *testing.T) {
	for _, name := range []string{
		"Authorization", "authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Api-Key", "ApiKey",
		"X-Auth-Token", "X-Auth-Request-Access-Token", "X-Auth-User", "X-Amz-Security-Token", "X-Csrf-Token", "X-Xsrf-Token",
		"X-Goog-Iap-Jwt-Assertion", "Cf-Access-Jwt-Assertion", "X-Forwarded-Client-Cert", "X-Amzn-Oidc-Data", "X-Vault-Token",
		"X-Hub-Signature-256", "Stripe-Signature", "X-Session-Id", "X-Secret", "X-Password", "Ocp-Apim-Subscription-Key",
		"Private-Token", "Dpop", "X-Correlation-Id",
	} {
		_, err := correlation.New(correlation.Config{LogHeaders: []string{name}})
		var ce *gatehouse.ConfigError
		require.ErrorAs(t, err, &ce, name)
		assert.Equal(t, "LogHeaders[0]", ce.Field)
	}
	_, err := correlation.New(correlation.Config{LogHeaders: []string{"User-Agent", "Referer", "Accept-Language", "X-Forwarded-For", "Origin", "Content-Type"}})
	require.NoError(t, err)
}

func TestTheIDsHeaderHasNoMeaningOfItsOwn(t *testing.T) {
	for _, name := range []string{"Set-Cookie", "Content-Length", "location", "Transfer-Encoding", "Authorization", "Vary", "Access-Control-Allow-Origin", "Traceparent", "X:Y", "ä", "Content-Security-Policy"} {
		_, err := correlation.New(correlation.Config{Header: name})
		require.Error(t, err, name)
	}
	for _, name := range []string{"X-Request-ID", "x-correlation-id", "Request-Id", "X-Amzn-Trace-Id", "Fly-Request-Id", "Cf-Ray"} {
		_, err := correlation.New(correlation.Config{Header: name})
		require.NoError(t, err, name)
	}
}

func TestTheClientsAddress(t *testing.T) {
	for remote, want := range map[string]any{
		"203.0.113.7:4711": "203.0.113.7", "[2001:db8::1]:4711": "2001:db8::1", "[fe80::1%eth0]:80": "fe80::1",
		"[::ffff:203.0.113.7]:80": "203.0.113.7", "203.0.113.7": "203.0.113.7", "@": nil, "": nil, "/run/app.sock": nil,
	} {
		r := get("/")
		r.RemoteAddr = remote
		_, line := serve(t, correlation.Config{}, r, nothing)
		assert.Equal(t, want, line["client.address"], remote)
	}
	_, line := serve(t, correlation.Config{ClientIP: func(*http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.1") }}, get("/"), nothing)
	assert.Equal(t, "198.51.100.1", line["client.address"])
}

func TestTheLoggerMayBeSlogsDefaultOfTheMoment(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	m := build(t, correlation.Config{})
	l, logger := newLogs()
	slog.SetDefault(logger)
	m.Handler(http.HandlerFunc(nothing)).ServeHTTP(httptest.NewRecorder(), get("/"))
	l.one(t)
}

var errBoom = errors.New("boom")

func TestAContextDerivedFromOursNeedsNoGoroutine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	serve(t, correlation.Config{}, get("/").WithContext(ctx), func(_ http.ResponseWriter, r *http.Request) {
		before := runtime.NumGoroutine()
		for range 100 {
			derived, stop := context.WithCancel(r.Context())
			defer stop()
			defer func() { assert.ErrorIs(t, derived.Err(), context.Canceled) }()
		}
		assert.Less(t, runtime.NumGoroutine(), before+50)
		cancel()
	})
}
