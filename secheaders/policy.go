package secheaders

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// Policy is a Content Security Policy (W3C CSP Level 3) with one field for each
// directive, so that a directive cannot be misspelt or given twice.
//
// A nil field is not set. An empty field that is not nil is an error, because it
// is usually a list that somebody forgot to fill; to forbid everything write
// []Source{None}. Deprecated directives (block-all-mixed-content, plugin-types,
// referrer, navigate-to and so on) have no field.
//
// A Policy is plain data: copy it freely, share it only while nobody writes.
type Policy struct {
	Default    []Source // default-src: the fallback of all fetch directives
	Script     []Source // script-src
	ScriptElem []Source // script-src-elem: <script> only
	ScriptAttr []Source // script-src-attr: onclick= and the like
	Style      []Source // style-src
	StyleElem  []Source // style-src-elem: <style> and stylesheets
	StyleAttr  []Source // style-src-attr: style=
	Img        []Source // img-src: images and icons
	Font       []Source // font-src
	Connect    []Source // connect-src: fetch, XHR, WebSocket, EventSource, beacons
	Media      []Source // media-src: audio, video, tracks
	Object     []Source // object-src: <object>, <embed>
	Frame      []Source // frame-src: what this page may embed
	Child      []Source // child-src: fallback of frame-src and worker-src
	Worker     []Source // worker-src: workers, shared and service workers
	Manifest   []Source // manifest-src: web app manifest
	BaseURI    []Source // base-uri: <base>; default-src does not cover it
	FormAction []Source // form-action: where forms may go; default-src does not cover it
	// FrameAncestors is frame-ancestors: who may embed this page (clickjacking).
	// default-src does not cover it. X-Frame-Options follows it, see Config.Frame.
	FrameAncestors []Source
	// Sandbox treats the page as a sandboxed iframe, less the tokens. Empty but
	// not nil is the bare directive: everything forbidden. Not for report-only.
	Sandbox []SandboxToken
	// TrustedTypes is trusted-types: the names of the policies that may be
	// created, "'allow-duplicates'", "*", or "'none'" alone.
	TrustedTypes []string
	// RequireTrustedTypes is require-trusted-types-for 'script': DOM sinks such
	// as innerHTML refuse plain strings (DOM XSS).
	RequireTrustedTypes bool
	// UpgradeInsecure is upgrade-insecure-requests: http: addresses in the page
	// are fetched over https:. It is sent only with answers over HTTPS: on a
	// plain-HTTP page (development) it would break every link. Not for report-only.
	UpgradeInsecure bool
	// ReportTo is report-to: the name of one endpoint of Config.Reporting.
	ReportTo string
	// ReportURI is report-uri: https URLs, or paths on this host. Deprecated in
	// favour of ReportTo, but what Firefox and older browsers know; a browser that
	// knows report-to ignores it.
	ReportURI []string
}

// SandboxToken lifts one restriction of the sandbox directive.
type SandboxToken string

// The sandbox tokens (HTML, section 7.5).
const (
	AllowDownloads                      SandboxToken = "allow-downloads"
	AllowForms                          SandboxToken = "allow-forms"
	AllowModals                         SandboxToken = "allow-modals"
	AllowOrientationLock                SandboxToken = "allow-orientation-lock"
	AllowPointerLock                    SandboxToken = "allow-pointer-lock"
	AllowPopups                         SandboxToken = "allow-popups"
	AllowPopupsToEscapeSandbox          SandboxToken = "allow-popups-to-escape-sandbox"
	AllowPresentation                   SandboxToken = "allow-presentation"
	AllowSameOrigin                     SandboxToken = "allow-same-origin"
	AllowScripts                        SandboxToken = "allow-scripts"
	AllowStorageAccessByUserActivation  SandboxToken = "allow-storage-access-by-user-activation"
	AllowTopNavigation                  SandboxToken = "allow-top-navigation"
	AllowTopNavigationByUserActivation  SandboxToken = "allow-top-navigation-by-user-activation"
	AllowTopNavigationToCustomProtocols SandboxToken = "allow-top-navigation-to-custom-protocols"
)

var sandboxTokens = []string{
	string(AllowDownloads), string(AllowForms), string(AllowModals), string(AllowOrientationLock),
	string(AllowPointerLock), string(AllowPopups), string(AllowPopupsToEscapeSandbox),
	string(AllowPresentation), string(AllowSameOrigin), string(AllowScripts),
	string(AllowStorageAccessByUserActivation), string(AllowTopNavigation),
	string(AllowTopNavigationByUserActivation), string(AllowTopNavigationToCustomProtocols),
}

// directive is one that takes a list of sources.
type directive struct {
	name  string // on the wire
	field string // of Policy
	in    group
	list  func(*Policy) *[]Source
}

// directives stands in the order of the wire: default-src, then by name.
var directives = []directive{
	{"default-src", "Default", inDefault, func(p *Policy) *[]Source { return &p.Default }},
	{"base-uri", "BaseURI", inFetch, func(p *Policy) *[]Source { return &p.BaseURI }},
	{"child-src", "Child", inFetch, func(p *Policy) *[]Source { return &p.Child }},
	{"connect-src", "Connect", inFetch, func(p *Policy) *[]Source { return &p.Connect }},
	{"font-src", "Font", inFetch, func(p *Policy) *[]Source { return &p.Font }},
	{"form-action", "FormAction", inFetch, func(p *Policy) *[]Source { return &p.FormAction }},
	{"frame-ancestors", "FrameAncestors", inAncestors, func(p *Policy) *[]Source { return &p.FrameAncestors }},
	{"frame-src", "Frame", inFetch, func(p *Policy) *[]Source { return &p.Frame }},
	{"img-src", "Img", inFetch, func(p *Policy) *[]Source { return &p.Img }},
	{"manifest-src", "Manifest", inFetch, func(p *Policy) *[]Source { return &p.Manifest }},
	{"media-src", "Media", inFetch, func(p *Policy) *[]Source { return &p.Media }},
	{"object-src", "Object", inFetch, func(p *Policy) *[]Source { return &p.Object }},
	{"script-src", "Script", inScript, func(p *Policy) *[]Source { return &p.Script }},
	{"script-src-attr", "ScriptAttr", inScriptAttr, func(p *Policy) *[]Source { return &p.ScriptAttr }},
	{"script-src-elem", "ScriptElem", inScriptElem, func(p *Policy) *[]Source { return &p.ScriptElem }},
	{"style-src", "Style", inStyle, func(p *Policy) *[]Source { return &p.Style }},
	{"style-src-attr", "StyleAttr", inStyleAttr, func(p *Policy) *[]Source { return &p.StyleAttr }},
	{"style-src-elem", "StyleElem", inStyleElem, func(p *Policy) *[]Source { return &p.StyleElem }},
	{"worker-src", "Worker", inFetch, func(p *Policy) *[]Source { return &p.Worker }},
}

// The directives that take no sources. They are printed after the others, in
// this order.
const (
	dirSandbox      = "sandbox"
	dirTrustedTypes = "trusted-types"
	dirRequireTT    = "require-trusted-types-for"
	dirReportURI    = "report-uri"
	dirReportTo     = "report-to"
	dirUpgrade      = "upgrade-insecure-requests"
)

// String is the policy on one line, as it is sent over HTTPS: default-src first,
// the other directives with sources by name, then sandbox, trusted-types,
// require-trusted-types-for, report-uri, report-to, upgrade-insecure-requests.
// The sources keep their order and spelling. String does not check; New and
// ParsePolicy do.
func (p *Policy) String() string { return p.wire(true) }

// wire prints the policy, with upgrade-insecure-requests only where secure.
func (p *Policy) wire(secure bool) string {
	var b strings.Builder
	for _, d := range directives {
		if list := *d.list(p); list != nil {
			writeDirective(&b, d.name, list)
		}
	}
	if p.Sandbox != nil {
		writeDirective(&b, dirSandbox, p.Sandbox)
	}
	if p.TrustedTypes != nil {
		writeDirective(&b, dirTrustedTypes, p.TrustedTypes)
	}
	if p.RequireTrustedTypes {
		writeDirective(&b, dirRequireTT, []string{"'script'"})
	}
	if p.ReportURI != nil {
		writeDirective(&b, dirReportURI, p.ReportURI)
	}
	if p.ReportTo != "" {
		writeDirective(&b, dirReportTo, []string{p.ReportTo})
	}
	if p.UpgradeInsecure && secure {
		writeDirective(&b, dirUpgrade, []string(nil))
	}
	return b.String()
}

func writeDirective[S ~string](b *strings.Builder, name string, values []S) {
	if b.Len() > 0 {
		b.WriteString("; ")
	}
	b.WriteString(name)
	for _, v := range values {
		b.WriteByte(' ')
		b.WriteString(string(v))
	}
}

// clone copies the policy with its lists; nil stays nil and empty stays empty.
func (p *Policy) clone() *Policy {
	if p == nil {
		return nil
	}
	c := *p
	for _, d := range directives {
		*d.list(&c) = slices.Clone(*d.list(p))
	}
	c.Sandbox = slices.Clone(p.Sandbox)
	c.TrustedTypes = slices.Clone(p.TrustedTypes)
	c.ReportURI = slices.Clone(p.ReportURI)
	return &c
}

// policyCheck collects the mistakes of one policy. Prefix is "CSP." in a Config,
// where mistakes are named by field; without it they are named by directive.
type policyCheck struct {
	*mistakes.List
	prefix string
}

func (c policyCheck) at(field, name string) string {
	if c.prefix == "" {
		return name
	}
	return c.prefix + field
}

func (c policyCheck) policy(p *Policy) {
	for _, d := range directives {
		if list := *d.list(p); list != nil {
			c.sources(d, list)
		}
	}
	c.sandbox(p.Sandbox)
	if p.TrustedTypes != nil {
		c.trustedTypes(p.TrustedTypes)
	}
	if p.ReportURI != nil {
		c.reportURI(p.ReportURI)
	}
	if at := c.at("ReportTo", dirReportTo); p.ReportTo != "" && !isKey(p.ReportTo) {
		c.Add(at, p.ReportTo, "is no endpoint name (lower-case letters, digits, -, _, . and *, beginning with a letter)")
	}
}

// indexed names one element of a list.
func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func (c policyCheck) sources(d directive, list []Source) {
	field := c.at(d.field, d.name)
	if len(list) == 0 {
		c.Add(field, "", "is empty; to forbid everything write None, to leave the directive out leave it nil")
		return
	}
	before := c.Len()
	trusted := false // a nonce or a hash
	for i, s := range list {
		if why := s.problem(d.in); why != "" {
			c.Add(indexed(field, i), string(s), why)
		}
		if slices.Contains(list[:i], s) {
			c.Add(indexed(field, i), string(s), "is listed twice")
		}
		trusted = trusted || s.isTrust()
	}
	if c.Len() > before {
		return
	}
	if len(list) > 1 && slices.Contains(list, None) {
		c.Add(field, "", "has 'none' beside other sources, where browsers ignore it; remove it or the others")
	}
	if slices.Contains(list, StrictDynamic) && !trusted {
		c.Add(field, "", "has 'strict-dynamic' without a nonce or a hash, so no script at all can run; add NonceSource or SHA256")
	}
}

// isTrust tells whether the source is a nonce or a hash: what 'strict-dynamic'
// passes on, and what makes browsers ignore 'unsafe-inline'.
func (s Source) isTrust() bool {
	return s == NonceSource || strings.HasPrefix(string(s), "'sha")
}

func (c policyCheck) sandbox(tokens []SandboxToken) {
	field := c.at("Sandbox", dirSandbox)
	for i, t := range tokens {
		switch {
		case !slices.Contains(sandboxTokens, string(t)):
			c.Add(indexed(field, i), string(t), "is no sandbox token"+didYouMean(string(t), sandboxTokens))
		case slices.Contains(tokens[:i], t):
			c.Add(indexed(field, i), string(t), "is listed twice")
		}
	}
}

func (c policyCheck) trustedTypes(names []string) {
	field := c.at("TrustedTypes", dirTrustedTypes)
	if len(names) == 0 {
		c.Add(field, "", "is empty; to allow no policy write \"'none'\"")
	}
	for i, n := range names {
		switch {
		case slices.Contains(names[:i], n):
			c.Add(indexed(field, i), n, "is listed twice")
		case n == "'none'" && len(names) > 1:
			c.Add(indexed(field, i), n, "stands beside other names, where browsers ignore it")
		case n == "'none'" || n == "'allow-duplicates'" || n == "*":
		case !isPolicyName(n):
			c.Add(indexed(field, i), n, "%s", "is no policy name (letters, digits and - # = _ / @ . %) and no keyword in single quotes")
		}
	}
}

// isPolicyName is tt-policy-name of Trusted Types, section 4.2.2.
func isPolicyName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c|0x20 || c|0x20 > 'z') && ('0' > c || c > '9') && strings.IndexByte("-#=_/@.%", c) < 0 {
			return false
		}
	}
	return s != ""
}

func (c policyCheck) reportURI(list []string) {
	field := c.at("ReportURI", dirReportURI)
	if len(list) == 0 {
		c.Add(field, "", "is empty; leave it nil")
	}
	for i, u := range list {
		if why := endpointProblem(u); why != "" {
			c.Add(indexed(field, i), u, why)
		} else if slices.Contains(list[:i], u) {
			c.Add(indexed(field, i), u, "is listed twice")
		}
	}
}
