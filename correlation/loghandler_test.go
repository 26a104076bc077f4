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
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/correlation"
)

// inside lets slogtest, which knows no request, log from within one.
type inside struct {
	slog.Handler
	ctx context.Context
}

func (h inside) Handle(_ context.Context, r slog.Record) error { return h.Handler.Handle(h.ctx, r) }
func (h inside) WithAttrs(a []slog.Attr) slog.Handler          { return inside{h.Handler.WithAttrs(a), h.ctx} }

func (h inside) WithGroup(g string) slog.Handler { return inside{h.Handler.WithGroup(g), h.ctx} }

func job(t testing.TB, id string) context.Context {
	t.Helper()
	ctx, err := correlation.NewContext(context.Background(), id)
	require.NoError(t, err)
	return ctx
}

func TestTheLogHandlerIsASlogHandler(t *testing.T) {
	for name, ctx := range map[string]context.Context{"outside a request": t.Context(), "inside one": job(t, "abc")} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			slogtest.Run(t, func(*testing.T) slog.Handler {
				b.Reset()
				return inside{correlation.NewLogHandler(slog.NewJSONHandler(&b, nil)), ctx}
			}, func(t *testing.T) map[string]any {
				var m map[string]any
				require.NoError(t, json.Unmarshal(b.Bytes(), &m))
				if name == "inside one" {
					require.Equal(t, "abc", m["correlation_id"], "%s", b.String())
				} else {
					require.NotContains(t, b.String(), "correlation_id")
				}
				return m
			})
		})
	}
}

func TestTheIDStandsAtTheRootExactlyOnce(t *testing.T) {
	id := slog.String("correlation_id", "own")
	for _, c := range []struct {
		name string
		with func(*slog.Logger) *slog.Logger
		args []any
		want string
	}{
		{"plain", func(l *slog.Logger) *slog.Logger { return l }, []any{"a", 1}, `"a":1,"correlation_id":"abc"`},
		{"no attributes", func(l *slog.Logger) *slog.Logger { return l }, nil, `"correlation_id":"abc"`},
		{"With", func(l *slog.Logger) *slog.Logger { return l.With("w", 1) }, []any{"a", 1}, `"w":1,"a":1,"correlation_id":"abc"`},
		{"a group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") }, []any{"a", 1}, `"correlation_id":"abc","g":{"a":1}`},
		{"an empty group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") }, nil, `"correlation_id":"abc"`},
		{"groups and With in turn", func(l *slog.Logger) *slog.Logger {
			return l.With("w", 0).WithGroup("g").With("x", 1).With("y", 2).WithGroup("h").WithGroup("i").With("z", 3)
		}, []any{"a", 1}, `"w":0,"correlation_id":"abc","g":{"x":1,"y":2,"h":{"i":{"z":3,"a":1}}}`},
		{"a nameless group", func(l *slog.Logger) *slog.Logger { return slog.New(l.Handler().WithGroup("").WithAttrs(nil)) }, []any{"a", 1}, `"a":1,"correlation_id":"abc"`},
		{"the record has one", func(l *slog.Logger) *slog.Logger { return l }, []any{id, "a", 1}, `"correlation_id":"own","a":1`},
		{"the record has one in a group without a name", func(l *slog.Logger) *slog.Logger { return l }, []any{slog.Group("", id)}, `"correlation_id":"own"`},
		{"the Logger has one", func(l *slog.Logger) *slog.Logger { return l.With(id) }, []any{"a", 1}, `"correlation_id":"own","a":1`},
		{"the Logger has one, then another attribute", func(l *slog.Logger) *slog.Logger { return l.With(id).With("w", 1) }, []any{"a", 1}, `"correlation_id":"own","w":1,"a":1`},
		{"the Logger has one, then a group", func(l *slog.Logger) *slog.Logger { return l.With(id).WithGroup("g") }, []any{"a", 1}, `"correlation_id":"own","g":{"a":1}`},
		{"another one inside a group", func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") }, []any{id}, `"correlation_id":"abc","g":{"correlation_id":"own"}`},
		{"wrapped twice", func(l *slog.Logger) *slog.Logger { return slog.New(correlation.NewLogHandler(l.Handler())) }, []any{"a", 1}, `"a":1,"correlation_id":"abc"`},
		{"wrapped twice with a group between", func(l *slog.Logger) *slog.Logger {
			return slog.New(correlation.NewLogHandler(inside{l.Handler(), job(t, "abc")})).WithGroup("g")
		}, []any{"a", 1}, `"correlation_id":"abc","g":{"a":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			json := slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && (a.Key == "time" || a.Key == "level" || a.Key == "msg") {
					return slog.Attr{}
				}
				return a
			}})
			c.with(slog.New(correlation.NewLogHandler(json))).InfoContext(job(t, "abc"), "m", c.args...)
			assert.Equal(t, "{"+c.want+"}\n", b.String())
		})
	}
}

func TestLoggersDoNotShareTheirGroups(t *testing.T) {
	l, logger := newLogs()
	base := logger.WithGroup("g").With("a", 1)
	first, second := base.With("b", 1).WithGroup("h"), base.With("b", 2)
	first.Info("m", "c", 1)
	second.Info("m", "c", 2)
	base.WithGroup("i").Info("m", "d", 3)
	lines := l.lines(t)
	assert.Equal(t, map[string]any{"a": 1.0, "b": 1.0, "h": map[string]any{"c": 1.0}}, lines[0]["g"])
	assert.Equal(t, map[string]any{"a": 1.0, "b": 2.0, "c": 2.0}, lines[1]["g"])
	assert.Equal(t, map[string]any{"a": 1.0, "i": map[string]any{"d": 3.0}}, lines[2]["g"])
}

func TestLoggersDoNotShareTheSpareRoomOfASlice(t *testing.T) {
	l, logger := newLogs()
	attrs := logger.WithGroup("g").With("a", 1).With("b", 2).With("c", 3)
	first, second := attrs.With("d", "first"), attrs.With("d", "second")
	first.Info("m")
	second.Info("m")
	groups := logger.WithGroup("a").WithGroup("b").WithGroup("c")
	first, second = groups.WithGroup("first"), groups.WithGroup("second")
	first.Info("m", "x", 1)
	second.Info("m", "x", 1)
	all := strings.Split(l.String(), "\n")
	for i, want := range []string{"first", "second", "first", "second"} {
		assert.Contains(t, all[i], want)
	}
}

func TestTheAccessLineHasTheIDOnceWhateverItsLogger(t *testing.T) {
	for name, logger := range map[string]func(io.Writer) *slog.Logger{
		"plain":            func(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) },
		"plain in a group": func(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)).WithGroup("http") },
		"wrapped": func(w io.Writer) *slog.Logger {
			return slog.New(correlation.NewLogHandler(slog.NewJSONHandler(w, nil)))
		},
		"wrapped, with a service": func(w io.Writer) *slog.Logger {
			return slog.New(correlation.NewLogHandler(slog.NewJSONHandler(w, nil))).With("service", "api")
		},
		"wrapped, in a group": func(w io.Writer) *slog.Logger {
			return slog.New(correlation.NewLogHandler(slog.NewJSONHandler(w, nil))).WithGroup("http").With("a", 1)
		},
		"wrapped below another handler, in a group": func(w io.Writer) *slog.Logger {
			return slog.New(passing{correlation.NewLogHandler(slog.NewJSONHandler(w, nil))}).WithGroup("http")
		},
	} {
		l := &logs{}
		rec := httptest.NewRecorder()
		build(t, correlation.Config{Logger: logger(l)}).Handler(http.HandlerFunc(nothing)).ServeHTTP(rec, get("/"))
		line := l.one(t)
		assert.Equal(t, 1, strings.Count(l.String(), `"correlation_id"`), "%s: %s", name, l)
		if strings.HasPrefix(name, "wrapped") {
			assert.Equal(t, rec.Header().Get("X-Correlation-ID"), line["correlation_id"], name)
		}
	}
}

// passing is a foreign handler around ours.
type passing struct{ slog.Handler }

func (p passing) WithAttrs(a []slog.Attr) slog.Handler { return passing{p.Handler.WithAttrs(a)} }
func (p passing) WithGroup(g string) slog.Handler      { return passing{p.Handler.WithGroup(g)} }

func TestTheHandlersErrorComesBack(t *testing.T) {
	h := correlation.NewLogHandler(slog.NewJSONHandler(failing{}, nil))
	require.ErrorIs(t, h.Handle(t.Context(), slog.Record{}), errBoom)
	assert.False(t, h.Enabled(t.Context(), slog.LevelDebug))
	assert.Panics(t, func() { correlation.NewLogHandler(nil) })
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.Join(errBoom) }

func TestARecordIsNotChangedForOtherHandlers(t *testing.T) {
	l := &logs{}
	h := correlation.NewLogHandler(slog.NewJSONHandler(l, nil))
	var r slog.Record
	for i := range 8 { // more than a record holds without a slice
		r.AddAttrs(slog.Int(string(rune('a'+i)), i))
	}
	require.NoError(t, h.Handle(job(t, "one"), r))
	require.NoError(t, h.Handle(job(t, "two"), r))
	assert.Equal(t, 8, r.NumAttrs())
	lines := l.lines(t)
	assert.Equal(t, "one", lines[0]["correlation_id"])
	assert.Equal(t, "two", lines[1]["correlation_id"])
	assert.NotContains(t, l.String(), "!BUG")
}
