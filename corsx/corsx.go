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
	return m.policy.Load().decide(r)
}

// forbidden is the answer under Enforce. It says nothing of the request.
var forbidden = problem.New(http.StatusForbidden, "", "Cross-origin request refused",
	"This origin may not call this service.", nil)

// Handler wraps next. Preflights are answered here; the headers of all other
// answers are set before next is called, so that they are on whatever comes of
// it: an error, a redirect, a 405 of the mux.
//
// next must add to Vary, not set it, and leave the Access-Control headers
// alone: where it sets Access-Control-Allow-Origin itself, its own value is
// what browsers see, and where it adds one, they see two and refuse the answer.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := m.policy.Load()
		d := p.decide(r)
		if p.onDecision != nil && d.Reason != NoOrigin {
			p.onDecision(r, d)
		}
		vary := p.vary(r, d)
		h := w.Header()
		switch d.Kind {
		case Preflight:
			p.answerPreflight(w, vary, d)
			return
		case Actual:
			if d.Reason == Allowed {
				p.actual.write(h, vary, d.Origin)
				break
			}
			strip(h)
			addVary(h, vary)
			if p.enforce && d.Reason != SameOrigin {
				forbidden.Write(w, r)
				return
			}
		default:
			addVary(h, vary)
		}
		next.ServeHTTP(w, r)
	})
}

// answerPreflight answers without a body: browsers look at the status and the
// headers alone.
func (p *policy) answerPreflight(w http.ResponseWriter, vary string, d Decision) {
	h := w.Header()
	if d.Reason != Allowed {
		strip(h)
		addVary(h, vary)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	p.preflight.write(h, vary, d.Origin)
	w.WriteHeader(http.StatusNoContent)
}

// vary returns the request headers that the answer depends on, "" for none.
// They are named whatever the decision was, since a cache must know that
// another request gets another answer (Fetch standard, "CORS protocol and HTTP
// caches"). No answer to OPTIONS may be stored (RFC 9110, section 9.3.7), but
// some CDNs can be told to, and all its answers depend on all three.
func (p *policy) vary(r *http.Request, d Decision) string {
	switch {
	case r.Method == http.MethodOptions:
		return varyPreflight
	case !p.varies:
		return ""
	case p.enforce && (d.Reason == SameOrigin || d.Reason == OriginDenied):
		return varyEnforced
	}
	return varyActual
}
