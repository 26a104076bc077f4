package correlation

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a client or a handler can put into one line, in bytes.
const (
	maxPath    = 1024 // before escaping
	maxValue   = 256  // of a header line, a user, a route
	maxMessage = 1024 // of a panic
	maxLines   = 8    // of one header
	maxKeys    = 32   // of the query
	maxKey     = 64
)

// headerLines copies and bounds a header. The query of a URL in a header is as
// secret as our own.
func headerLines(name string, lines []string) []string {
	isURL := name == "Referer" || strings.Contains(name, "Url") || strings.Contains(name, "Uri")
	out := make([]string, 0, min(len(lines), maxLines))
	for _, line := range lines[:min(len(lines), maxLines)] {
		if i := strings.IndexAny(line, "?#"); isURL && i >= 0 {
			line = line[:i]
		}
		out = append(out, tame(line, maxValue))
	}
	return out
}

// knownMethod bounds the values of http.request.method, as OpenTelemetry asks:
// a client may send any token as method.
func knownMethod(method string) (name string, known bool) {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "QUERY":
		return method, true
	}
	return "_OTHER", false
}

// routeOf takes the path of a ServeMux pattern, "[METHOD ][HOST]/[PATH]".
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

// logPath returns the path as it stands in a URL, percent-encoded: whatever was
// sent, no byte of it is a quote, a control or outside ASCII. It is cut before
// it is encoded, so that a long path costs no more than a short one.
func logPath(path, rawPath string) string {
	cut := ""
	if len(path) > maxPath {
		path, rawPath, cut = path[:maxPath], "", "..."
	}
	if rawPath == "" && isPlain(path) { // most are, and this is faster than EscapedPath
		return path + cut
	}
	u := url.URL{Path: path, RawPath: rawPath}
	return u.EscapedPath() + cut
}

// isPlain tells whether s is made of the unreserved characters of RFC 3986,
// section 2.3, and slashes: then it is its own encoding.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '/', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}

// queryKeys keeps the names of the parameters; see QueryKeys.
func queryKeys(raw string) string {
	var b strings.Builder
	for n := 0; raw != ""; n++ {
		if n > 0 {
			b.WriteByte('&')
		}
		if n == maxKeys {
			b.WriteString("...")
			break
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if key, _, found := strings.Cut(pair, "="); found {
			b.WriteString(tame(key, maxKey))
			b.WriteByte('=')
		}
		b.WriteString("REDACTED")
	}
	return b.String()
}

// tame bounds a value of foreign origin and leaves nothing in it that a
// terminal or a line-based tool would obey: no control bytes, no bidirectional
// overrides, no invalid UTF-8. A slog handler may escape or not.
func tame(s string, limit int) string {
	clean := len(s) <= limit
	for i := 0; clean && i < len(s); i++ {
		clean = ' ' <= s[i] && s[i] <= '~'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		if i >= limit {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(c) {
			c = utf8.RuneError
		}
		b.WriteRune(c)
	}
	return b.String()
}
