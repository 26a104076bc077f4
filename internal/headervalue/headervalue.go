// Package headervalue holds the few rules about HTTP field names and values
// that several packages need: RFC 9110, section 5, and for Location RFC 3986.
package headervalue

import (
	"net/http"
	"net/textproto"
	"strings"
)

// IsToken tells whether s is a token of RFC 9110, section 5.6.2: a method or a
// field name.
func IsToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if !isTchar(s[i]) {
			return false
		}
	}
	return true
}

func isTchar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsValue tells whether s may stand as a field value on every version of HTTP:
// visible ASCII, spaces and tabs, none of them at either end. net/http turns CR
// and LF into spaces on HTTP/1 and drops the whole field on HTTP/2, so a value
// with a control byte must be refused long before it is sent.
func IsValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return s == "" || (s[0] > ' ' && s[len(s)-1] > ' ')
}

// AddVary adds the given canonical field names to Vary, those not yet there,
// as one more line; names that are there, and "*", stay (RFC 9110, section
// 12.5.5). The line added is freshly allocated and never the array of another
// response.
func AddVary(h http.Header, names ...string) {
	have := h["Vary"]
	missing := names
	if len(have) > 0 {
		missing = make([]string, 0, len(names))
		for _, n := range names {
			if !HasListed(have, n) && !HasListed(have, "*") {
				missing = append(missing, n)
			}
		}
		if len(missing) == 0 {
			return
		}
	}
	line := strings.Join(missing, ", ")
	fresh := make([]string, len(have)+1)
	copy(fresh, have)
	fresh[len(have)] = line
	h["Vary"] = fresh
}

// HasListed tells whether one of the comma-separated lines holds name, without
// regard to case.
func HasListed(lines []string, name string) bool {
	for _, line := range lines {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			if strings.EqualFold(textproto.TrimString(item), name) {
				return true
			}
		}
	}
	return false
}

// EscapeQuery percent-encodes what no URI holds (RFC 3986, appendix A) and what
// would end the query, so that a request's query can stand in Location. HTTP/2
// carries such bytes, some of them HTTP/1 too, and net/url keeps them.
func EscapeQuery(q string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(q) {
		if c := q[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
