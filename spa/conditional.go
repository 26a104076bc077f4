package spa

import (
	"net/http"
	"strings"
)

// precondition evaluates If-Match and If-None-Match against the ETag of the
// selected representation, in the order of RFC 9110, section 13.2.2: 412, 304,
// or 200. Dates are not evaluated, because no Last-Modified is sent: a time says
// less about a build than a hash does.
func precondition(h http.Header, etag string) int {
	if im := h["If-Match"]; len(im) > 0 && !etagListed(im, etag, false) {
		return http.StatusPreconditionFailed
	}
	if inm := h["If-None-Match"]; len(inm) > 0 && etagListed(inm, etag, true) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// etagListed tells whether the lists name the ETag, which is a strong one, or
// are "*". Weak comparison (section 8.8.3.2) takes W/"x" for "x".
func etagListed(lines []string, etag string, weak bool) bool {
	for _, line := range lines {
		if strings.Trim(line, " \t") == "*" {
			return true
		}
		for {
			line = strings.TrimLeft(line, " \t,")
			isWeak := strings.HasPrefix(line, "W/")
			if isWeak {
				line = line[2:]
			}
			if line == "" || line[0] != '"' {
				break // the end, or no list of entity tags
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[:end+2] == etag && (weak || !isWeak) {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}

// rangeHolds evaluates If-Range (section 13.1.5): only the strong ETag of the
// selected representation lets a Range through; a date, a weak ETag or several
// lines do not, and the whole file is sent.
func rangeHolds(h http.Header, etag string) bool {
	ir := h["If-Range"]
	return len(ir) == 0 || len(ir) == 1 && strings.Trim(ir[0], " \t") == etag
}
