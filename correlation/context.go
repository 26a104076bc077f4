package correlation

import (
	"context"
	"errors"
	"log/slog"
)

type contextKey struct{}

// Value makes the exchange its own context: one allocation for both.
func (x *exchange) Value(key any) any {
	if key == (contextKey{}) {
		return x
	}
	return x.Context.Value(key)
}

func from(ctx context.Context) *exchange {
	x, _ := ctx.Value(contextKey{}).(*exchange)
	return x
}

// request returns the exchange of a request; nil outside of one, and for a job,
// whose context may live for ever and has no line that anything could be added to.
func request(ctx context.Context) *exchange {
	if x := from(ctx); x != nil && x.mw != nil {
		return x
	}
	return nil
}

// ID returns the correlation ID of the request or job that ctx belongs to, ""
// where there is none. It was checked: it fits the Format.
func ID(ctx context.Context) string {
	if x := from(ctx); x != nil {
		return x.id
	}
	return ""
}

// RequestID returns the ID that this process made for the request, whatever the
// caller sent: two requests that come with the same correlation ID, by a retry
// or by malice, have two of these. It is "" outside a request.
func RequestID(ctx context.Context) string {
	if x := from(ctx); x != nil {
		return x.requestID
	}
	return ""
}

// NewContext returns a context that carries the correlation ID id: for the
// consumer of a queue or a scheduled job, whose lines then belong to the request
// that caused it. An id that is no FormatToken is an error, and then the context
// is ctx itself: what came out of a queue may be as hostile as what comes out of
// a request.
func NewContext(ctx context.Context, id string) (context.Context, error) {
	if !FormatToken.valid(id) {
		return ctx, errors.New("correlation: NewContext: the ID is not 1 to 128 letters, digits, dots, underscores, colons and hyphens")
	}
	return &exchange{Context: ctx, id: id}, nil
}

// AddAttrs adds attributes to the access line of the request that ctx belongs
// to; outside a request it does nothing. It is safe for concurrent use. Keys of
// the line itself come out twice, so choose others; what you add is not redacted.
func AddAttrs(ctx context.Context, attrs ...slog.Attr) {
	if x := request(ctx); x != nil && len(attrs) > 0 {
		x.mu.Lock()
		x.attrs = append(x.attrs, attrs...)
		x.mu.Unlock()
	}
}

// SetUser names the user in the access line, as user.id; the last call counts.
// Use an opaque ID rather than an e-mail address: logs live longer than consent.
// It is safe for concurrent use; outside a request it does nothing.
func SetUser(ctx context.Context, user string) {
	if x := request(ctx); x != nil {
		x.mu.Lock()
		x.user = user
		x.mu.Unlock()
	}
}

// SetRoute names the route in the access line, as http.route, for routers other
// than http.ServeMux: its pattern ("/users/{id}"), never the path. The last call
// counts and goes before r.Pattern. It is safe for concurrent use; outside a
// request it does nothing.
func SetRoute(ctx context.Context, route string) {
	if x := request(ctx); x != nil {
		x.mu.Lock()
		x.route = route
		x.mu.Unlock()
	}
}
