package corsx

import (
	"net/http"
	"sync/atomic"

	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// Middleware lets the origins of its Config read answers. Make it with [New]. It
// is safe for concurrent use and must not be copied.
type Middleware struct {
	policy atomic.Pointer[policy]
}

// New checks cfg and returns the middleware, or all mistakes of cfg at once as
// [gatehouse.ConfigError] values.
//
// [gatehouse.ConfigError]: https://pkg.go.dev/github.com/gatehouse-go/gatehouse#ConfigError
func New(cfg Config) (*Middleware, error) {
	m := new(Middleware)
	if err := m.Reconfigure(cfg); err != nil {
		return nil, err
	}
	return m, nil
}

// Reconfigure puts cfg in force for all requests that begin after it returns,
// at once and wholly, while the middleware serves. Where cfg has mistakes it
// returns them, and the Config before it stays in force. Browsers keep what
// they know from preflights for up to MaxAge.
func (m *Middleware) Reconfigure(cfg Config) error {
	p, err := compile(cfg)
	if err != nil {
		return err
	}
	m.policy.Store(p)
	return nil
}

// Decide tells what the middleware makes of a request. It changes nothing,
// tells OnDecision nothing, and does not allocate, except where a name below a
// domain of Subdomains is looked up in the Public Suffix List.
func (m *Middleware) Decide(r *http.Request) Decision {
	return m.policy.Load().decide(r, r.Header["Origin"], true)
}

// forbidden is the answer under Enforce. It says nothing of the request.
var forbidden = problem.New(http.StatusForbidden, "", http.StatusText(http.StatusForbidden),
	"This origin may not call this service.", nil)

// Handler wraps next. Preflights are answered here; the headers of all other
// answers are set before next is called, so that they are on whatever comes of
// it: an error, a redirect, a 405 of the mux.
//
// next must add to Vary, not set it, and leave the Access-Control headers
// alone: where it sets Access-Control-Allow-Origin itself, its own value is
// what browsers see, and where it adds one, they see two and refuse the answer.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("corsx: Handler: next is nil; for the default mux pass http.DefaultServeMux")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := m.policy.Load()
		origin := r.Header["Origin"]
		if len(origin) == 0 { // most requests: nothing to decide
			addVary(w.Header(), p.vary(r, NoOrigin))
			next.ServeHTTP(w, r)
			return
		}
		d := p.decide(r, origin, p.explain)
		if p.onDecision != nil {
			p.onDecision(r, d)
		}
		if p.answer(w, r, d) {
			next.ServeHTTP(w, r)
		}
	})
}

// answer sets the headers of an answer to a request with an Origin, and tells
// whether the handler is to go on with it; otherwise it has been answered.
func (p *policy) answer(w http.ResponseWriter, r *http.Request, d Decision) (goOn bool) {
	h, vary := w.Header(), p.vary(r, d.Reason)
	strip(h)
	switch {
	case d.Reason != Allowed:
		addVary(h, vary)
	case d.Kind == Preflight:
		p.preflight.write(h, vary, d.Origin)
	default:
		p.actual.write(h, vary, d.Origin)
	}
	switch {
	case d.Kind == Preflight && d.Reason == Allowed:
		w.WriteHeader(http.StatusNoContent)
	case d.Kind == Preflight: // browsers look at the status alone: no body
		w.WriteHeader(http.StatusForbidden)
	case p.enforce && (d.Reason == OriginDenied || d.Reason == Malformed):
		forbidden.Write(w, r)
	default:
		return true
	}
	return false
}

// vary returns the request headers that the answer depends on, "" for none.
// They are named whatever the decision was, since a cache must know that
// another request gets another answer (Fetch standard, "CORS protocol and HTTP
// caches"). No answer to OPTIONS may be stored (RFC 9110, section 9.3.7), but
// some CDNs can be told to, and all its answers depend on all three.
func (p *policy) vary(r *http.Request, reason Reason) string {
	switch {
	case r.Method == http.MethodOptions:
		return varyPreflight
	case !p.varies:
		return ""
	case p.enforce && (reason == SameOrigin || reason == OriginDenied):
		return varyEnforced
	}
	return varyActual
}
