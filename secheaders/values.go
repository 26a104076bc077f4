package secheaders

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// HSTS is Strict-Transport-Security (RFC 6797): browsers that saw it use HTTPS
// for this host without asking, so that nobody between can strip it. It is sent
// only with answers over HTTPS (section 7.2). The zero value is the default.
type HSTS struct {
	// MaxAge is how long browsers remember, in whole seconds. Default two years
	// (63072000 s), what the preload list and the Observatory recommend. Every
	// answer begins it anew. Too short, and a visitor who returns after a holiday
	// is unprotected on the first request; it cannot be too long while the host
	// keeps speaking HTTPS.
	MaxAge time.Duration
	// ExcludeSubDomains leaves includeSubDomains off. Needed only while some
	// subdomain has no HTTPS; until then a plain-HTTP subdomain can set cookies for
	// this host (RFC 6797, section 14.4).
	ExcludeSubDomains bool
	// Preload asks to be built into browsers (hstspreload.org). It takes months to
	// undo. It requires the subdomains and a MaxAge of a year or more.
	Preload bool
	// Revoke sends max-age=0: browsers forget. The only way to switch HSTS off
	// for those who have seen it; it stands alone.
	Revoke bool
}

const (
	defaultMaxAge = 63072000 * time.Second // two years
	preloadMinAge = 31536000 * time.Second // one year, hstspreload.org
)

func (h *HSTS) problem() string {
	switch {
	case h.Revoke && (h.MaxAge != 0 || h.Preload || h.ExcludeSubDomains):
		return "has Revoke beside other fields; Revoke stands alone"
	case h.Revoke:
		return ""
	case h.MaxAge < 0:
		return "has a negative MaxAge; to make browsers forget set Revoke"
	case h.MaxAge%time.Second != 0:
		return "has a MaxAge that is not in whole seconds"
	case h.Preload && h.ExcludeSubDomains:
		return "has Preload without the subdomains; the preload list requires them"
	case h.Preload && h.age() < preloadMinAge:
		return "has Preload with a MaxAge under a year (31536000 s), which the preload list requires"
	}
	return ""
}

func (h *HSTS) age() time.Duration {
	if h.MaxAge == 0 {
		return defaultMaxAge
	}
	return h.MaxAge
}

func (h *HSTS) wire() string {
	if h.Revoke {
		return "max-age=0"
	}
	s := "max-age=" + strconv.FormatInt(int64(h.age()/time.Second), 10)
	if !h.ExcludeSubDomains {
		s += "; includeSubDomains"
	}
	if h.Preload {
		s += "; preload"
	}
	return s
}

// FrameOption is the value of X-Frame-Options (RFC 7034): who may show this page
// in a frame (clickjacking).
type FrameOption string

// The values of X-Frame-Options. ALLOW-FROM is gone from browsers: name origins
// in Policy.FrameAncestors.
const (
	FrameDeny       FrameOption = "DENY"
	FrameSameOrigin FrameOption = "SAMEORIGIN"
)

// ReferrerPolicy is a value of Referrer-Policy: what other sites learn of the
// page a visitor came from.
type ReferrerPolicy string

// The values of Referrer-Policy (W3C Referrer Policy, section 3).
const (
	NoReferrer                  ReferrerPolicy = "no-referrer"
	NoReferrerWhenDowngrade     ReferrerPolicy = "no-referrer-when-downgrade" // sends path and query to every HTTPS site
	SameOrigin                  ReferrerPolicy = "same-origin"
	OriginOnly                  ReferrerPolicy = "origin"
	StrictOrigin                ReferrerPolicy = "strict-origin"
	OriginWhenCrossOrigin       ReferrerPolicy = "origin-when-cross-origin"
	StrictOriginWhenCrossOrigin ReferrerPolicy = "strict-origin-when-cross-origin"
	UnsafeURL                   ReferrerPolicy = "unsafe-url" // sends path and query to everybody, over plain HTTP too
)

var referrerPolicies = []string{
	string(NoReferrer), string(NoReferrerWhenDowngrade), string(SameOrigin), string(OriginOnly),
	string(StrictOrigin), string(OriginWhenCrossOrigin), string(StrictOriginWhenCrossOrigin), string(UnsafeURL),
}

// COOP is a value of Cross-Origin-Opener-Policy (HTML, section 7.1.3): whether a
// window of another origin keeps a handle on this one.
type COOP string

// The values of Cross-Origin-Opener-Policy.
const (
	// COOPUnsafeNone keeps every opener: the browsers' own default.
	COOPUnsafeNone COOP = "unsafe-none"
	// COOPSameOriginAllowPopups lets this page keep a handle on the popups it
	// opens: for OAuth and payment in a popup.
	COOPSameOriginAllowPopups COOP = "same-origin-allow-popups"
	// COOPSameOrigin severs windows of other origins in both directions.
	COOPSameOrigin COOP = "same-origin"
	// COOPNoopenerAllowPopups severs every opener of this page, of the same origin
	// too, but keeps the popups it opens.
	COOPNoopenerAllowPopups COOP = "noopener-allow-popups"
)

var coops = []string{
	string(COOPUnsafeNone), string(COOPSameOriginAllowPopups), string(COOPSameOrigin), string(COOPNoopenerAllowPopups),
}

// ReportTo is the same value with an endpoint of Config.Reporting for its
// reports: COOPSameOrigin.ReportTo("main").
func (c COOP) ReportTo(endpoint string) COOP { return c + COOP(reportToParam(endpoint)) }

// COEP is a value of Cross-Origin-Embedder-Policy (HTML, section 7.1.4): whether
// this page may embed what has not agreed to it. With COOPSameOrigin it makes
// the page cross-origin isolated (SharedArrayBuffer, threads in WebAssembly).
type COEP string

// The values of Cross-Origin-Embedder-Policy.
const (
	COEPUnsafeNone COEP = "unsafe-none"
	// COEPRequireCORP blocks what does not send CORP or CORS.
	COEPRequireCORP COEP = "require-corp"
	// COEPCredentialless fetches it without cookies instead; not in Safari.
	COEPCredentialless COEP = "credentialless"
)

var coeps = []string{string(COEPUnsafeNone), string(COEPRequireCORP), string(COEPCredentialless)}

// ReportTo is the same value with an endpoint of Config.Reporting for its reports.
func (c COEP) ReportTo(endpoint string) COEP { return c + COEP(reportToParam(endpoint)) }

func reportToParam(endpoint string) string { return `; report-to="` + endpoint + `"` }

// splitReportTo undoes ReportTo; endpoint is "" where there is none. What is not
// exactly as ReportTo writes it stays in the value, which then is none of the list.
func splitReportTo(s string) (value, endpoint string) {
	value, rest, ok := strings.Cut(s, `; report-to="`)
	endpoint, closed := strings.CutSuffix(rest, `"`)
	if !ok || !closed || !isKey(endpoint) {
		return s, ""
	}
	return value, endpoint
}

// CORP is a value of Cross-Origin-Resource-Policy (Fetch, section 3.7): who may
// load this answer without CORS, as an image, script, style or frame. It keeps
// the answer out of other sites' processes (Spectre) and pages (leaks by size).
type CORP string

// The values of Cross-Origin-Resource-Policy.
const (
	CORPSameOrigin  CORP = "same-origin"
	CORPSameSite    CORP = "same-site"
	CORPCrossOrigin CORP = "cross-origin" // for public images, fonts, scripts that others embed
)

var corps = []string{string(CORPSameOrigin), string(CORPSameSite), string(CORPCrossOrigin)}

// SiteData is a directive of Clear-Site-Data (W3C Clear Site Data, section 3.1),
// without its quotes. Browsers obey it over HTTPS only.
type SiteData string

// The directives of Clear-Site-Data.
const (
	ClearCache             SiteData = "cache"
	ClearClientHints       SiteData = "clientHints"
	ClearCookies           SiteData = "cookies"
	ClearExecutionContexts SiteData = "executionContexts"
	ClearPrefetchCache     SiteData = "prefetchCache"
	ClearPrerenderCache    SiteData = "prerenderCache"
	ClearStorage           SiteData = "storage"
	ClearEverything        SiteData = "*" // what future browsers add, too
)

var siteData = []string{
	string(ClearCache), string(ClearClientHints), string(ClearCookies), string(ClearExecutionContexts),
	string(ClearPrefetchCache), string(ClearPrerenderCache), string(ClearStorage), string(ClearEverything),
}

// Integrity is Integrity-Policy (W3C Subresource Integrity, section 3.5): scripts
// or styles without an integrity attribute are not loaded, so a CDN cannot
// change what it serves.
type Integrity struct {
	// BlockedDestinations is what needs integrity: "script", "style".
	BlockedDestinations []string
	// Endpoints are names of Config.Reporting.
	Endpoints []string
	// ReportOnly only reports, under Integrity-Policy-Report-Only.
	ReportOnly bool
}

var integrityDestinations = []string{"script", "style"}

func (i *Integrity) name() string {
	if i.ReportOnly {
		return "Integrity-Policy-Report-Only"
	}
	return "Integrity-Policy"
}

func (i *Integrity) wire() string {
	s := "blocked-destinations=(" + strings.Join(i.BlockedDestinations, " ") + ")"
	if len(i.Endpoints) > 0 {
		s += ", endpoints=(" + strings.Join(i.Endpoints, " ") + ")"
	}
	return s
}

// isKey tells whether s is a key of a structured field (RFC 9651, section 3.1.2):
// the name of a feature or an endpoint. Every key but one that begins with "*"
// is a token too, as report-to and Integrity-Policy need it.
func isKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || strings.IndexByte("_-.*", c) >= 0):
		default:
			return false
		}
	}
	return s != ""
}

// endpointProblem checks the URL that reports are sent to.
func endpointProblem(s string) string {
	if why := bytesProblem(s); why != "" {
		return why
	}
	if strings.ContainsAny(s, `'\{}<>`) {
		return "has a character that a URL must percent-encode"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is no URL"
	case u.User != nil:
		return "has user information; a collector cannot keep a secret that every visitor is sent"
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return "has a fragment, which is never sent"
	case u.Scheme == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//"):
		return ""
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return `is neither a path ("/reports") nor an https URL`
	}
	a, err := hostport.Parse(u.Host)
	switch {
	case err != nil && !strings.HasPrefix(u.Host, "["):
		return "has a host that " + err.Error()
	case err != nil:
		return "has a wrong IPv6 address"
	case u.Scheme == "http" && a.Name != "localhost" && !a.Addr.IsLoopback():
		return "is plain HTTP; browsers send reports only over HTTPS, or to a loopback host"
	}
	return ""
}

// quoted puts each value between double quotes: Clear-Site-Data.
func quoted[S ~string](list []S) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = `"` + string(v) + `"`
	}
	return strings.Join(out, ", ")
}

func joined[S ~string](list []S) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}

// known checks one value of a closed list.
func known(s string, list []string) string {
	if slices.Contains(list, s) {
		return ""
	}
	if len(list) < 6 {
		return "is none of " + strings.Join(list, ", ")
	}
	return "is no value of this header" + didYouMean(s, list)
}
