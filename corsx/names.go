package corsx

import (
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
)

// whyNoMethod tells why a method cannot stand in [Config.Methods].
func whyNoMethod(m string) string {
	upper := strings.ToUpper(m)
	switch {
	case m == "*":
		return "there is no wildcard: name each method, like \"PUT\""
	case !headervalue.IsToken(m):
		return "is not a method (one per element, no white space)"
	case upper == http.MethodConnect, upper == http.MethodTrace, upper == "TRACK":
		return "is a method that no browser sends (Fetch standard, \"forbidden method\"); leave it out"
	case m != upper:
		return "is not in upper case, and methods are case-sensitive; did you mean \"" + upper + "\"?"
	}
	return ""
}

// whyNoRequestHeader tells why a name cannot stand in [Config.RequestHeaders]:
// the Fetch standard's "forbidden request-header", which a page cannot set, and
// headers of the protocol itself.
func whyNoRequestHeader(lower string) string {
	switch lower {
	case "accept-charset", "accept-encoding", "access-control-request-headers",
		"access-control-request-method", "access-control-request-private-network",
		"connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect",
		"host", "keep-alive", "origin", "referer", "set-cookie", "te", "trailer",
		"transfer-encoding", "upgrade", "via":
		return "is a header that no page can set (Fetch standard, \"forbidden request-header\"); leave it out, for cookies set Credentials"
	}
	switch {
	case strings.HasPrefix(lower, "sec-"), strings.HasPrefix(lower, "proxy-"):
		return "is a header that no page can set (Fetch standard, \"forbidden request-header\"); leave it out"
	case strings.HasPrefix(lower, "access-control-"):
		return "is a response header of CORS itself, which this package sends; leave it out"
	}
	return ""
}

// whyNoResponseHeader tells why a name cannot stand in [Config.ExposedHeaders].
func whyNoResponseHeader(lower string) string {
	switch {
	case lower == "set-cookie", lower == "set-cookie2":
		return "is a header that no page can read (Fetch standard, \"forbidden response-header name\"); leave it out"
	case strings.HasPrefix(lower, "access-control-"):
		return "is a header of CORS itself, which browsers keep to themselves; leave it out"
	}
	return ""
}

// Bounds of Access-Control-Request-Headers. A browser sends each name once,
// in lower case, on one line; proxies split it and add white space. Names that
// New accepts fit into less than maxPreflight bytes.
const (
	maxNamesBytes = 2 * maxPreflight
	maxNameLen    = 128 // of one name in the Config
	maxNames      = 128 // elements, empty ones (RFC 9110, section 5.6.1.2) included
)

// nameSet is a set of methods or of lower-case header names.
type nameSet struct {
	has     map[string]struct{}
	longest int
}

func newNameSet(names []string) nameSet {
	s := nameSet{has: make(map[string]struct{}, len(names))}
	for _, n := range names {
		s.has[n] = struct{}{}
		s.longest = max(s.longest, len(n))
	}
	return s
}

// contains compares byte for byte, as the Fetch standard compares methods. A
// longer name than any in the set is not hashed.
func (s *nameSet) contains(name string) bool {
	if len(name) > s.longest {
		return false
	}
	_, ok := s.has[name]
	return ok
}

// containsFold is contains for names whose case does not matter.
func (s *nameSet) containsFold(name string) bool {
	if len(name) > s.longest {
		return false
	}
	if s.contains(name) {
		return true
	}
	var lower [maxNameLen]byte // for the rare client that is no browser
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	_, ok := s.has[string(lower[:len(name)])] // no allocation
	return ok
}

// coverList tells whether every element of the comma-separated lines is in the
// set: in any case and order, split over any lines, with optional white space
// and empty elements, within the bounds above.
func (s *nameSet) coverList(lines []string) bool {
	if len(lines) > maxNames {
		return false
	}
	bytes, names := 0, 0
	for _, line := range lines {
		bytes += len(line)
	}
	if bytes > maxNamesBytes {
		return false
	}
	for _, line := range lines {
		for more := true; more; {
			var name string
			name, line, more = strings.Cut(line, ",")
			if names++; names > maxNames {
				return false
			}
			name = strings.Trim(name, " \t")
			if name != "" && !s.containsFold(name) {
				return false
			}
		}
	}
	return true
}
