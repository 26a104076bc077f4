package corsx

import (
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Config says who may read the answers of this service from another origin, and
// with which requests. The zero Config is secure: no other origin may. New
// copies what it needs; changing a Config afterwards changes nothing.
type Config struct {
	// Origins lists the callers, each written exactly as a browser sends it in
	// the Origin header: "https://app.example.com", "http://localhost:5173".
	// Empty (the default) means no cross-origin caller. There is no wildcard and
	// no regular expression: a pattern that matches one name too many hands the
	// answers of your signed-in users to whoever registers that name. A path, a
	// trailing slash, a default port, upper case, user information, "null", "*"
	// and http outside loopback are errors of New that name the right spelling.
	// A thousand origins cost a request no more than one. [ParseOrigins] reads
	// the list from an environment variable.
	Origins []string

	// Subdomains opts in to every name below a domain, at any depth:
	// "https://*.example.com" allows https://a.example.com and
	// https://a.b.example.com, not https://example.com itself, and no other port
	// than the pattern's. Use it only where you control every name below: a
	// forgotten CNAME, a customer's subdomain or a hole in any of those sites
	// reads your answers. Public suffixes (co.uk, github.io), domains above
	// them and the shared hosts of PaaS platforms (run.app, railway.app) are
	// refused by New; a name that is, or lies below, a public suffix under the
	// domain (evil.s3.amazonaws.com under *.amazonaws.com) is denied.
	Subdomains []string

	// Methods lists the methods callers may use beyond GET, HEAD and POST, which
	// a browser sends without asking and no server can forbid through CORS;
	// naming these three changes nothing. Methods are case-sensitive: "PATCH".
	// CONNECT, TRACE and TRACK, which no browser sends, are errors. The list is for
	// preflights; what follows one is not judged by its method again.
	Methods []string

	// RequestHeaders lists the request headers callers may set beyond what a
	// browser sends without asking. JSON needs "Content-Type", a token needs
	// "Authorization". Case does not matter. There is no wildcard; headers that
	// no browser lets a page set (Cookie, Host, Sec-*) are errors, since listing
	// them is a misunderstanding.
	RequestHeaders []string

	// ExposedHeaders lists the response headers callers may read beyond
	// Cache-Control, Content-Language, Content-Length, Content-Type, Expires,
	// Last-Modified and Pragma: "Retry-After", "X-Correlation-ID". No wildcard.
	ExposedHeaders []string

	// Credentials lets callers send cookies, client certificates and HTTP
	// authentication, and read what they get. A bearer token that the page sets
	// itself in Authorization does not need it. With it, a script injected into
	// any of the allowed origins acts as your signed-in user.
	Credentials bool

	// MaxAge is how long a browser may remember a preflight's answer, in whole
	// seconds. 0 sends nothing, which browsers read as 5 seconds; below 0 sends
	// 0: every request is preceded by a preflight. The most is 24 hours (Firefox
	// honours that, Chromium 2 hours): an origin that you take off the list keeps
	// its right to send for this long, although not to read.
	MaxAge time.Duration

	// AllowLoopback allows any port on localhost, 127.0.0.1 and [::1], over http
	// and https: for development, where a Flutter or Vite server picks a random
	// port. Not safe in production: whatever program listens on a port of a
	// visitor's machine can then read your answers as that visitor.
	AllowLoopback bool

	// Enforce refuses requests from unlisted origins with 403, WebSocket
	// upgrades too, instead of only hiding the answer from the page. CORS by
	// itself protects answers, not actions, and does not cover WebSockets.
	//
	// A same-origin request passes: Sec-Fetch-Site says so, which a page cannot
	// forge, or, from a browser that does not send it (any over plain http), the
	// Origin names the request's own Host. Behind a proxy that rewrites Host,
	// list your own origin. Requests without Origin (navigations, images, curl)
	// pass. A form POSTed by another site, such as an OAuth form_post callback,
	// carries that site's origin and is refused: list it, or serve that route
	// without Enforce.
	Enforce bool

	// OnDecision is told of every request with an Origin header, before it is
	// answered: for logs and metrics. It runs in the request's goroutine, must
	// not block, and must not change the request.
	OnDecision func(*http.Request, Decision)
}

// Bounds of what New accepts and of what a request can make us read.
const (
	maxMaxAge = 24 * time.Hour
	// maxPreflight bounds a preflight's answer in bytes on HTTP/1, with status
	// line, Date and the headers of this package: it is written for every caller
	// that claims an allowed origin.
	maxPreflight = 1024
	// maxOriginLen is the longest origin there can be: https://, a name of 253
	// octets, a port.
	maxOriginLen = len("https://") + 253 + len(":65535")
)

// policy is a compiled Config. It is immutable but for what it remembers.
type policy struct {
	origins    map[string]struct{} // exact, byte for byte
	maxListed  int                 // length of the longest of them
	subdomains map[subdomain]int   // to the length that a public suffix must stay below
	maxSuffix  int                 // length of the longest subdomain suffix
	recent     recent
	loopback   bool
	enforce    bool
	varies     bool // whether actual answers depend on Origin
	methods    nameSet
	headers    nameSet
	actual     answer
	preflight  answer
	onDecision func(*http.Request, Decision)
	explain    bool // whether the reason of a refusal matters to the answer or to OnDecision
}

// compile checks cfg and turns it into a policy, or returns all its mistakes.
func compile(cfg Config) (*policy, error) {
	bad := mistakes.In("corsx")
	p := &policy{
		origins:    make(map[string]struct{}, len(cfg.Origins)),
		subdomains: make(map[subdomain]int, len(cfg.Subdomains)),
		loopback:   cfg.AllowLoopback,
		enforce:    cfg.Enforce,
		recent:     recent{seed: maphash.MakeSeed()},
		onDecision: cfg.OnDecision,
		explain:    cfg.Enforce || cfg.OnDecision != nil,
	}
	for i, o := range cfg.Origins {
		if why := checkOrigin(o); why != "" {
			bad.Add(index("Origins", i), o, why)
			continue
		}
		p.origins[o] = struct{}{}
		p.maxListed = max(p.maxListed, len(o))
	}
	for i, s := range cfg.Subdomains {
		sub, limit, why := parseSubdomain(s)
		if why != "" {
			bad.Add(index("Subdomains", i), s, why)
			continue
		}
		p.subdomains[sub] = limit
		p.maxSuffix = max(p.maxSuffix, len(sub.suffix))
	}
	p.varies = cfg.Enforce || cfg.AllowLoopback || len(p.origins)+len(p.subdomains) > 0
	methods := cfg.checkMethods(bad)
	headers := checkNames(bad, "RequestHeaders", cfg.RequestHeaders, whyNoRequestHeader)
	exposed := checkNames(bad, "ExposedHeaders", cfg.ExposedHeaders, whyNoResponseHeader)
	checkMaxAge(bad, cfg.MaxAge)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	p.methods, p.headers = newNameSet(methods), newNameSet(headers)
	e := newEngine(cfg, methods, headers, exposed)
	p.actual, p.preflight = e.actual(), e.preflight()
	longest := p.maxListed
	if p.loopback || len(p.subdomains) > 0 {
		longest = maxOriginLen
	}
	if n := p.preflight.size(longest); n >= maxPreflight {
		bad.Add("RequestHeaders", "", "with Methods they make a preflight's answer of %d bytes, fewer than %d are sent; "+
			"list only the headers that your callers set", n, maxPreflight)
	}
	return p, bad.Err()
}

// checkMethods returns the methods that a preflight may ask for: the three that
// are always allowed, then the Config's, each once.
func (cfg Config) checkMethods(bad *mistakes.List) []string {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	for i, m := range cfg.Methods {
		if why := whyNoMethod(m); why != "" {
			bad.Add(index("Methods", i), m, why)
		} else if !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	return methods
}

// checkNames returns the header names in lower case, sorted, each once.
func checkNames(bad *mistakes.List, field string, names []string, forbidden func(lower string) string) []string {
	out := make([]string, 0, len(names))
	for i, n := range names {
		lower := strings.ToLower(n)
		switch why := forbidden(lower); {
		case n == "*":
			bad.Add(index(field, i), n, "there is no wildcard: name each header, like \"Authorization\"")
		case !headervalue.IsToken(n):
			bad.Add(index(field, i), n, "is not a header name (letters, digits and hyphens; one name per element)")
		case len(n) > maxNameLen:
			bad.Add(index(field, i), n, "is longer than a header name should be (%d bytes)", maxNameLen)
		case why != "":
			bad.Add(index(field, i), n, why)
		default:
			out = append(out, lower)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func checkMaxAge(bad *mistakes.List, d time.Duration) {
	switch {
	case d > maxMaxAge:
		bad.Add("MaxAge", d.String(), "is longer than any browser honours; at most 24h, did you mean 2 * time.Hour?")
	case d > 0 && d < time.Millisecond:
		bad.Add("MaxAge", d.String(), "is less than a second; did you mean %d * time.Second?", d.Nanoseconds())
	case d > 0 && d%time.Second != 0:
		bad.Add("MaxAge", d.String(), "is not in whole seconds, which is all the header can say")
	}
}
