package secheaders

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// pkg is the package's name in its errors.
const pkg = "secheaders"

// Config says which headers every answer carries. The zero Config is the secure
// default, [Default]; the package comment has it as a table with reasons. A field
// that is set replaces its default, nothing is merged: begin with Default() to
// change a part of one.
type Config struct {
	// CSP is Content-Security-Policy: where the page may load from and send to, so
	// that injected markup is not run (XSS). Nil is the default policy, which
	// allows this origin only: no inline script or style, no other host. Pages
	// with inline scripts need [HashHTML] or [NonceSource].
	CSP *Policy
	// CSPReportOnly is Content-Security-Policy-Report-Only: nothing is blocked, only
	// reported, to try a stricter policy on real visitors. Nil sends none.
	CSPReportOnly *Policy
	// HSTS is Strict-Transport-Security, sent only where HTTPS(r). Nil: two years
	// with subdomains.
	HSTS *HSTS
	// Frame is X-Frame-Options, for browsers older than frame-ancestors. "" follows
	// the policy: DENY for frame-ancestors 'none' or none at all, SAMEORIGIN for
	// 'self', no header where origins are listed, which it cannot express. A value
	// that contradicts the policy is an error.
	Frame FrameOption
	// Referrer is Referrer-Policy, the value for old browsers first: each takes the
	// last one that it knows. Nil: strict-origin-when-cross-origin, so other sites
	// learn the host but no path, and nothing over plain HTTP.
	Referrer []ReferrerPolicy
	// Permissions is Permissions-Policy. Nil turns off camera, microphone,
	// geolocation, payment, USB and other hardware.
	Permissions Permissions
	// COOP is Cross-Origin-Opener-Policy. "": same-origin. Sign-in or payment in a
	// popup of another origin needs COOPSameOriginAllowPopups, where the popup is
	// opened; best by With on that route alone.
	COOP COOP
	// COOPReportOnly only reports; use COOPSameOrigin.ReportTo("name"). "": none.
	COOPReportOnly COOP
	// COEP is Cross-Origin-Embedder-Policy. "" sends none, as it breaks images and
	// scripts of hosts that have not opted in. Set it with COOPSameOrigin where
	// threads or SharedArrayBuffer need cross-origin isolation.
	COEP COEP
	// COEPReportOnly only reports; use COEPRequireCORP.ReportTo("name"). "": none.
	COEPReportOnly COEP
	// CORP is Cross-Origin-Resource-Policy. "": same-origin. Answers that other
	// sites embed without CORS (images, fonts) need CORPCrossOrigin, by With.
	CORP CORP
	// IntegrityPolicy is Integrity-Policy or its report-only twin. Nil sends none.
	IntegrityPolicy *Integrity
	// Reporting is Reporting-Endpoints: names and where their reports go, an https
	// URL or a path on this host ("/reports", see [NewCollector]). The endpoint
	// "default" also gets crash, deprecation and intervention reports. Every
	// ReportTo must name one of these.
	Reporting map[string]string
	// NoStore sends Cache-Control: no-store: neither browser nor proxy keeps the
	// answer. For pages with personal data, by With, or for an API. What removes the
	// header for its own errors, as http.FileServer does, removes this one, too.
	NoStore bool
	// ClearSiteData is Clear-Site-Data: what the browser forgets. For the answer to
	// a logout, by With; on every answer it would empty every visitor's cache.
	ClearSiteData []SiteData
	// Extra are further headers for every answer. A header that has a field here,
	// one that describes a single answer (Content-Type, Set-Cookie, Vary and so on)
	// and a value that is not visible ASCII are errors.
	Extra http.Header
	// InsecureOmit names default headers to leave off, each a protection lost:
	// "Content-Security-Policy" brings back XSS, "X-Content-Type-Options" uploads
	// that are run as scripts, "X-Frame-Options" clickjacking in old browsers.
	// Leaving Strict-Transport-Security off keeps what browsers already know; to
	// make them forget use HSTS.Revoke.
	InsecureOmit []string
	// HTTPS tells whether the client came over HTTPS: Strict-Transport-Security and
	// upgrade-insecure-requests are sent only then. Nil: r.TLS != nil. Behind a
	// proxy that terminates TLS use forwarded.Resolver's HTTPS, and nothing that
	// believes any X-Forwarded-Proto: a forged one would store HSTS on a host that
	// has no HTTPS (the browser takes it only over HTTPS, a shared cache does not
	// know). It is called once per request, must not block and must be safe for
	// concurrent use.
	HTTPS func(*http.Request) bool
}

// defaultPolicy allows this origin and nothing else.
func defaultPolicy() *Policy {
	return &Policy{
		Default:         []Source{Self},
		BaseURI:         []Source{Self},
		FormAction:      []Source{Self},
		FrameAncestors:  []Source{None},
		Object:          []Source{None},
		UpgradeInsecure: true,
	}
}

// filled is a deep copy with the defaults written out. Frame stays as it is: it
// follows the policy, which a With may yet change.
func (c Config) filled() Config {
	c.CSP, c.CSPReportOnly = c.CSP.clone(), c.CSPReportOnly.clone()
	if c.CSP == nil {
		c.CSP = defaultPolicy()
	}
	c.HSTS = cloned(c.HSTS)
	if c.HSTS == nil {
		c.HSTS = &HSTS{}
	}
	c.Referrer = slices.Clone(c.Referrer)
	if c.Referrer == nil {
		c.Referrer = []ReferrerPolicy{StrictOriginWhenCrossOrigin}
	}
	c.Permissions = c.Permissions.clone()
	if c.Permissions == nil {
		c.Permissions = defaultPermissions()
	}
	if c.COOP == "" {
		c.COOP = COOPSameOrigin
	}
	if c.CORP == "" {
		c.CORP = CORPSameOrigin
	}
	if c.IntegrityPolicy = cloned(c.IntegrityPolicy); c.IntegrityPolicy != nil {
		c.IntegrityPolicy.BlockedDestinations = slices.Clone(c.IntegrityPolicy.BlockedDestinations)
		c.IntegrityPolicy.Endpoints = slices.Clone(c.IntegrityPolicy.Endpoints)
	}
	c.Reporting = maps.Clone(c.Reporting)
	c.ClearSiteData = slices.Clone(c.ClearSiteData)
	c.Extra = c.Extra.Clone()
	c.InsecureOmit = slices.Clone(c.InsecureOmit)
	if c.HTTPS == nil {
		c.HTTPS = func(r *http.Request) bool { return r.TLS != nil }
	}
	return c
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// omitted tells whether InsecureOmit names the header.
func (c *Config) omitted(name string) bool {
	return slices.ContainsFunc(c.InsecureOmit, func(n string) bool { return strings.EqualFold(n, name) })
}

// frame is the value of X-Frame-Options, "" for none.
func (c *Config) frame() FrameOption {
	switch {
	case c.Frame != "":
		return c.Frame
	case c.omitted("Content-Security-Policy") || c.CSP.FrameAncestors == nil:
		return FrameDeny
	case slices.Equal(c.CSP.FrameAncestors, []Source{None}):
		return FrameDeny
	case slices.Equal(c.CSP.FrameAncestors, []Source{Self}):
		return FrameSameOrigin
	}
	return ""
}

// field is one header of a set.
type field struct {
	name   string // canonical
	values []string
}

// fields are the headers of the filled Config in a fixed order, for answers over
// HTTPS or not.
func (c *Config) fields(secure bool) []field {
	var out []field
	add := func(name, value string) {
		if value != "" && !c.omitted(name) {
			out = append(out, field{textproto.CanonicalMIMEHeaderKey(name), []string{value}})
		}
	}
	if secure {
		add("Strict-Transport-Security", c.HSTS.wire())
	}
	add("Content-Security-Policy", c.CSP.wire(secure))
	if c.CSPReportOnly != nil {
		add("Content-Security-Policy-Report-Only", c.CSPReportOnly.wire(secure))
	}
	add("X-Frame-Options", string(c.frame()))
	add("X-Content-Type-Options", "nosniff")
	add("Referrer-Policy", joined(c.Referrer))
	add("Permissions-Policy", c.Permissions.wire())
	add("Cross-Origin-Opener-Policy", string(c.COOP))
	add("Cross-Origin-Opener-Policy-Report-Only", string(c.COOPReportOnly))
	add("Cross-Origin-Embedder-Policy", string(c.COEP))
	add("Cross-Origin-Embedder-Policy-Report-Only", string(c.COEPReportOnly))
	add("Cross-Origin-Resource-Policy", string(c.CORP))
	if c.IntegrityPolicy != nil {
		add(c.IntegrityPolicy.name(), c.IntegrityPolicy.wire())
	}
	add("Reporting-Endpoints", c.endpoints())
	if c.NoStore {
		add("Cache-Control", "no-store")
	}
	add("Clear-Site-Data", quoted(c.ClearSiteData))
	add("Origin-Agent-Cluster", "?1")
	add("X-Permitted-Cross-Domain-Policies", "none")
	add("X-XSS-Protection", "0")
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		out = append(out, field{textproto.CanonicalMIMEHeaderKey(name), c.Extra[name]})
	}
	return out
}

// endpoints is Reporting-Endpoints, a structured-field dictionary, by name.
func (c *Config) endpoints() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(c.Reporting)) {
		list = append(list, name+`="`+c.Reporting[name]+`"`)
	}
	return strings.Join(list, ", ")
}

// omittable are the headers of the default set.
var omittable = []string{
	"Strict-Transport-Security", "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options",
	"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy",
	"Origin-Agent-Cluster", "X-Permitted-Cross-Domain-Policies", "X-XSS-Protection",
}

// ownField says which field of Config sets a header, for Extra.
var ownField = map[string]string{
	"Strict-Transport-Security":                "HSTS",
	"Content-Security-Policy":                  "CSP",
	"Content-Security-Policy-Report-Only":      "CSPReportOnly",
	"X-Frame-Options":                          "Frame",
	"Referrer-Policy":                          "Referrer",
	"Permissions-Policy":                       "Permissions",
	"Cross-Origin-Opener-Policy":               "COOP",
	"Cross-Origin-Opener-Policy-Report-Only":   "COOPReportOnly",
	"Cross-Origin-Embedder-Policy":             "COEP",
	"Cross-Origin-Embedder-Policy-Report-Only": "COEPReportOnly",
	"Cross-Origin-Resource-Policy":             "CORP",
	"Integrity-Policy":                         "IntegrityPolicy",
	"Integrity-Policy-Report-Only":             "IntegrityPolicy",
	"Reporting-Endpoints":                      "Reporting",
	"Clear-Site-Data":                          "ClearSiteData",
}

// perAnswer are headers that no two answers share.
var perAnswer = []string{
	"Age", "Connection", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type",
	"Date", "Etag", "Keep-Alive", "Last-Modified", "Location", "Set-Cookie", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Vary",
}

// check collects every mistake of the filled Config.
func (c *Config) check(l *mistakes.List) {
	policyCheck{l, "CSP."}.policy(c.CSP)
	if c.CSP.String() == "" {
		l.Add("CSP", "", "has no directive; leave it nil for the default policy, or set Default")
	}
	c.checkReportOnly(l)
	if why := c.HSTS.problem(); why != "" {
		l.Add("HSTS", "", "%s", why)
	}
	c.checkFrame(l)
	c.checkReferrer(l)
	c.Permissions.check(l)
	c.checkIsolation(l)
	c.checkIntegrity(l)
	c.checkReporting(l)
	for i, d := range c.ClearSiteData {
		if why := known(string(d), siteData); why != "" {
			l.Add(indexed("ClearSiteData", i), string(d), "%s", why)
		}
	}
	c.checkExtra(l)
	for i, name := range c.InsecureOmit {
		if !slices.ContainsFunc(omittable, func(n string) bool { return strings.EqualFold(n, name) }) {
			l.Add(indexed("InsecureOmit", i), name, "is not in the default set%s", didYouMean(name, omittable))
		}
	}
}

func (c *Config) checkReportOnly(l *mistakes.List) {
	p := c.CSPReportOnly
	if p == nil {
		return
	}
	policyCheck{l, "CSPReportOnly."}.policy(p)
	if p.String() == "" {
		l.Add("CSPReportOnly", "", "has no directive; leave it nil, or set Default")
	}
	if p.UpgradeInsecure {
		l.Add("CSPReportOnly.UpgradeInsecure", "", "has no effect in a report-only policy; set it in CSP")
	}
	if p.Sandbox != nil {
		l.Add("CSPReportOnly.Sandbox", "", "has no effect in a report-only policy; set it in CSP")
	}
}

func (c *Config) checkFrame(l *mistakes.List) {
	if c.Frame == "" {
		return
	}
	if why := known(string(c.Frame), []string{string(FrameDeny), string(FrameSameOrigin)}); why != "" {
		l.Add("Frame", string(c.Frame), "%s; to name origins use CSP.FrameAncestors", why)
		return
	}
	follow := *c
	follow.Frame = ""
	if c.CSP.FrameAncestors != nil && !c.omitted("Content-Security-Policy") && follow.frame() != c.Frame {
		l.Add("Frame", string(c.Frame), "contradicts CSP.FrameAncestors (%s), which wins in every browser that knows it; leave Frame empty and it follows",
			joined(c.CSP.FrameAncestors))
	}
}

func (c *Config) checkReferrer(l *mistakes.List) {
	if len(c.Referrer) == 0 {
		l.Add("Referrer", "", "is empty; leave it nil for the default, or name the header in InsecureOmit")
	}
	for i, p := range c.Referrer {
		if why := known(string(p), referrerPolicies); why != "" {
			l.Add(indexed("Referrer", i), string(p), "%s", why)
		} else if slices.Contains(c.Referrer[:i], p) {
			l.Add(indexed("Referrer", i), string(p), "is listed twice")
		}
	}
}

// checkIsolation checks COOP, COEP and CORP, each and together.
func (c *Config) checkIsolation(l *mistakes.List) {
	value := func(name, v string, list []string) string {
		value, endpoint := splitReportTo(v)
		if why := known(value, list); v != "" && why != "" {
			l.Add(name, v, "%s", why)
		}
		if endpoint != "" {
			c.checkEndpoint(l, name, endpoint)
		}
		return value
	}
	coop := value("COOP", string(c.COOP), coops)
	value("COOPReportOnly", string(c.COOPReportOnly), coops)
	coep := value("COEP", string(c.COEP), coeps)
	value("COEPReportOnly", string(c.COEPReportOnly), coeps)
	if why := known(string(c.CORP), corps); why != "" {
		l.Add("CORP", string(c.CORP), "%s", why)
	}
	popups := coop == string(COOPSameOriginAllowPopups) || coop == string(COOPNoopenerAllowPopups)
	if popups && (coep == string(COEPRequireCORP) || coep == string(COEPCredentialless)) {
		l.Add("COOP", coop, "keeps popups, but cross-origin isolation (COEP %s) needs COOP same-origin, so COEP would only break embedded content; "+
			"use With to keep popups on the sign-in page alone and isolate the others, or sign in by redirect", coep)
	}
}

func (c *Config) checkEndpoint(l *mistakes.List, field, name string) {
	if _, ok := c.Reporting[name]; !ok {
		l.Add(field, name, "reports to an endpoint that Reporting does not name, so no report is sent; add it to Reporting")
	}
}

func (c *Config) checkIntegrity(l *mistakes.List) {
	p := c.IntegrityPolicy
	if p == nil {
		return
	}
	if len(p.BlockedDestinations) == 0 {
		l.Add("IntegrityPolicy.BlockedDestinations", "", `is empty, so nothing is checked; write "script"`)
	}
	for i, d := range p.BlockedDestinations {
		if why := known(d, integrityDestinations); why != "" {
			l.Add(indexed("IntegrityPolicy.BlockedDestinations", i), d, "%s", why)
		}
	}
	for i, name := range p.Endpoints {
		c.checkEndpoint(l, indexed("IntegrityPolicy.Endpoints", i), name)
	}
}

func (c *Config) checkReporting(l *mistakes.List) {
	if c.CSP.ReportTo != "" {
		c.checkEndpoint(l, "CSP.ReportTo", c.CSP.ReportTo)
	}
	if p := c.CSPReportOnly; p != nil && p.ReportTo != "" {
		c.checkEndpoint(l, "CSPReportOnly.ReportTo", p.ReportTo)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Reporting)) {
		at := "Reporting[" + strconv.Quote(name) + "]"
		if !isKey(name) {
			l.Add(at, "", "is no endpoint name (lower-case letters, digits, -, _, . and *, beginning with a letter)")
		}
		if why := endpointProblem(c.Reporting[name]); why != "" {
			l.Add(at, c.Reporting[name], "%s", why)
		}
	}
}

func (c *Config) checkExtra(l *mistakes.List) {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		at, key := "Extra["+strconv.Quote(name)+"]", textproto.CanonicalMIMEHeaderKey(name)
		own := ownField[key]
		switch {
		case !headervalue.IsToken(name):
			l.Add(at, "", "is no header name")
		case seen[key]:
			l.Add(at, "", "is given twice in different cases")
		case own != "":
			l.Add(at, "", "is set by the field %s", own)
		case slices.Contains(perAnswer, key):
			l.Add(at, "", "describes a single answer; the handler sets it")
		case key == "Cache-Control" && c.NoStore:
			l.Add(at, "", "is set by NoStore")
		case slices.ContainsFunc(omittable, func(n string) bool { return strings.EqualFold(n, key) }) && !c.omitted(key):
			l.Add(at, "", "is in the default set; to send another value also name it in InsecureOmit")
		case len(c.Extra[name]) == 0:
			l.Add(at, "", "has no value")
		}
		seen[key] = true
		for i, v := range c.Extra[name] {
			if !headervalue.IsValue(v) {
				l.Add(indexed(at, i), v, "is no header value: visible ASCII, without white space at its ends")
			}
		}
	}
}
