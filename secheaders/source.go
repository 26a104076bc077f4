package secheaders

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// Source is one source expression of a CSP directive, as on the wire: a keyword
// in its single quotes, a hash, a scheme with its colon, or a host with optional
// scheme, port and path. The constants and [SHA256], [Origin] and [Scheme] make
// them; a literal such as "https://cdn.example.com/lib/" is fine too. New and
// ParsePolicy check every Source: a `;`, `,`, space or control byte, a keyword
// without its quotes or with a spelling mistake, and a keyword that has no effect
// in its directive are errors.
type Source string

// The keywords (CSP Level 3, section 2.3.1).
const (
	// Self is the page's own origin: scheme, host and port.
	Self Source = "'self'"
	// None allows nothing. It stands alone.
	None Source = "'none'"
	// UnsafeInline allows every inline script or style, an injected one too: it
	// undoes what a CSP is for. Prefer [SHA256], [HashHTML] or [NonceSource].
	UnsafeInline Source = "'unsafe-inline'"
	// UnsafeEval allows eval and the Function constructor: an attacker who can
	// write into a string that the page evaluates runs code.
	UnsafeEval Source = "'unsafe-eval'"
	// StrictDynamic lets a script that was allowed by nonce or hash load others,
	// and makes browsers ignore hosts, schemes and 'self' beside it.
	StrictDynamic Source = "'strict-dynamic'"
	// WasmUnsafeEval allows WebAssembly to be compiled, but not eval.
	WasmUnsafeEval Source = "'wasm-unsafe-eval'"
	// UnsafeHashes lets hashes match event-handler and style attributes.
	UnsafeHashes Source = "'unsafe-hashes'"
	// ReportSample puts the first 40 characters of what was blocked in the report.
	ReportSample Source = "'report-sample'"
	// InlineSpeculationRules allows inline <script type=speculationrules>.
	InlineSpeculationRules Source = "'inline-speculation-rules'"
	// TrustedTypesEval allows eval of TrustedScript values only.
	TrustedTypesEval Source = "'trusted-types-eval'"
	// NonceSource stands for the nonce of this response, drawn anew for each; see
	// [Nonce]. A nonce written out in a Config would be the same for everybody,
	// the attacker included, and is an error. The braces are no nonce character:
	// printed as it is, it allows nothing.
	NonceSource Source = "'nonce-{nonce}'"
)

// noncePlace is what a compiled policy replaces by the response's nonce.
const noncePlace = "{nonce}"

// SHA256 is the hash source of an inline script or style: of the bytes between
// its tags, exactly as they are served.
//
//	secheaders.SHA256([]byte(`console.log("hello")`))
func SHA256(inline []byte) Source {
	sum := sha256.Sum256(inline)
	return Source("'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
}

// Origin is a source made of a serialised origin, "https://cdn.example.com" or
// "https://cdn.example.com:8443". Whatever s is, the result is never a keyword,
// so a string from the environment cannot become 'unsafe-inline'; what is no
// origin is refused by New.
func Origin(s string) Source {
	if originProblem(s) != "" {
		return Source(notOrigin + strconv.Quote(s) + ")")
	}
	return Source(s)
}

// These mark the results of Origin and Scheme for strings that are none.
const (
	notOrigin = "Origin("
	notScheme = "Scheme("
)

// Scheme is a source made of a scheme with or without its colon: "data", "blob:".
// Whatever s is, the result is never a keyword or a host; what is no scheme is
// refused by New.
func Scheme(s string) Source {
	s = strings.TrimSuffix(s, ":")
	if !isScheme(s) {
		return Source(notScheme + strconv.Quote(s) + ")")
	}
	return Source(s + ":")
}

// originProblem says why s is no serialised origin with a host, or "".
func originProblem(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok || !isScheme(scheme):
		return `is no origin; write it like "https://cdn.example.com"`
	case strings.ContainsAny(rest, "/?#"):
		return "has a path, query or fragment; an origin is scheme, host and port"
	}
	if strings.HasPrefix(rest, "*") {
		return "is a pattern, not an origin"
	}
	a, err := hostport.Parse(rest)
	switch {
	case err != nil:
		return "has a host that " + err.Error()
	case a.Upper:
		return "has upper-case letters; browsers serialise origins in lower case"
	}
	return ""
}

// group says which directives a source may stand in.
type group uint16

const (
	inDefault group = 1 << iota
	inScript
	inScriptElem
	inScriptAttr
	inStyle
	inStyleElem
	inStyleAttr
	inFetch     // img-src, connect-src and so on, base-uri, form-action
	inAncestors // frame-ancestors: no path

	inScripts = inScript | inScriptElem | inScriptAttr
	inStyles  = inStyle | inStyleElem | inStyleAttr
	inAny     = inDefault | inScripts | inStyles | inFetch | inAncestors
)

// keywords tells where each keyword has an effect (CSP Level 3, sections 6 and 8).
var keywords = []struct {
	source Source
	in     group
}{
	{Self, inAny},
	{None, inAny},
	{UnsafeInline, inDefault | inScripts | inStyles},
	{UnsafeEval, inDefault | inScript},
	{StrictDynamic, inDefault | inScript | inScriptElem},
	{WasmUnsafeEval, inDefault | inScript},
	{UnsafeHashes, inDefault | inScript | inScriptAttr | inStyle | inStyleAttr},
	{ReportSample, inDefault | inScripts | inStyles},
	{InlineSpeculationRules, inDefault | inScript | inScriptElem},
	{TrustedTypesEval, inDefault | inScript},
	{NonceSource, inDefault | inScript | inScriptElem | inStyle | inStyleElem},
}

const noEffect = "has no effect in this directive; browsers ignore it"

// problem says what is wrong with the source in a directive of the group, or "".
func (s Source) problem(in group) string {
	text := string(s)
	if text == "" {
		return "is empty; leave it out"
	}
	if why := markedProblem(text); why != "" {
		return why
	}
	if why := bytesProblem(text); why != "" {
		return why
	}
	if text[0] == '\'' || text[len(text)-1] == '\'' {
		return s.quotedProblem(in)
	}
	if why := unquotedKeyword(text); why != "" {
		return why
	}
	if scheme, ok := strings.CutSuffix(text, ":"); ok && !strings.Contains(scheme, "/") {
		return schemeProblem(scheme)
	}
	return hostProblem(text, in)
}

// markedProblem says why Origin or Scheme refused the string they were given.
// Nobody gets past with such a mark of his own: its double quotes are refused.
func markedProblem(text string) string {
	for mark, problem := range map[string]func(string) string{notOrigin: originProblem, notScheme: schemeProblem} {
		if quoted, ok := strings.CutPrefix(text, mark); ok {
			if v, err := strconv.Unquote(strings.TrimSuffix(quoted, ")")); err == nil {
				return problem(v)
			}
		}
	}
	return ""
}

// bytesProblem refuses every byte that could end the source, its directive or
// the policy, or that would lose the whole header (HTTP/2 drops a field with a
// control byte).
func bytesProblem(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case c == ';':
			return "has a semicolon, which would begin another directive; in a path write %3B"
		case c == ',':
			return "has a comma, which would begin another policy; in a path write %2C"
		case c == ' ' || '\t' <= c && c <= '\r':
			return "has white space; give each source an element of its own"
		case c < ' ' || c == 0x7f:
			return "has a control byte"
		case c > 0x7f:
			return "is not ASCII; write a host in its xn-- form and a path percent-encoded"
		case c == '"':
			return "has a double quote; keywords stand in single quotes, everything else in none"
		}
	}
	return ""
}

// quotedProblem checks keywords, hashes and nonces.
func (s Source) quotedProblem(in group) string {
	for _, k := range keywords {
		if s == k.source {
			if in&k.in == 0 {
				return noEffect
			}
			return ""
		}
	}
	inner := strings.Trim(string(s), "'")
	if strings.HasPrefix(inner, "nonce-") {
		return "is a fixed nonce, the same for everybody who reads the page; use NonceSource, which is drawn for each response"
	}
	if algorithm, value, ok := strings.Cut(inner, "-"); ok {
		if size := hashSizes[algorithm]; size != 0 {
			return hashProblem(string(s), inner, value, size, in)
		}
	}
	names := make([]string, len(keywords))
	for i, k := range keywords {
		names[i] = string(k.source)
	}
	return "is no keyword of CSP" + didYouMean("'"+strings.ToLower(inner)+"'", names)
}

var hashSizes = map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}

func hashProblem(s, inner, value string, size int, in group) string {
	if s != "'"+inner+"'" {
		return "needs a single quote at both ends"
	}
	// Browsers take both base64 alphabets (CSP Level 3, section 6.7.2.3), but
	// compare with the padded form.
	std := strings.NewReplacer("-", "+", "_", "/").Replace(value)
	sum, err := base64.StdEncoding.Strict().DecodeString(std)
	switch {
	case err != nil:
		return "is no padded base64 after the dash"
	case len(sum) != size:
		return "is a hash of " + strconv.Itoa(len(sum)) + " bytes where the algorithm has " + strconv.Itoa(size)
	case in&(inDefault|inScripts|inStyles) == 0:
		return noEffect
	}
	return ""
}

// unquotedKeyword finds self, none and the like without their quotes: the
// grammar reads these as host names.
func unquotedKeyword(s string) string {
	lower := strings.ToLower(s)
	for _, k := range keywords {
		if "'"+lower+"'" == string(k.source) {
			return "is a keyword without its single quotes, which browsers read as a host name; write " + string(k.source)
		}
	}
	for _, prefix := range []string{"nonce-", "sha256-", "sha384-", "sha512-"} {
		if strings.HasPrefix(lower, prefix) {
			return "needs single quotes; without them browsers read it as a host name"
		}
	}
	return ""
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || strings.IndexByte("+-.", c) >= 0) {
			continue
		}
		return false
	}
	return s != ""
}

func schemeProblem(scheme string) string {
	switch {
	case strings.ToLower(scheme) != scheme:
		return "has upper-case letters; write it in lower case"
	case !isScheme(scheme):
		return "is no scheme (letters, digits, +, - and . before the colon)"
	case strings.Contains(scheme, ".") || scheme == "localhost":
		return "reads as a scheme; for any port of a host write host:*"
	}
	known := []string{"http", "https", "ws", "wss", "data", "blob", "filesystem", "mediastream"}
	for _, k := range known {
		if distance(scheme, k) == 1 && !slices.Contains(known, scheme) {
			return "is no scheme that browsers know; did you mean " + strconv.Quote(k+":") + "?"
		}
	}
	return ""
}

// hostProblem checks a host-source: [scheme "://"] host [":" port] [path].
func hostProblem(s string, in group) string {
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if why := schemeProblem(scheme); why != "" {
			return why
		}
		rest = after
	}
	host, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if why := pathProblem(path, in); why != "" {
		return why
	}
	if h, ok := strings.CutSuffix(host, ":*"); ok {
		host = h
	}
	name, wild := strings.CutPrefix(host, "*.")
	if host == "*" {
		return ""
	}
	if port, ok := strings.CutPrefix(host, "*:"); ok {
		name = "any:" + port // only the port is left to check
	}
	if strings.HasPrefix(name, "[") {
		return "is an IPv6 address, which CSP cannot name; use a host name"
	}
	a, err := hostport.Parse(name)
	switch {
	case err != nil:
		return "has a host that " + err.Error()
	case a.Upper:
		return "has upper-case letters; write the host in lower case"
	case a.Dot:
		return "has a host that ends in a dot"
	case wild && a.Addr.IsValid():
		return "has a wildcard before an address"
	case strings.HasSuffix(name, ":"):
		return "has an empty port; write host:* for any port"
	}
	return ""
}

func pathProblem(path string, in group) string {
	switch {
	case path == "":
		return ""
	case strings.ContainsAny(path, "?#"):
		return "has a query or fragment, which CSP never compares; end it before"
	case in&inAncestors != 0:
		return "has a path; frame-ancestors compares origins only"
	case strings.ContainsAny(path, `\<>^{|}'`+"`"):
		return "has a character that a path must percent-encode"
	}
	if _, err := url.PathUnescape(path); err != nil {
		return "has a path with a wrong percent-encoding"
	}
	return ""
}

// didYouMean suggests the nearest of known, or nothing.
func didYouMean(s string, known []string) string {
	if near := nearest(s, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// nearest returns the one of known that is two edits or fewer away from s, s
// itself where it is one of them, or "".
func nearest(s string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(s, k); d < at && (d == 0 || d < len(k)/2) {
			best, at = k, d
		}
	}
	return best
}

// distance is the edit distance of two short strings; far for long ones.
func distance(a, b string) int {
	const far = 64
	if len(a) > far || len(b) > far {
		return far
	}
	var row [far + 1]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
