package correlation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a client or a handler can put into one line, in bytes.
const (
	maxPath    = 1024 // before escaping
	maxValue   = 256  // of a header line, a user, a route
	maxMessage = 1024 // of a panic
	maxLines   = 8    // of one header
	maxKeys    = 32   // of the query
	maxKey     = 64
)

// Outcome is how a request ended, for Config.Level.
type Outcome struct {
	// Status is the status that was written: 200 where the handler wrote none.
	// 0 where the client got no status from us: a hijacked connection, an abort
	// or a panic that is passed on before the header.
	Status int
	// Bytes of the body that net/http took; 0 for HEAD.
	Bytes int64
	// TTFB is the time to the header, 0 where there was none.
	TTFB time.Duration
	// Duration is the time until the handler returned: of a stream, all of it.
	Duration time.Duration
	// Error is what the line calls error.type: one of the Error constants, else
	// the status from 500 on ("503"), else "".
	Error string
	// Slow tells that Duration exceeded SlowAfter and that this is no stream.
	Slow bool
}

// The values of error.type beside the statuses from 500 on.
const (
	// ErrorPanic is a panic of the handler.
	ErrorPanic = "panic"
	// ErrorAborted is http.ErrAbortHandler, which httputil.ReverseProxy panics
	// with when its backend breaks off, or runtime.Goexit.
	ErrorAborted = "aborted"
	// ErrorTimeout is a request whose context passed its deadline before the
	// answer was complete, or a write beyond the server's WriteTimeout.
	ErrorTimeout = "timeout"
	// ErrorClientGone is a request whose context was cancelled before the answer
	// was complete: the client left, or the server is being closed.
	ErrorClientGone = "client_gone"
)

type loggedHeader struct{ name, key string }

func (x *exchange) outcome(c *crash) Outcome {
	o := Outcome{Status: x.w.Status(), Bytes: x.w.Bytes(), TTFB: x.ttfb, Duration: time.Since(x.start)}
	if o.Status == 0 && x.returned && !x.w.Hijacked() {
		o.Status = http.StatusOK
	}
	if x.method == http.MethodHead {
		o.Bytes = 0 // net/http takes them and sends none
	}
	o.Error = x.errorType(c, o)
	after := x.mw.slowAfter
	o.Slow = after > 0 && o.Duration > after && !x.stream && !x.w.Hijacked()
	return o
}

func (x *exchange) errorType(c *crash, o Outcome) string {
	switch {
	case c != nil:
		return ErrorPanic
	case !x.returned:
		return ErrorAborted
	case x.w.Hijacked():
		return ""
	case errors.Is(x.w.Err(), os.ErrDeadlineExceeded):
		return ErrorTimeout
	case x.Err() != nil && !x.complete(o):
		if errors.Is(context.Cause(x.Context), context.DeadlineExceeded) {
			return ErrorTimeout
		}
		return ErrorClientGone
	case o.Status >= 500:
		return strconv.Itoa(o.Status)
	}
	return ""
}

// complete tells whether the client may have had all of the answer before the
// context ended: many close the connection as soon as they have it, while the
// handler still tidies up. They know its end by its Content-Length only.
func (x *exchange) complete(o Outcome) bool {
	if x.gone {
		return false
	}
	if x.method == http.MethodHead || o.Status == http.StatusNoContent || o.Status == http.StatusNotModified {
		return true
	}
	n, err := strconv.ParseInt(x.w.Header().Get("Content-Length"), 10, 64)
	return err == nil && o.Bytes >= n
}

func defaultLevel(o Outcome) slog.Level {
	switch {
	case o.Status >= 500 || o.Error == ErrorPanic:
		return slog.LevelError
	case o.Slow:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// log decides whether there is a line, and writes it.
func (x *exchange) log(c *crash) {
	m, o := x.mw, x.outcome(c)
	level := m.level
	if level == nil {
		level = defaultLevel
	}
	l := level(o)
	now := x.start.Sub(m.base) + o.Duration
	if s := m.flood.take(now); s != nil {
		m.writeSum(s)
	}
	failed := o.Error != "" && o.Error != ErrorClientGone
	switch {
	case o.Status >= 400 && o.Status <= 499 && !failed:
		if !m.flood.admit(o.Status, now) {
			return
		}
	case m.skip != nil && !failed && o.Status < 400 && !o.Slow && m.skip(x.req):
		return
	}
	if h := m.handler(); h.Enabled(x, l) {
		rec := slog.NewRecord(x.start.Add(o.Duration), l, "request", 0)
		x.addAttrs(&rec, o)
		x.addDetails(&rec, c)
		_ = h.Handle(x, rec) // as slog does: there is nowhere to tell
	}
}

func (m *Middleware) handler() slog.Handler {
	if m.logger != nil {
		return m.logger.Handler()
	}
	return slog.Default().Handler()
}

// writeSum writes the line of a flood. It belongs to no request: its context
// has no ID.
func (m *Middleware) writeSum(s *summed) {
	ctx, h := context.Background(), m.handler()
	if !h.Enabled(ctx, slog.LevelWarn) {
		return
	}
	rec := slog.NewRecord(time.Now(), slog.LevelWarn, "requests without a line of their own", 0)
	rec.AddAttrs(slog.Int64("summed", s.total), slog.Int("http.response.status_code", s.commonest()))
	var each []slog.Attr
	for i, n := range s.byStatus {
		if n > 0 && n < s.total {
			each = append(each, slog.Int64(strconv.Itoa(400+i), n))
		}
	}
	rec.AddAttrs(slog.Attr{Key: "summed_by_status", Value: slog.GroupValue(each...)}) // left out where empty
	_ = h.Handle(ctx, rec)
}

// addAttrs fills in what most lines have: one allocation, the record's own.
func (x *exchange) addAttrs(rec *slog.Record, o Outcome) {
	var array [18]slog.Attr
	a := array[:0]
	method, known := knownMethod(x.method)
	a = append(a, slog.String("http.request.method", method))
	if !known {
		a = append(a, slog.String("http.request.method_original", tame(x.method, maxKey)))
	}
	a = append(a, slog.String("url.path", logPath(x.path, x.rawPath)))
	if x.mw.query == QueryKeys && x.rawQuery != "" {
		a = append(a, slog.String("url.query", queryKeys(x.rawQuery)))
	}
	x.mu.Lock()
	route, user := x.route, x.user
	x.mu.Unlock()
	if route == "" {
		route = routeOf(x.req.Pattern)
	}
	a = appendText(a, "http.route", tame(route, maxValue))
	if o.Status != 0 {
		a = append(a, slog.Int("http.response.status_code", o.Status), slog.Int64("http.response.body.size", o.Bytes))
	}
	a = append(a, slog.Float64("duration", o.Duration.Seconds()))
	if o.TTFB != 0 {
		a = append(a, slog.Float64("ttfb", o.TTFB.Seconds()))
	}
	if x.w.Hijacked() {
		a = append(a, slog.Bool("hijacked", true))
	}
	a = appendText(a, "client.address", x.client)
	a = appendText(a, "user.id", tame(user, maxValue))
	a = appendText(a, "error.type", o.Error)
	a = append(a, slog.String(idKey, x.id), slog.String("request_id", x.requestID))
	a = appendText(a, "trace_id", x.traceID)
	a = appendText(a, "span_id", x.spanID)
	rec.AddAttrs(a...)
}

func appendText(a []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return a
	}
	return append(a, slog.String(key, value))
}

// addDetails fills in what was asked for: headers, AddAttrs, and a panic.
func (x *exchange) addDetails(rec *slog.Record, c *crash) {
	for _, h := range x.mw.logHeaders {
		if lines := x.req.Header[h.name]; len(lines) > 0 {
			rec.AddAttrs(slog.Any(h.key, headerLines(h.name, lines)))
		}
	}
	x.mu.Lock()
	attrs := x.attrs
	x.mu.Unlock()
	rec.AddAttrs(attrs...)
	if c != nil {
		rec.AddAttrs(
			slog.String("exception.type", fmt.Sprintf("%T", c.value)),
			slog.String("exception.message", c.message()),
			slog.String("exception.stacktrace", string(c.stack)),
		)
	}
}

// headerLines copies and bounds a header. A Referer's query is another page's,
// and as secret.
func headerLines(name string, lines []string) []string {
	out := make([]string, 0, min(len(lines), maxLines))
	for _, line := range lines[:min(len(lines), maxLines)] {
		if name == "Referer" {
			if i := strings.IndexAny(line, "?#"); i >= 0 {
				line = line[:i]
			}
		}
		out = append(out, tame(line, maxValue))
	}
	return out
}

// knownMethod bounds the values of http.request.method, as OpenTelemetry asks:
// a client may send any token as method.
func knownMethod(method string) (name string, known bool) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY":
		return method, true
	}
	return "_OTHER", false
}

// routeOf takes the path of a ServeMux pattern, "[METHOD ][HOST]/[PATH]".
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

// logPath returns the path as it stands in a URL, percent-encoded: whatever was
// sent, no byte of it is a quote, a control or outside ASCII. It is cut before
// it is encoded, so that a long path costs no more than a short one.
func logPath(path, rawPath string) string {
	cut := ""
	if len(path) > maxPath {
		path, rawPath, cut = path[:maxPath], "", "..."
	}
	u := url.URL{Path: path, RawPath: rawPath}
	return u.EscapedPath() + cut
}

// queryKeys keeps the names of the parameters; see QueryKeys.
func queryKeys(raw string) string {
	var b strings.Builder
	for n := 0; raw != ""; n++ {
		if n > 0 {
			b.WriteByte('&')
		}
		if n == maxKeys {
			b.WriteString("...")
			break
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if key, _, found := strings.Cut(pair, "="); found {
			b.WriteString(tame(key, maxKey))
			b.WriteByte('=')
		}
		b.WriteString("REDACTED")
	}
	return b.String()
}

// tame bounds a value of foreign origin and leaves nothing in it that a
// terminal or a line-based tool would obey: no control bytes, no bidirectional
// overrides, no invalid UTF-8. A slog handler may escape or not.
func tame(s string, limit int) string {
	clean := len(s) <= limit
	for i := 0; clean && i < len(s); i++ {
		clean = ' ' <= s[i] && s[i] <= '~'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		if i >= limit {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(c) {
			c = utf8.RuneError
		}
		b.WriteRune(c)
	}
	return b.String()
}
