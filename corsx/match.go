package corsx

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// origin is an Origin header's value taken apart. The zero value is the opaque
// origin "null".
type origin struct {
	scheme, host string // host with its port, as sent
	auth         hostport.Authority
}

// parseOrigin reads a serialised origin (RFC 6454, section 6.2; the WHATWG HTML
// standard's "serialization of an origin"), or reports that s is none: too
// long, several joined by a space or comma, a path, upper case. It does not
// allocate, and looks at no more than the longest origin there can be.
func parseOrigin(s string) (o origin, ok bool) {
	if s == "null" {
		return origin{}, true
	}
	if len(s) > maxOriginLen {
		return origin{}, false
	}
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return origin{}, false
	}
	a, err := hostport.Parse(host)
	if err != nil || strings.ContainsFunc(host, isUpper) { // an IPv6 address too
		return origin{}, false
	}
	return origin{scheme, host, a}, true
}

func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && (i == 0 || (c != '-' && c != '+' && c != '.' && (c < '0' || c > '9'))) {
			return false
		}
	}
	return s != ""
}

// lists tells whether the value is one of Origins: one map lookup, and none of
// a value longer than any of them, which would have to be hashed.
func (p *policy) lists(value string) bool {
	if len(value) > p.maxListed {
		return false
	}
	_, ok := p.origins[value]
	return ok
}

// covers tells whether AllowLoopback or Subdomains allow the value.
func (p *policy) covers(value string) bool {
	if len(value) > maxOriginLen {
		return false
	}
	return p.loopback && isDevelopment(value) || len(p.subdomains) > 0 && (p.recent.has(value) || p.isSubdomain(value))
}

// isDevelopment tells whether the value is localhost, 127.0.0.1 or [::1] on any
// port, spelled as a browser does.
func isDevelopment(value string) bool {
	scheme, host, _ := strings.Cut(value, "://")
	if scheme != "http" && scheme != "https" {
		return false
	}
	for _, name := range [...]string{"localhost", "127.0.0.1", "[::1]"} {
		if port, ok := strings.CutPrefix(host, name); ok {
			return port == "" || port[0] == ':' && isPort(port[1:])
		}
	}
	return false
}

// isPort tells whether s is 1 to 65535 in its shortest form.
func isPort(s string) bool {
	if s == "" || len(s) > len("65535") || s[0] == '0' {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// isSubdomain looks up each suffix of the host that is not longer than the
// longest pattern, and only what has a right ending is looked at any closer:
// what stands before it must be the labels of one name.
func (p *policy) isSubdomain(value string) bool {
	scheme, host, _ := strings.Cut(value, "://")
	for i := max(0, len(host)-p.maxSuffix); i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		limit, ok := p.subdomains[subdomain{scheme, host[i:]}]
		if !ok {
			continue
		}
		a, err := hostport.Parse(host)
		if err != nil || a.Upper {
			return false
		}
		// Below amazonaws.com lies s3.amazonaws.com, where everybody has a name.
		if limit > 0 {
			if suffix, _ := publicsuffix.PublicSuffix(a.Name); len(suffix) >= limit {
				return false
			}
		}
		p.recent.add(value)
		return true
	}
	return false
}

// recent remembers some of the origins that Subdomains allowed, each in the slot
// of its hash: the Public Suffix List takes longer to ask than all else that a
// request costs here. Memory is bounded by the number of slots; a flood of names
// makes the others be asked again and no more.
type recent struct {
	seed  maphash.Seed
	slots [256]atomic.Pointer[string]
}

func (c *recent) slot(value string) *atomic.Pointer[string] {
	return &c.slots[maphash.String(c.seed, value)%uint64(len(c.slots))]
}

func (c *recent) has(value string) bool {
	s := c.slot(value).Load()
	return s != nil && *s == value
}

func (c *recent) add(value string) {
	s := strings.Clone(value) // not the whole header block that value is a part of
	c.slot(value).Store(&s)
}
