package corsx

import (
	"net/http"
	"strings"
)

// Kind is what a request is to CORS. Its values are for logs and metrics.
type Kind string

// The kinds of request.
const (
	NotCORS   Kind = "not-cors"  // has no Origin
	Actual    Kind = "actual"    // has an Origin and is no preflight; reaches the handler
	Preflight Kind = "preflight" // OPTIONS with Origin and Access-Control-Request-Method; answered here
)

// Reason is why a request is shared or not. Its values are for logs and metrics.
type Reason string

// The reasons.
const (
	Allowed      Reason = "allowed"       // the Config allows it
	NoOrigin     Reason = "no-origin"     // not from a page of another origin: navigation, curl, a same-origin GET
	Malformed    Reason = "malformed"     // no single serialised origin, or more than one method asked for
	OriginDenied Reason = "origin-denied" // the Config does not name the origin
	MethodDenied Reason = "method-denied" // the preflight asks for a method that Methods lacks
	HeaderDenied Reason = "header-denied" // the preflight asks for a header that RequestHeaders lacks
	// SameOrigin is an origin that the Config does not name, but which is the
	// request's own. It is told apart only under Enforce, where it decides the
	// answer; otherwise such a request, which needs no CORS, is OriginDenied.
	SameOrigin Reason = "same-origin"
)

// Decision is what CORS makes of a request.
//
//	{NotCORS, NoOrigin, ""}                                 GET from curl
//	{Actual, Allowed, "https://app.example.com"}            its answer is shared
//	{Actual, OriginDenied, "https://attacker.example"}      its answer is not; 403 under Enforce
//	{Actual, Malformed, ""}                                 two Origin lines
//	{Preflight, MethodDenied, "https://app.example.com"}    403
type Decision struct {
	Kind   Kind
	Reason Reason
	// Origin is the request's origin, or "null"; empty where there is none and
	// where it is malformed. It holds no byte but lower-case letters, digits and
	// the punctuation of hosts, so it is safe to log; its length is bounded.
	Origin string
}

// decide looks at a request and changes nothing. Unless the reason matters to
// somebody, a foreign origin is not told from a malformed one: the answer is the
// same, and refusing should cost less than asking.
func (p *policy) decide(r *http.Request, lines []string, explain bool) Decision {
	if len(lines) == 0 {
		return Decision{NotCORS, NoOrigin, ""}
	}
	kind := Actual
	if r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) > 0 {
		kind = Preflight
	}
	if len(lines) > 1 {
		return Decision{kind, Malformed, ""}
	}
	value := lines[0]
	if !p.lists(value) && !p.covers(value) {
		if !explain {
			return Decision{kind, OriginDenied, ""}
		}
		return p.refusal(r, kind, value)
	}
	if kind == Preflight {
		return Decision{kind, p.decidePreflight(r.Header), value}
	}
	return Decision{kind, Allowed, value}
}

// refusal tells why an origin that is not allowed is refused, or that it is the
// request's own.
func (p *policy) refusal(r *http.Request, kind Kind, value string) Decision {
	o, ok := parseOrigin(value)
	switch {
	case !ok:
		return Decision{kind, Malformed, ""}
	case p.enforce && kind == Actual && isSameOrigin(r, o):
		return Decision{kind, SameOrigin, value}
	}
	return Decision{kind, OriginDenied, value}
}

// decidePreflight follows the Fetch standard's CORS-preflight fetch, steps 7
// and on: methods byte for byte, header names without regard to case.
func (p *policy) decidePreflight(h http.Header) Reason {
	method := h["Access-Control-Request-Method"]
	switch {
	case len(method) != 1:
		return Malformed
	case !p.methods.contains(method[0]):
		return MethodDenied
	case !p.headers.coverList(h["Access-Control-Request-Headers"]):
		return HeaderDenied
	}
	return Allowed
}

// isSameOrigin tells whether a request comes from a page of the service itself.
// Browsers send Sec-Fetch-Site to https and loopback, and no page can set it;
// its word is final, except "none" (typed, reloaded), which says nothing of the
// Origin beside it. Without it the Origin must name the request's Host. The
// scheme counts only where it is known: TLS may end at a proxy.
func isSameOrigin(r *http.Request, o origin) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 && (len(site) > 1 || site[0] != "none") {
		return len(site) == 1 && site[0] == "same-origin"
	}
	if o.scheme != "https" && (o.scheme != "http" || r.TLS != nil) {
		return false
	}
	host := r.Host
	if !o.auth.HasPort { // some clients and proxies write the default port
		suffix := ":443"
		if o.scheme == "http" {
			suffix = ":80"
		}
		host = strings.TrimSuffix(host, suffix)
	}
	return o.host == host // browsers send both in lower case
}
