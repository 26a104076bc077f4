package secheaders

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is one report of a browser. Everything in it is what the sender wrote,
// less control characters, and less user, query and fragment in every URL: treat
// it as hostile. It is plain data of its own, safe to keep.
type Report struct {
	// Type is "csp-violation", "permissions-policy-violation", "coop", "coep",
	// "integrity-violation", "deprecation", "intervention", "crash" and so on.
	Type string
	// URL is the page: "https://example.com/cart".
	URL string
	// UserAgent is the browser that reports, by the report or the request.
	UserAgent string
	// Age is how long ago it happened when the browser sent it; browsers send
	// in batches, a minute later or so. 0 for report-uri bodies.
	Age time.Duration
	// CSP is set for csp-violation, nil for every other type.
	CSP *CSPViolation
	// Body is the type's own object as JSON, or null. Its URLs are scrubbed, too.
	Body json.RawMessage
}

// CSPViolation is what a policy blocked or, if report-only, would have blocked.
type CSPViolation struct {
	DocumentURL    string // the page
	Referrer       string // where the visitor came from
	BlockedURL     string // a URL, or "inline", "eval", "wasm-eval", "trusted-types-sink", or a bare scheme: "data"
	Directive      string // the directive that decided: "script-src-elem"
	OriginalPolicy string // the whole policy
	Disposition    string // "enforce" or "report"
	SourceFile     string // the script that asked
	Line, Column   int    // in SourceFile, from 1; 0 unknown
	Status         int    // of the page, 0 unknown
	Sample         string // up to 40 characters, with ReportSample
}

const (
	typeReports = "application/reports+json"
	typeLegacy  = "application/csp-report"

	// maxDepth is deeper than any report that browsers send; what is deeper is
	// built to cost whoever walks it.
	maxDepth = 16
	// maxText bounds the strings of a Report in bytes, but for the policy.
	maxText = 2048
	maxAge  = 7 * 24 * time.Hour
)

// parseReports reads a whole body; ok is false if any of it is not a report.
func parseReports(kind string, body []byte, limit int) (reports []Report, ok bool) {
	if !utf8.Valid(body) || tooDeep(body) || !json.Valid(body) {
		return nil, false
	}
	if kind == typeLegacy {
		r, ok := legacyReport(body)
		return []Report{r}, ok
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, false
	}
	for dec.More() && len(reports) < limit {
		r, ok := oneReport(dec)
		if !ok {
			return nil, false
		}
		reports = append(reports, r)
	}
	return reports, true
}

// tooDeep counts brackets outside strings before any parser recurses into them.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// oneReport reads one element of a batch: Reporting API, section 2.4 and 4.
func oneReport(dec *json.Decoder) (Report, bool) {
	var in struct {
		Type      string          `json:"type"`
		URL       string          `json:"url"`
		UserAgent string          `json:"user_agent"`
		Age       float64         `json:"age"`
		Body      json.RawMessage `json:"body"`
	}
	if err := dec.Decode(&in); err != nil || !isKey(in.Type) || len(in.Type) > 64 {
		return Report{}, false
	}
	r := Report{Type: in.Type, URL: scrub(in.URL), UserAgent: clean(in.UserAgent), Age: age(in.Age)}
	if in.Type == "csp-violation" {
		var v modernCSP
		if len(in.Body) == 0 || in.Body[0] != '{' {
			return Report{}, false
		}
		if err := json.Unmarshal(in.Body, &v); err != nil {
			return Report{}, false
		}
		r.CSP = v.violation()
	}
	var ok bool
	r.Body, ok = scrubJSON(in.Body)
	return r, ok
}

func age(ms float64) time.Duration {
	if !(ms > 0) {
		return 0
	}
	return time.Duration(min(ms, float64(maxAge/time.Millisecond))) * time.Millisecond
}

type modernCSP struct {
	DocumentURL    string  `json:"documentURL"`
	Referrer       string  `json:"referrer"`
	BlockedURL     string  `json:"blockedURL"`
	Directive      string  `json:"effectiveDirective"`
	OriginalPolicy string  `json:"originalPolicy"`
	Disposition    string  `json:"disposition"`
	SourceFile     string  `json:"sourceFile"`
	Line           float64 `json:"lineNumber"`
	Column         float64 `json:"columnNumber"`
	Status         float64 `json:"statusCode"`
	Sample         string  `json:"sample"`
}

// legacyCSP is the body of report-uri: CSP Level 3, section 5.3.
type legacyCSP struct {
	DocumentURL    string  `json:"document-uri"`
	Referrer       string  `json:"referrer"`
	BlockedURL     string  `json:"blocked-uri"`
	Directive      string  `json:"effective-directive"`
	Violated       string  `json:"violated-directive"`
	OriginalPolicy string  `json:"original-policy"`
	Disposition    string  `json:"disposition"`
	SourceFile     string  `json:"source-file"`
	Line           float64 `json:"line-number"`
	Column         float64 `json:"column-number"`
	Status         float64 `json:"status-code"`
	Sample         string  `json:"script-sample"`
}

func (v modernCSP) violation() *CSPViolation {
	return &CSPViolation{
		DocumentURL: scrub(v.DocumentURL), Referrer: scrub(v.Referrer), BlockedURL: scrub(v.BlockedURL),
		Directive: clean(v.Directive), OriginalPolicy: printable(v.OriginalPolicy), Disposition: clean(v.Disposition),
		SourceFile: scrub(v.SourceFile), Line: number(v.Line), Column: number(v.Column), Status: number(v.Status), Sample: clean(v.Sample),
	}
}

// number is 0 for what is no line, column or status.
func number(f float64) int {
	if f >= 0 && f <= 1<<30 {
		return int(f)
	}
	return 0
}

func legacyReport(body []byte) (Report, bool) {
	var in struct {
		Report json.RawMessage `json:"csp-report"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Report) == 0 || in.Report[0] != '{' {
		return Report{}, false
	}
	var v legacyCSP
	if err := json.Unmarshal(in.Report, &v); err != nil {
		return Report{}, false
	}
	if v.Directive == "" { // older browsers send the directive with its sources
		v.Directive, _, _ = strings.Cut(v.Violated, " ")
	}
	csp := modernCSP{
		v.DocumentURL, v.Referrer, v.BlockedURL, v.Directive, v.OriginalPolicy, v.Disposition,
		v.SourceFile, v.Line, v.Column, v.Status, v.Sample,
	}.violation()
	scrubbed, ok := scrubJSON(in.Report)
	return Report{Type: "csp-violation", URL: csp.DocumentURL, CSP: csp, Body: scrubbed}, ok
}

// extensions are the schemes of what visitors have installed: nothing that the
// site could mend.
var extensions = []string{
	"chrome-extension", "moz-extension", "safari-extension", "safari-web-extension", "webkit-masked-url", "ms-browser-extension", "edge-extension",
}

// noise tells whether an extension caused the report: it is the page, or one of the
// URLs in the body. Older browsers send the bare scheme.
func (r *Report) noise() bool {
	for _, scheme := range extensions {
		if strings.HasPrefix(r.URL, scheme+":") ||
			bytes.Contains(r.Body, []byte(`"`+scheme+`:`)) || bytes.Contains(r.Body, []byte(`"`+scheme+`"`)) {
			return true
		}
	}
	return false
}

// scrub takes from a URL what may be secret: user and password, query, fragment,
// and everything of a data: or blob: URL but its scheme.
func scrub(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case ok && isScheme(strings.ToLower(scheme)):
		host, path, _ := strings.Cut(rest, "/")
		if i := strings.LastIndexByte(host, '@'); i >= 0 {
			s = scheme + "://" + host[i+1:]
			if len(host) < len(rest) {
				s += "/" + path
			}
		}
	default:
		for _, opaque := range []string{"data:", "blob:", "javascript:"} {
			if len(s) >= len(opaque) && strings.EqualFold(s[:len(opaque)], opaque) {
				s = s[:len(opaque)-1]
				break
			}
		}
	}
	return clean(s)
}

// clean cuts a string and takes its control characters, which forge log lines.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return printable(s)
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// secrets are the parts of URLs inside a text that scrub takes from a URL alone.
var secrets = regexp.MustCompile(`(://)[^/\s"'<>?#]*@|(://[^\s"'<>?#]*)[?#][^\s"'<>]*`)

// scrubJSON scrubs the URLs in every string, at any depth. A body that
// is neither an object nor missing is no report's.
func scrubJSON(raw json.RawMessage) (json.RawMessage, bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("null"), true
	}
	if raw[0] != '{' {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	out, err := json.Marshal(scrubValue(v))
	return out, err == nil
}

func scrubValue(v any) any {
	switch v := v.(type) {
	case string:
		if scheme, _, ok := strings.Cut(v, ":"); ok && isScheme(strings.ToLower(scheme)) {
			return scrub(v)
		}
		return printable(secrets.ReplaceAllString(secrets.ReplaceAllString(v, "${1}${2}"), "${1}${2}"))
	case []any:
		for i := range v {
			v[i] = scrubValue(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = scrubValue(v[k])
		}
	}
	return v
}
