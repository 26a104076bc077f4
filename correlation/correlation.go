package correlation

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/problem"
	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// Middleware gives every request its ID and its line. Make it with [New]. It is
// safe for concurrent use and must not be copied.
type Middleware struct {
	header     string // canonical
	format     Format
	trust      func(*http.Request) bool
	generate   func() string                  // nil: built in
	logger     *slog.Logger                   // nil: slog.Default()
	clientIP   func(*http.Request) netip.Addr // nil: the peer
	level      func(Outcome) slog.Level       // nil: built in
	skip       func(*http.Request) bool
	slowAfter  time.Duration
	query      QueryPolicy
	logHeaders []loggedHeader
	panics     PanicMode
	hosts      map[destination]bool

	base  time.Time // what flood's times count from
	flood flood
}

// New checks cfg and compiles it. All mistakes come back at once, as
// *gatehouse.ConfigError under errors.Join.
func New(cfg Config) (*Middleware, error) {
	m, err := compile(cfg)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Handler wraps next: it gives the request an ID, sets it on the answer before
// next runs, and writes the access line when next has ended. A Middleware inside
// another one of this package passes requests through: a request has one ID and
// one line, those of the outermost.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("correlation: Handler: next is nil; for the default mux pass http.DefaultServeMux")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if request(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		x := m.exchange(w, r)
		defer x.end()
		x.begin(r)
		next.ServeHTTP(x.w.View(), &x.inner)
		x.returned = true
	})
}

// Flush writes the line of the 4xx answers that are still only counted. Call it
// when the server has shut down; the sum of any second but the last is written
// by the requests that follow.
func (m *Middleware) Flush() {
	if s := m.flood.take(1<<63 - 1); s != nil {
		m.writeSum(s)
	}
}

// exchange is one request and its answer: the ResponseWriter, the request and
// the context that next gets, and what the line will say. All of it is one
// allocation; the string of the IDs is another.
type exchange struct {
	context.Context // of the request as it came
	mw              *Middleware
	w               respwriter.Writer
	req             *http.Request // as it came
	inner           http.Request  // the copy that next gets

	id, requestID, client string
	traceID, spanID       string
	// What of the request is logged: a handler may change the URL in place.
	method, path, rawPath, rawQuery string

	idLine   [1]string // the response header's value
	start    time.Time
	ttfb     time.Duration
	gone     bool // the context had ended before the header was written
	stream   bool
	returned bool // next came back: no panic, no runtime.Goexit

	mu          sync.Mutex // next may have goroutines
	user, route string
	attrs       []slog.Attr
}

func (m *Middleware) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Context: r.Context(), mw: m, req: r, method: r.Method, start: time.Now()}
	if u := r.URL; u != nil {
		x.path, x.rawPath, x.rawQuery = u.Path, u.RawPath, u.RawQuery
	}
	x.w.Init(w, x)
	return x
}

// begin runs under end, since the functions of the Config may panic too.
func (x *exchange) begin(r *http.Request) {
	m := x.mw
	x.identify(r)
	x.setHeader()
	x.inner = *r.WithContext(x) // inlined: the copy in between stays on the stack
	if v, sent := r.Header[m.header]; sent && (len(v) != 1 || v[0] != x.id) {
		// A refused value goes nowhere, so not to a reverse proxy's backend either.
		// The map is copied because r belongs to the layer outside.
		x.inner.Header = maps.Clone(r.Header)
		delete(x.inner.Header, m.header)
	}
}

// setHeader puts the ID on the answer, from an array of this request alone.
func (x *exchange) setHeader() {
	x.idLine[0] = x.id
	x.w.Header()[x.mw.header] = x.idLine[:]
}

// Commit runs right before the header goes out. The ID is set again: a reverse
// proxy adds its backend's to ours.
func (x *exchange) Commit(int) {
	x.ttfb = time.Since(x.start)
	x.gone = x.Err() != nil
	x.setHeader()
	if x.mw.slowAfter > 0 {
		x.stream = isEventStream(x.w.Header()["Content-Type"])
	}
}

func isEventStream(contentType []string) bool {
	const sse = "text/event-stream"
	return len(contentType) > 0 && len(contentType[0]) >= len(sse) && strings.EqualFold(contentType[0][:len(sse)], sse)
}

// end is deferred: it ends panics, and writes the line in every case.
func (x *exchange) end() {
	v := recover()
	if x.requestID == "" { // a function of the Config panicked
		x.requestID = string(x.mw.format.append(nil, randomUUID()))
		x.id = cmp.Or(x.id, x.requestID)
	}
	// The mux and ParseMultipartForm wrote to our copy. Layers outside want the
	// route; net/http removes the upload's temporary files by its own request.
	if p := x.inner.Pattern; p != "" {
		x.req.Pattern = p
	}
	if f := x.inner.MultipartForm; f != nil {
		x.req.MultipartForm = f
	}
	var c *crash
	if v != nil && v != http.ErrAbortHandler {
		c = &crash{value: v, stack: debug.Stack()}
		if x.mw.panics == PanicsTo500 {
			v = x.answerPanic()
		}
	}
	if x.returned && x.w.Status() == 0 && !x.w.Hijacked() {
		x.Commit(http.StatusOK) // what net/http does for a handler that wrote nothing
	}
	x.log(c)
	if v != nil {
		panic(v)
	}
}

// crash is a panic that was no http.ErrAbortHandler.
type crash struct {
	value any
	stack []byte
}

func (c *crash) message() string { return tame(fmt.Sprint(c.value), maxMessage) }

// internalError is the whole answer to a panic; what happened is in the log.
var internalError = problem.New(http.StatusInternalServerError, "", "Internal Server Error", "", nil)

// answerPanic answers 500 where nothing was sent. Otherwise the answer is broken
// and must look so: what it returns is to be panicked.
func (x *exchange) answerPanic() any {
	if x.w.Status() != 0 || x.w.Hijacked() {
		return http.ErrAbortHandler
	}
	h := x.w.Header()
	for name := range h {
		// Cookies of a failed login, where its success would have led, caching
		// rules for the page that never came (RFC 9213: also those for a CDN).
		// problem drops the entity headers.
		switch {
		case name == "Set-Cookie", name == "Location", name == "Refresh", name == "Surrogate-Control",
			strings.HasSuffix(name, "Cache-Control"):
			delete(h, name)
		}
	}
	internalError.Write(&x.w, x.req)
	return nil
}
