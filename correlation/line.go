package correlation

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

type loggedHeader struct{ name, key string }

// log writes the line, where there is to be one.
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
	if !x.wanted(o, now) {
		return
	}
	if h := m.handler(); h.Enabled(x, l) {
		rec := slog.NewRecord(x.start.Add(o.Duration), l, "request", 0)
		x.fill(&rec, o, c)
		_ = h.Handle(x, rec) // as slog does: there is nowhere to tell
	}
}

// wanted tells whether the request gets a line of its own: not where it is one
// of a flood, nor where Skip may and does leave it out. A client that left is no
// failure, or no stream could be skipped.
func (x *exchange) wanted(o Outcome, now time.Duration) bool {
	switch failed := o.Error != "" && o.Error != ErrorClientGone; {
	case failed || o.Status >= 500:
		return true
	case o.Status >= 400:
		return x.mw.flood.admit(o.Status, now)
	}
	return x.mw.skip == nil || o.Slow || !x.mw.skip(x.req)
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

// fill adds the attributes: first those of every line, in one piece, so that the
// record allocates once, then those that were asked for.
func (x *exchange) fill(rec *slog.Record, o Outcome, c *crash) {
	x.mu.Lock()
	route, user, added := x.route, x.user, x.attrs
	x.mu.Unlock()
	if route == "" {
		route = routeOf(x.req.Pattern)
	}
	var array [18]slog.Attr
	// The ID goes first: NewLogHandler then finds it at once.
	a := append(array[:0], slog.String(idKey, x.id), slog.String("request_id", x.requestID))
	a = x.requestAttrs(a)
	a = appendText(a, "http.route", tame(route, maxValue))
	a = x.answerAttrs(a, o)
	a = appendText(a, "client.address", x.client)
	a = appendText(a, "user.id", tame(user, maxValue))
	a = appendText(a, "error.type", o.Error)
	a = appendText(a, "trace_id", x.traceID)
	a = appendText(a, "span_id", x.spanID)
	rec.AddAttrs(a...)

	for _, h := range x.mw.logHeaders {
		if lines := x.req.Header[h.name]; len(lines) > 0 {
			rec.AddAttrs(slog.Any(h.key, headerLines(h.name, lines)))
		}
	}
	rec.AddAttrs(added...)
	if c != nil {
		rec.AddAttrs(
			slog.String("exception.type", fmt.Sprintf("%T", c.value)),
			slog.String("exception.message", c.message()),
			slog.String("exception.stacktrace", string(c.stack)),
		)
	}
}

func (x *exchange) requestAttrs(a []slog.Attr) []slog.Attr {
	method, known := knownMethod(x.method)
	a = append(a, slog.String("http.request.method", method))
	if !known {
		a = append(a, slog.String("http.request.method_original", tame(x.method, maxKey)))
	}
	a = append(a, slog.String("url.path", logPath(x.path, x.rawPath)))
	if x.mw.query == QueryKeys && x.rawQuery != "" {
		a = append(a, slog.String("url.query", queryKeys(x.rawQuery)))
	}
	return a
}

func (x *exchange) answerAttrs(a []slog.Attr, o Outcome) []slog.Attr {
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
	return a
}

func appendText(a []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return a
	}
	return append(a, slog.String(key, value))
}
