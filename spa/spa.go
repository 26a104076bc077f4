package spa

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Middleware serves one app. It is safe for concurrent use and must not be
// copied.
type Middleware struct {
	opts  *options
	built atomic.Pointer[build] // replaced only in Dev
}

// New indexes the build and checks the Config. The error joins every mistake of
// the Config, as *gatehouse.ConfigError, and everything in the build that makes
// the app fail, as [*BuildError].
//
// New reads every file once, to hash it, and compresses what came uncompressed:
// a second for some ten MB. Meanwhile it holds all files up to 1 MiB at once, whatever
// MaxMemory says.
func New(c Config) (*Middleware, error) {
	bad := mistakes.In("spa")
	o := compile(c, bad)
	if o.FS == nil {
		return nil, bad.Err()
	}
	b, errs := newBuild(o)
	for _, err := range errs {
		bad.Append(err)
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	m := &Middleware{opts: o}
	m.built.Store(b)
	for _, w := range b.warnings {
		o.log(slog.LevelWarn, w.Error())
	}
	if o.Dev {
		o.log(slog.LevelWarn, "spa: Dev is on: the whole build is read again on every request; not for production")
	}
	return m, nil
}

func (o *options) log(level slog.Level, msg string, args ...any) {
	if o.Logger != nil {
		o.Logger.Log(context.Background(), level, msg, args...)
	}
}

// Warnings returns what works but will hurt, found by New: an engine that comes
// from another host, no <base> before relative references, missing icons. A
// fresh slice.
func (m *Middleware) Warnings() []*BuildError {
	return append([]*BuildError(nil), m.built.Load().warnings...)
}

// current is the build to answer from.
func (m *Middleware) current() *build {
	if m.opts.Dev {
		b, errs := newBuild(m.opts)
		if len(errs) == 0 {
			m.built.Store(b)
			return b
		}
		for _, err := range errs {
			m.opts.log(slog.LevelError, err.Error())
		}
	}
	return m.built.Load()
}

// place says what the app has at a URL path.
type place int

const (
	foreign place = iota // not the app's: outside of Prefix, or excluded
	missing              // a file that is not there, or a hostile path
	route                // a client-side route, if the request is a navigation
	found                // a file
)

// find decides from the path alone. It looks names up in the index and never
// in the file system.
func (o *options) find(b *build, r *http.Request) (*file, place) {
	p := r.URL.Path
	if p == "" {
		p = "/" // "GET http://host" (RFC 9110, section 4.2.3)
	}
	if r.URL.RawPath != "" && hidesSlash(r.URL.RawPath) {
		return nil, missing
	}
	if f := b.files[p]; f != nil {
		return f, found
	}
	rel, below := strings.CutPrefix(p, o.Prefix)
	switch {
	case !below || o.excluded(p):
		return nil, foreign
	case !o.isRoute(rel):
		return nil, missing
	}
	return b.index, route
}

// navigates tells whether the request gets the page where it has no file.
func (o *options) navigates(r *http.Request) bool {
	if o.Navigate != nil {
		return o.Navigate(r)
	}
	return isNavigation(r)
}

// router is a handler that can tell its routes, as *http.ServeMux can.
type router interface {
	http.Handler
	Handler(*http.Request) (http.Handler, string)
}

// Handler returns a handler that serves the app and calls next for all else.
//
// Where next has a method Handler(*http.Request) (http.Handler, string), as
// *http.ServeMux does, a route of next always wins: the app answers only where
// none is registered and next's own answer would be 404, never instead of its
// 405. What the app then has no answer for, next answers: /api/ and the other
// excluded paths, and other methods than GET and HEAD. A missing file is the
// app's 404.
//
//	mux.HandleFunc("GET /api/ping", ping)
//	http.ListenAndServe(addr, app.Handler(mux))
//
// Any other next cannot be asked. Then a file of the build and a navigation are
// the app's, and everything else, a missing file too, is next's: give the mux
// itself, and put other middleware around the whole.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("spa: Handler: next is nil; a Middleware without anything beside it is a handler itself")
	}
	routes, _ := next.(router)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		b := m.current()
		f, at := m.opts.find(b, r)
		switch {
		case at == foreign, routes != nil && answers(routes, r):
			next.ServeHTTP(w, r)
		case at == found:
			m.serve(w, r, f, f.vary)
		case at == route && m.opts.navigates(r):
			m.serve(w, r, f, f.pageVary)
		case routes != nil:
			notFound(w, r)
		default:
			if at == route { // the same URL has another answer for a navigation
				navigationVary.set(w.Header(), []string{navigationVary.line})
			}
			next.ServeHTTP(w, r)
		}
	})
}

// ServeHTTP serves the app and nothing else, for mux.Handle("/", app): what it
// does not have is 404, and other methods than GET and HEAD are 405 with Allow.
//
// A mux with a handler for "/" sends it every request without a route, also one
// whose path has a route for another method: where the mux alone would answer
// GET with 405, the app, which cannot know of that route, answers with the page,
// or with 404 below Exclude. Prefer Handler(mux), which asks the mux.
func (m *Middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := m.current()
	f, at := m.opts.find(b, r)
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case at != found && at != route:
		notFound(w, r)
	case !reads:
		w.Header()["Allow"] = []string{"GET, HEAD"}
		refusals[http.StatusMethodNotAllowed].write(w, r, vary{})
	case at == found:
		m.serve(w, r, f, f.vary)
	case m.opts.navigates(r):
		m.serve(w, r, f, f.pageVary)
	default:
		notFound(w, r)
	}
}

// answers tells whether next has an answer of its own for the request: a route,
// or a 405. A ServeMux gives both its 404 and its 405 with an empty pattern, so
// its handler for these is asked, with a writer that goes nowhere, unless it is
// net/http's own for 404.
func answers(next router, r *http.Request) bool {
	h, pattern := next.Handler(r)
	if pattern != "" {
		return true
	}
	if h == nil {
		return false
	}
	if f, ok := h.(http.HandlerFunc); ok && reflect.ValueOf(f).Pointer() == plainNotFound {
		return false
	}
	probe := statusProbe{header: http.Header{}}
	h.ServeHTTP(&probe, r)
	return probe.status == http.StatusMethodNotAllowed
}

var plainNotFound = reflect.ValueOf(http.NotFoundHandler()).Pointer()

// statusProbe keeps the status of an answer and drops the rest.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header { return p.header }

func (p *statusProbe) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return len(b), nil
}

func (p *statusProbe) WriteHeader(status int) {
	if p.status == 0 && status >= 200 {
		p.status = status
	}
}
