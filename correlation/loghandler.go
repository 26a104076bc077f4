package correlation

import (
	"context"
	"log/slog"
	"slices"
)

// idKey is the attribute of the correlation ID in every line.
const idKey = "correlation_id"

// NewLogHandler wraps a handler so that every record logged with the context of
// a request or job (slog.InfoContext(ctx, ...)) has its correlation_id: at the
// root, however deep the Logger's groups are, and exactly once. A record that
// has one at the root already, or a Logger that has one by With, keeps it.
//
//	slog.SetDefault(slog.New(correlation.NewLogHandler(slog.NewJSONHandler(os.Stdout, nil))))
//
// Do not wrap the handler of slog's initial default Logger: it writes to package
// log, which slog.SetDefault points back to slog.
//
// Groups are kept here and written as group attributes, since a handler that has
// been given WithGroup can reach the root no more. The result is the same to
// every handler that keeps the contract of slog.Handler. The returned handler is
// safe for concurrent use if h is. A nil h is a mistake in the program and
// panics here, at start-up.
func NewLogHandler(h slog.Handler) slog.Handler {
	if h == nil {
		panic("correlation: NewLogHandler: the handler is nil")
	}
	return &logHandler{root: h}
}

// logHandler is immutable.
type logHandler struct {
	root   slog.Handler // has what was given before the first group
	hasID  bool         // of that, one was correlation_id
	groups []group      // open groups, outermost first
}

type group struct {
	name  string
	attrs []slog.Attr // given with With inside it
}

// Enabled asks the wrapped handler.
func (h *logHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.root.Enabled(ctx, l) }

// WithAttrs keeps the attributes in the innermost group.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	n := len(h.groups)
	if n == 0 {
		return &logHandler{root: h.root.WithAttrs(attrs), hasID: h.hasID || slices.ContainsFunc(attrs, isIDAttr)}
	}
	groups := slices.Clone(h.groups)
	groups[n-1].attrs = slices.Concat(groups[n-1].attrs, attrs)
	return &logHandler{root: h.root, hasID: h.hasID, groups: groups}
}

// WithGroup opens a group; an empty name opens none.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	groups := append(slices.Clip(h.groups), group{name: name})
	return &logHandler{root: h.root, hasID: h.hasID, groups: groups}
}

// Handle adds the ID and passes the record on.
func (h *logHandler) Handle(ctx context.Context, rec slog.Record) error {
	id := ""
	if !h.hasID {
		id = ID(ctx)
	}
	switch {
	case len(h.groups) > 0:
		rec = h.nest(rec, id)
	case id != "" && !hasID(rec):
		rec = rec.Clone()
		rec.AddAttrs(slog.String(idKey, id))
	}
	return h.root.Handle(ctx, rec)
}

// nest returns the record with its attributes inside the open groups, and the ID
// outside of them. The access line brings its own ID: it is the one that goes.
func (h *logHandler) nest(rec slog.Record, id string) slog.Record {
	attrs := make([]slog.Attr, 0, rec.NumAttrs())
	rec.Attrs(func(a slog.Attr) bool {
		if id == "" || !isIDAttr(a) || a.Value.Kind() != slog.KindString || a.Value.String() != id {
			attrs = append(attrs, a)
		}
		return true
	})
	for _, g := range slices.Backward(h.groups) {
		attrs = []slog.Attr{{Key: g.name, Value: slog.GroupValue(slices.Concat(g.attrs, attrs)...)}}
	}
	out := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	if id != "" {
		out.AddAttrs(slog.String(idKey, id))
	}
	out.AddAttrs(attrs...)
	return out
}

func hasID(rec slog.Record) bool {
	found := false
	rec.Attrs(func(a slog.Attr) bool {
		found = isIDAttr(a)
		return !found
	})
	return found
}

// isIDAttr tells whether a comes out as correlation_id where it stands; a group
// without a name is inlined.
func isIDAttr(a slog.Attr) bool {
	return a.Key == idKey ||
		a.Key == "" && a.Value.Kind() == slog.KindGroup && slices.ContainsFunc(a.Value.Group(), isIDAttr)
}
