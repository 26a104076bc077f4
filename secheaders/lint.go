package secheaders

import (
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Severity says how much a Finding weakens.
type Severity string

// The severities. The default set has no finding at all.
const (
	High   Severity = "high"   // the protection is as good as off
	Medium Severity = "medium" // there is a known way around it
	Low    Severity = "low"    // weaker than need be
	Info   Severity = "info"   // no effect, or good to know
)

// Finding is what Lint has to say about one field of a valid Config.
type Finding struct {
	ID       string   // stable, to be filtered by: "csp-unsafe-inline"
	Severity Severity // how much it weakens
	Field    string   // "CSP.Script"
	Value    string   // the source or value in question, or ""
	Text     string   // why, and what to do
}

// Lint comments on a Config that New accepts but that protects less than it
// could; with New's mistakes it is all that can be said of one. Findings come in
// the order of the fields. Call it in a test, or log it at start-up:
//
//	for _, f := range secheaders.Lint(c) {
//		logger.Warn(f.Text, "id", f.ID, "severity", f.Severity, "field", f.Field, "value", f.Value)
//	}
func Lint(c Config) []Finding {
	c = c.filled()
	var l linter
	if !c.omitted("Content-Security-Policy") {
		l.policy("CSP.", c.CSP)
	}
	l.reportOnly(&c)
	l.hsts(c.HSTS)
	l.isolation(&c)
	for i, name := range c.InsecureOmit {
		l.add("omitted", Medium, indexed("InsecureOmit", i), name, "a default header is left off; see InsecureOmit for what that brings back")
	}
	switch last := c.Referrer[max(len(c.Referrer)-1, 0):]; {
	case slices.Contains(last, UnsafeURL):
		l.add("referrer-leak", High, "Referrer", string(UnsafeURL), "every site and every listener on plain HTTP learns path and query, tokens in them too")
	case slices.Contains(last, NoReferrerWhenDowngrade):
		l.add("referrer-leak", Medium, "Referrer", string(NoReferrerWhenDowngrade), "every HTTPS site learns path and query, tokens in them too")
	}
	l.permissions(c.Permissions)
	if len(c.ClearSiteData) > 0 {
		l.add("clear-site-data", Info, "ClearSiteData", "", "empties the visitor's storage on every answer of this Middleware; only for a logout, by With")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		if why, ok := outdated[textproto.CanonicalMIMEHeaderKey(name)]; ok {
			l.add("extra-outdated", Low, "Extra["+strconv.Quote(name)+"]", "", why)
		}
	}
	return l
}

// outdated are headers that old guides still recommend.
var outdated = map[string]string{
	"Expect-Ct":       "browsers have dropped it: Certificate Transparency is always required",
	"Expires":         "use Cache-Control",
	"Feature-Policy":  "is Permissions-Policy now",
	"Pragma":          "is a request header of HTTP/1.0; use Cache-Control",
	"Public-Key-Pins": "browsers have dropped it; a wrong pin shut visitors out for good",
	"Report-To":       "is Reporting-Endpoints now",
	"Server":          "names the software, and so the exploits to try",
	"X-Powered-By":    "names the software, and so the exploits to try",
}

type linter []Finding

func (l *linter) add(id string, s Severity, field, value, text string) {
	*l = append(*l, Finding{id, s, field, value, text})
}

// effective is the list that a directive falls back to, with its field.
func effective(p *Policy, field string, list []Source) (string, []Source) {
	if list != nil {
		return field, list
	}
	return "Default", p.Default
}

func (l *linter) policy(prefix string, p *Policy) {
	l.scripts(prefix, p)
	if field, styles := effective(p, "Style", p.Style); slices.Contains(styles, UnsafeInline) && !slices.ContainsFunc(styles, Source.isTrust) {
		l.add("csp-style-inline", Low, prefix+field, string(UnsafeInline), "injected styles can hide, imitate and, through selectors, read parts of the page")
	}
	if field, objects := effective(p, "Object", p.Object); open(objects) != "" {
		l.add("csp-object", High, prefix+field, string(open(objects)), "plugins and embedded documents can run scripts; set Object to None")
	}
	if p.BaseURI == nil {
		s := Medium
		if _, list := effective(p, "Script", p.Script); slices.ContainsFunc(list, Source.isTrust) {
			s = High // a relative src of a trusted script is then the attacker's to choose
		}
		l.add("csp-base-uri", s, prefix+"BaseURI", "", "an injected <base> redirects every relative script address; default-src does not cover it")
	}
	if p.FrameAncestors == nil {
		l.add("csp-frame-ancestors", Medium, prefix+"FrameAncestors", "", "default-src does not cover it; only X-Frame-Options is left against clickjacking")
	}
	if p.FormAction == nil {
		l.add("csp-form-action", Low, prefix+"FormAction", "", "an injected form can send what visitors type to anybody; default-src does not cover it")
	}
	if slices.Contains(p.Sandbox, AllowScripts) && slices.Contains(p.Sandbox, AllowSameOrigin) {
		l.add("csp-sandbox-escape", Medium, prefix+"Sandbox", string(AllowSameOrigin), "with allow-scripts, a framed page of this origin can lift its own sandbox")
	}
	for _, d := range directives {
		for _, s := range *d.list(p) {
			if v := string(s); strings.HasPrefix(v, "http:") || strings.HasPrefix(v, "ws:") {
				l.add("csp-plain-http", Medium, prefix+d.field, v, "whoever is on the way can change it; name it with https: or wss:")
			}
		}
	}
	if p.ReportURI != nil && p.ReportTo == "" {
		l.add("csp-report-uri", Info, prefix+"ReportURI", "", "is deprecated; add ReportTo, too")
	}
}

// open returns the first source that allows whole classes of hosts, or "".
func open(list []Source) Source {
	if list == nil {
		return "(not set)"
	}
	for _, s := range list {
		switch s {
		case "*", "https:", "http:", "data:", "https://*", "http://*":
			return s
		}
	}
	return ""
}

// bypasses are hosts from which scripts can be loaded that run what an attacker
// puts into the page or the address: every version of every library, or JSONP.
var bypasses = []string{
	"ajax.googleapis.com", "cdn.jsdelivr.net", "cdnjs.cloudflare.com", "code.jquery.com", "esm.sh", "raw.githack.com",
	"rawcdn.githack.com", "unpkg.com", "accounts.google.com", "www.google.com", "www.googleapis.com", "www.googletagmanager.com",
	"www.youtube.com", "maps.googleapis.com", "www.gstatic.com",
}

func (l *linter) scripts(prefix string, p *Policy) {
	field, list := effective(p, "Script", p.Script)
	l.scriptList(prefix+field, list)
	if p.ScriptElem != nil {
		l.scriptList(prefix+"ScriptElem", p.ScriptElem)
	}
	if slices.Contains(p.ScriptAttr, UnsafeInline) {
		l.add("csp-unsafe-inline", High, prefix+"ScriptAttr", string(UnsafeInline), "an injected onclick= runs; use addEventListener")
	}
}

func (l *linter) scriptList(field string, list []Source) {
	trusted := slices.ContainsFunc(list, Source.isTrust)
	dynamic := slices.Contains(list, StrictDynamic)
	if s := open(list); s != "" && !dynamic {
		l.add("csp-script-open", High, field, string(s), "scripts of any host run, an attacker's too; name the hosts, or use NonceSource")
	}
	if slices.Contains(list, UnsafeHashes) && !trusted {
		l.add("csp-unsafe-hashes", Info, field, string(UnsafeHashes), "has no hash beside it, so it allows nothing")
	}
	for _, s := range list {
		switch host := sourceHost(s); {
		case s == UnsafeInline && trusted:
			l.add("csp-ignored", Info, field, string(s), "is ignored beside a nonce or hash by every browser that knows these")
		case s == UnsafeInline:
			l.add("csp-unsafe-inline", High, field, string(s), "every injected script runs; use SHA256, HashHTML or NonceSource")
		case s == UnsafeEval:
			l.add("csp-unsafe-eval", Medium, field, string(s), "a string that reaches eval runs; WasmUnsafeEval is enough for WebAssembly")
		case dynamic && host != "":
			l.add("csp-ignored", Info, field, string(s), "is ignored beside 'strict-dynamic'")
		case host != "" && knownBypass(host) && !strings.Contains(strings.TrimPrefix(string(s), "https://"), "/"):
			l.add("csp-bypass", Medium, field, string(s), "anybody can have scripts served from there; name the file with its path, or serve it yourself")
		}
	}
}

// sourceHost is the host of a host source without "*.", "" for other sources.
func sourceHost(s Source) string {
	v := string(s)
	if strings.HasPrefix(v, "'") || strings.HasSuffix(v, ":") {
		return ""
	}
	if _, after, ok := strings.Cut(v, "://"); ok {
		v = after
	}
	if i := strings.IndexAny(v, ":/"); i >= 0 {
		v = v[:i]
	}
	return v
}

func knownBypass(host string) bool {
	if parent, ok := strings.CutPrefix(host, "*."); ok {
		return slices.ContainsFunc(bypasses, func(b string) bool { return b == parent || strings.HasSuffix(b, "."+parent) })
	}
	return slices.Contains(bypasses, host)
}

func (l *linter) reportOnly(c *Config) {
	if p := c.CSPReportOnly; p != nil && p.ReportTo == "" && p.ReportURI == nil {
		l.add("report-only-unheard", Low, "CSPReportOnly", "", "has no ReportTo, so only the visitor's console hears of it")
	}
	l.unheard("COOPReportOnly", string(c.COOPReportOnly))
	l.unheard("COEPReportOnly", string(c.COEPReportOnly))
	if p := c.IntegrityPolicy; p != nil && p.ReportOnly && len(p.Endpoints) == 0 {
		l.add("report-only-unheard", Low, "IntegrityPolicy", "", "has no Endpoints, so only the visitor's console hears of it")
	}
}

func (l *linter) unheard(field, v string) {
	if _, endpoint := splitReportTo(v); v != "" && endpoint == "" {
		l.add("report-only-unheard", Low, field, v, "has no endpoint, so nobody hears of it; add .ReportTo(name)")
	}
}

func (l *linter) hsts(h *HSTS) {
	switch {
	case h.Revoke:
		l.add("hsts-revoked", High, "HSTS.Revoke", "", "browsers forget that this host has HTTPS; take it out when they have")
		return
	case h.age() < preloadMinAge:
		l.add("hsts-short", Medium, "HSTS.MaxAge", (h.age() / time.Second * time.Second).String(), "a visitor who stays away for longer is unprotected on return; use a year or more")
	}
	if h.ExcludeSubDomains {
		l.add("hsts-subdomains", Low, "HSTS.ExcludeSubDomains", "", "a subdomain over plain HTTP can set cookies for this host")
	}
}

func (l *linter) isolation(c *Config) {
	coop, _ := splitReportTo(string(c.COOP))
	coep, _ := splitReportTo(string(c.COEP))
	if coop == string(COOPUnsafeNone) {
		l.add("coop-none", Medium, "COOP", coop, "windows of other sites keep a handle on this one")
	}
	if (coep == string(COEPRequireCORP) || coep == string(COEPCredentialless)) && coop != string(COOPSameOrigin) {
		l.add("coep-alone", Info, "COEP", coep, "without COOP same-origin the page is not cross-origin isolated")
	}
	if c.CORP == CORPCrossOrigin {
		l.add("corp-cross-origin", Low, "CORP", string(c.CORP), "every site can load the answers into its process; for public assets only, by With")
	}
}

func (l *linter) permissions(p Permissions) {
	for _, f := range slices.Sorted(maps.Keys(p)) {
		field := "Permissions[" + strconv.Quote(string(f)) + "]"
		if !slices.Contains(features, string(f)) {
			l.add("permissions-unknown", Low, field, "", "no browser known to this package has the feature")
		}
		if _, powerful := defaultPermissions()[f]; powerful && slices.Contains(p[f], "*") {
			l.add("permissions-open", Medium, field, "*", "every frame in the page may use it; name the origins")
		}
	}
}
