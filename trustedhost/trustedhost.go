package trustedhost

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// Middleware refuses requests for hosts that are not on its list. Make it with
// New. It is safe for concurrent use and must not be copied.
type Middleware struct {
	table    atomic.Pointer[table]
	aliases  map[Host]Host
	exempt   exemption
	allow    func(context.Context, string) bool
	host     func(*http.Request) string
	https    func(*http.Request) bool
	onReject func(http.ResponseWriter, *http.Request, *RejectError)

	redirectHTTPS bool
}

// New checks and compiles the Config. The error holds every mistake, each a
// *gatehouse.ConfigError.
func New(c Config) (*Middleware, error) {
	bad := mistakes.In("trustedhost")
	m := &Middleware{
		aliases: c.aliases(bad), exempt: c.exemption(bad),
		allow: c.Allow, host: c.Host, https: c.HTTPS, onReject: c.OnReject,
		redirectHTTPS: c.RedirectHTTPS,
	}
	if m.https == nil {
		m.https = func(r *http.Request) bool { return r.TLS != nil }
	}
	if err := m.setHosts(bad, c.Hosts); err != nil {
		return nil, err
	}
	return m, nil
}

// SetHosts replaces the whole of Config.Hosts while serving: each request sees
// either the old list or the new one. A list with a mistake, or one without the
// target of a redirect, is refused as by New and changes nothing.
func (m *Middleware) SetHosts(hosts []string) error {
	return m.setHosts(mistakes.In("trustedhost"), hosts)
}

func (m *Middleware) setHosts(bad *mistakes.List, hosts []string) error {
	if len(hosts) == 0 && m.allow == nil {
		bad.Add("Hosts", "", "is empty, so that every request would be refused; list the hosts of this server, or set Allow")
	}
	t := compile(bad, hosts, m.aliases)
	if t != nil && t.all && m.redirectHTTPS {
		bad.Add("RedirectHTTPS", "", `cannot be used with "*" in Hosts, where the client would choose where the redirect leads; list the hosts`)
	}
	if err := bad.Err(); err != nil {
		return err
	}
	m.table.Store(t)
	return nil
}

// Handler lets requests for listed hosts through to next and answers all
// others. An accepted request costs no allocation; next gets the request
// unchanged, except where Config.Host is set.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("trustedhost: Handler: next is nil; for the default mux pass http.DefaultServeMux")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch do, what := m.judge(r); do {
		case pass:
			next.ServeHTTP(w, r)
		case passAs:
			serveAs(next, w, r, what)
		case redirect:
			writeRedirect(w, what)
		case reject:
			m.reject(w, r, Reason(what))
		}
	})
}

// Check tells what Handler would make of a request, without an answer: nil, or
// a *RejectError with the reason. A request that would be redirected is not
// rejected.
func (m *Middleware) Check(r *http.Request) error {
	if do, reason := m.judge(r); do == reject {
		return &RejectError{Reason: Reason(reason)}
	}
	return nil
}

// Allowed tells whether a host, perhaps with a port, is one of this server's:
// well-formed, and in Hosts, an alias in Redirects, or let in by Allow (which
// is given context.Background). It is for hosts that are no request's own, such
// as that of a return URL.
func (m *Middleware) Allowed(host string) bool {
	var a hostport.Authority
	if a.Parse(host) != nil {
		return false
	}
	alias, ok := m.table.Load().match(&a)
	return ok || alias != nil || m.ask(context.Background(), &a)
}

// A verdict is what is to be done with a request.
type verdict uint8

const (
	pass     verdict = iota // as it is
	passAs                  // with this host
	redirect                // to this location
	reject                  // for this reason
)

// judge goes from cheap to dear: first the bytes of the list, then the parsed
// host, last what the application is asked.
func (m *Middleware) judge(r *http.Request) (do verdict, what string) {
	t := m.table.Load()
	host, one := r.Host, hasOneHost(r)
	if m.host != nil {
		host = m.host(r)
	} else if one && !m.redirectHTTPS && t.listed(host) {
		return pass, ""
	}
	if !one {
		if reason := agree(r); reason != "" {
			return reject, string(reason)
		}
	}
	if host == "" {
		if !r.ProtoAtLeast(1, 1) && m.exempt.covers(r) {
			return pass, ""
		}
		return reject, string(Missing)
	}
	var a hostport.Authority
	if a.Parse(host) != nil {
		return reject, string(Malformed)
	}
	return m.decide(t, r, &a)
}

// decide judges a well-formed host.
func (m *Middleware) decide(t *table, r *http.Request, a *hostport.Authority) (do verdict, what string) {
	alias, ok := t.match(a)
	upgrade := m.redirectHTTPS && !m.https(r)
	if r.Method == http.MethodConnect {
		alias, upgrade = nil, false // a tunnel is not redirected
	}
	switch {
	case ok && alias == nil && !upgrade, m.exempt.covers(r):
	case alias != nil:
		return redirect, m.location(r, *alias, a)
	case !ok && !m.ask(r.Context(), a):
		return reject, string(NotAllowed)
	case upgrade:
		return redirect, m.location(r, normalise(*a), a)
	}
	if m.host == nil {
		return pass, ""
	}
	return passAs, normalise(*a).String()
}

// ask asks Config.Allow.
func (m *Middleware) ask(ctx context.Context, a *hostport.Authority) bool {
	return m.allow != nil && a.Name != "" && !a.Underscore && m.allow(ctx, normalise(*a).Name)
}

// answer is all that a refused client learns: nothing of what it sent, and not
// which check it failed.
var answer = problem.New(http.StatusBadRequest, "", http.StatusText(http.StatusBadRequest),
	"The host of the request is missing, malformed or not served here.", nil)

func (m *Middleware) reject(w http.ResponseWriter, r *http.Request, reason Reason) {
	if m.onReject != nil {
		m.onReject(w, r, &RejectError{Reason: reason})
		return
	}
	answer.Write(w, r)
}

// Reason is why a request was refused.
type Reason string

// The reasons.
const (
	// Missing: the request names no host.
	Missing Reason = "missing"
	// Malformed: the host, or the request target, has a syntax that no client
	// needs and that two programs may read in two ways.
	Malformed Reason = "malformed"
	// Conflict: the request names two hosts.
	Conflict Reason = "conflict"
	// NotAllowed: the host is not one of this server's.
	NotAllowed Reason = "not allowed"
)

// RejectError is the error of Check, and tells OnReject the reason.
type RejectError struct{ Reason Reason }

// Error never holds the host, so that it can be logged and sent anywhere.
func (e *RejectError) Error() string {
	switch e.Reason {
	case Missing:
		return "trustedhost: the request has no host"
	case Malformed:
		return "trustedhost: the host or target of the request is malformed"
	case Conflict:
		return "trustedhost: the request names two different hosts"
	}
	return "trustedhost: the host of the request is not allowed"
}
