package auth

import (
	"net/url"
	"strings"
)

const maxReturn = 1024 // bytes; it travels in a cookie

// returnURL tells whether s is a path of the frontend to lead to after the login;
// "" means "/". Everything that some browser, proxy or router might read as a
// scheme or host is refused, not repaired: browsers take \ for /, strip tabs and
// line ends, and //attacker.example is a host (CWE-601).
func returnURL(s string) (string, bool) {
	if s == "" {
		return "/", true
	}
	if s[0] != '/' || len(s) > maxReturn {
		return "", false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' { // a browser's own location is ASCII already
			return "", false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	// Decoded, and anywhere: a router that decodes once more, or removes dot segments
	// (/..//host), must not arrive at //host either.
	if strings.Contains(u.Path, "//") || strings.Contains(u.Path, `\`) {
		return "", false
	}
	return s, true
}
