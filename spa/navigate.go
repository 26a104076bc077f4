package spa

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxPath bounds the path of a navigation, in bytes after decoding. Routes are
// shorter; what is longer is a 404.
const maxPath = 2048

// isNavigation is the built-in rule of Config.Navigate. Sec-Fetch-Dest is the
// browser's own word (Fetch Metadata) and no script can set it. A browser
// without it, a crawler and curl are told by Accept: axios' and fetch's
// "application/json, text/plain, */*" is no navigation.
func isNavigation(r *http.Request) bool {
	if dest := r.Header["Sec-Fetch-Dest"]; len(dest) > 0 {
		switch dest[0] {
		case "document", "iframe", "frame":
			return true
		}
		return false
	}
	accept := r.Header["Accept"]
	if len(accept) == 0 {
		return true
	}
	if len(accept) == 1 {
		if a := strings.Trim(accept[0], " \t"); a == "*/*" || a == "" {
			return true
		}
	}
	for _, line := range accept {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			name, params, _ := strings.Cut(item, ";")
			name = strings.Trim(name, " \t")
			if strings.EqualFold(name, "text/html") || strings.EqualFold(name, "application/xhtml+xml") {
				if weight, ok := parseWeight(params); !ok || weight > 0 { // other parameters: still HTML
					return true
				}
			}
		}
	}
	return false
}

// isRoute tells whether a path below the prefix may be a client-side route. It
// is none where a part of the way to the browser might read it differently
// (dot segments, empty segments, backslashes, control bytes, what would decode
// to these a second time), where it names a dotfile or /.well-known/, and where
// its last segment has the extension of a file: such a file is missing.
// Routes with dots (/users/john.doe, /releases/1.2.3) are routes.
func (o *options) isRoute(rel string) bool {
	if len(rel) > maxPath || !utf8.ValidString(rel) || o.Versioned && strings.HasPrefix(rel, versionedDir) {
		return false
	}
	segment := 0 // start of the current one
	for i := range len(rel) {
		switch c := rel[i]; {
		case c == '/':
			if i == segment {
				return false // "//"
			}
			segment = i + 1
		case c == '.' && i == segment, c == '\\', c < ' ', c == 0x7f:
			return false
		case c == '%' && len(rel) > i+2 && isEncodedTrick(rel[i+1:i+3]):
			return false
		}
	}
	if segment == len(rel) { // a slash at the end: of a file's name too
		rel = strings.TrimSuffix(rel, "/")
	}
	ext := extension(rel)
	if ext == "" {
		return true
	}
	_, isFile := o.types[ext]
	return !isFile
}

// isEncodedTrick tells . / \ and NUL behind a percent sign that is still there
// after decoding.
func isEncodedTrick(hex string) bool {
	return hex == "00" || strings.EqualFold(hex, "2e") || strings.EqualFold(hex, "2f") || strings.EqualFold(hex, "5c")
}

// hidesSlash tells whether the path as sent has an encoded slash: the decoded
// path then has a segment more than the sender wrote, and a proxy in front may
// have judged another path.
func hidesSlash(rawPath string) bool {
	for i := 0; i+2 < len(rawPath); i++ {
		if rawPath[i] == '%' && rawPath[i+1] == '2' && rawPath[i+2]|0x20 == 'f' {
			return true
		}
	}
	return false
}
