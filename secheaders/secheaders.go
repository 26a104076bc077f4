package secheaders

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Middleware sets the headers of its Config on every answer. It is immutable and
// safe for concurrent use.
type Middleware struct {
	cfg   Config // filled; With begins from it
	https func(*http.Request) bool
	plain *set // for answers over HTTP
	tls   *set // for answers over HTTPS
	// outer are the headers that the Middlewares this one was derived from may
	// have set; nonceOuter tells that one of them has a nonce policy.
	outer      []string
	nonceOuter bool
}

// New compiles the Config. It returns every mistake at once, joined, each a
// *[gatehouse.ConfigError]. The zero Config is the secure default.
func New(c Config) (*Middleware, error) { return build(c.filled(), nil, false) }

// With derives a Middleware for some routes: edit gets a copy of the Config with
// the defaults written out, so CSP, HSTS and Permissions are never nil there.
//
//	popup, err := headers.With(func(c *secheaders.Config) {
//		c.COOP = secheaders.COOPSameOriginAllowPopups
//	})
//	mux.Handle("/login", popup.Handler(login))
//
// The result may stand inside the original or any Middleware derived from it:
// its set then replaces the outer one's, and headers that only the outer one has
// are removed.
func (m *Middleware) With(edit func(*Config)) (*Middleware, error) {
	if edit == nil {
		return nil, &gatehouse.ConfigError{Package: pkg, Field: "With", Reason: "edit is nil; pass a function that changes the Config"}
	}
	c := m.cfg.filled()
	edit(&c)
	return build(c.filled(), slices.Concat(family, m.outer, m.plain.names, m.tls.names), m.nonceOuter || m.nonce())
}

// family are the headers that any Middleware of a family may set, and that are
// nobody else's: an inner variant removes those that it does not set.
var family = []string{
	"Strict-Transport-Security", "Content-Security-Policy", "Content-Security-Policy-Report-Only",
	"X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy",
	"Cross-Origin-Opener-Policy", "Cross-Origin-Opener-Policy-Report-Only",
	"Cross-Origin-Embedder-Policy", "Cross-Origin-Embedder-Policy-Report-Only",
	"Cross-Origin-Resource-Policy", "Integrity-Policy", "Integrity-Policy-Report-Only",
	"Reporting-Endpoints", "Clear-Site-Data", "Origin-Agent-Cluster",
	"X-Permitted-Cross-Domain-Policies", "X-Xss-Protection",
}

func build(c Config, outer []string, nonceOuter bool) (*Middleware, error) {
	l := mistakes.In(pkg)
	c.check(l)
	if err := l.Err(); err != nil {
		return nil, err
	}
	return &Middleware{
		cfg: c, https: c.HTTPS,
		plain: compile(c.fields(false), outer), tls: compile(c.fields(true), outer),
		outer: outer, nonceOuter: nonceOuter,
	}, nil
}

// set is a compiled list of headers.
type set struct {
	names  []string
	ends   []int    // names[i] has the values up to ends[i]
	values []string // of all names, in turn
	drop   []string // names that an outer set may have and this one has not
	nonces []nonced // values that hold a nonce
}

func compile(fields []field, outer []string) *set {
	s := &set{}
	for _, f := range fields {
		for _, v := range f.values {
			if strings.HasPrefix(f.name, "Content-Security-Policy") && strings.Contains(v, noncePlace) {
				s.nonces = append(s.nonces, nonced{name: f.name, at: len(s.values), parts: strings.Split(v, noncePlace)})
			}
			s.values = append(s.values, v)
		}
		s.names = append(s.names, f.name)
		s.ends = append(s.ends, len(s.values))
	}
	for _, name := range outer {
		if !slices.Contains(s.names, name) && !slices.Contains(s.drop, name) {
			s.drop = append(s.drop, name)
		}
	}
	return s
}

// fresh copies the values: the one allocation. No response ever shares a slice
// with another, since a handler may write into what it finds in its headers.
func (s *set) fresh() []string {
	v := make([]string, len(s.values))
	copy(v, s.values)
	return v
}

// assign puts v, from fresh, under the names. The capacity of each slice is cut
// to its length, so that a handler's Add cannot write into the next one. What
// outer layers have set under these names is replaced.
func (s *set) assign(h http.Header, v []string) {
	for _, name := range s.drop {
		delete(h, name)
	}
	begin := 0
	for i, name := range s.names {
		end := s.ends[i]
		h[name] = v[begin:end:end]
		begin = end
	}
}

func (m *Middleware) set(r *http.Request) *set {
	if m.https(r) {
		return m.tls
	}
	return m.plain
}

// Handler sets the headers and calls next. What next sets itself wins; what outer
// layers have set under the same names is replaced. A Config without NonceSource
// costs one allocation, and the ResponseWriter stays what it is.
//
// The headers stand in the map before next runs, so every answer has them: errors,
// redirects, 304, an answer that an outer layer gives after a panic, and 103 Early
// Hints as well as the final answer. A hijacked connection carries none.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("secheaders: Handler: the next handler is nil")
	}
	switch {
	case m.nonce():
		return m.nonceHandler(next)
	case m.nonceOuter:
		next = withoutNonce(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := m.set(r)
		s.assign(w.Header(), s.fresh())
		next.ServeHTTP(w, r)
	})
}

// nonce tells whether any header needs one.
func (m *Middleware) nonce() bool { return len(m.tls.nonces) > 0 }

// Describe is the set that a plain GET over HTTPS gets, for golden tests and
// start-up logs. A nonce stands as 'nonce-{nonce}', with the Cache-Control that
// comes with it. The caller may change the result.
func (m *Middleware) Describe() http.Header {
	h := http.Header{}
	m.tls.assign(h, m.tls.fresh())
	if _, ok := h["Cache-Control"]; m.nonce() && !ok {
		h["Cache-Control"] = []string{"no-store"}
	}
	return h
}
