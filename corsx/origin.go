package corsx

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

// ParseOrigins reads a list of origins separated by commas, as an environment
// variable holds it: CORS_ORIGINS=https://app.example.com,https://b.example.
// White space around an element is ignored; an empty string is no origin, an
// empty element a mistake, since it is mostly a variable that was not set. Each
// origin is checked as [Config.Origins] is, and all mistakes come back at once.
func ParseOrigins(list string) ([]string, error) {
	list = strings.TrimSpace(list)
	if list == "" {
		return nil, nil
	}
	bad := mistakes.In("corsx")
	if list[0] == '[' && list[len(list)-1] == ']' && !strings.HasPrefix(list, "[:") {
		bad.Add("Origins", list, "is a JSON list; write the origins themselves, separated by commas")
		return nil, bad.Err()
	}
	origins := strings.Split(list, ",")
	for i, o := range origins {
		origins[i] = strings.TrimSpace(o)
		if why := checkOrigin(origins[i]); why != "" {
			bad.Add(index("Origins", i), origins[i], why)
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return origins, nil
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// checkOrigin returns what is wrong with an origin of the Config and the right
// spelling, or "" where it is written as a browser sends it.
func checkOrigin(s string) string {
	switch {
	case s == "":
		return "is empty; leave it out, an empty list allows no cross-origin caller"
	case s == "*":
		return "would let every site read the answers; list each origin, like \"https://app.example.com\""
	case strings.EqualFold(s, "null"):
		return "is the origin of every sandboxed frame and local file, so anybody can have it; list real origins only"
	case strings.ContainsFunc(s, func(r rune) bool { return r > '~' }):
		return "has a letter outside ASCII; write the name as browsers send it, \"xn--...\""
	case strings.ContainsAny(s, ",; \t\r\n"):
		return "has a separator or white space; one origin per element (ParseOrigins splits a list)"
	case strings.ContainsAny(s, `\^$()|+{}`):
		return "looks like a regular expression; list each origin, or use Subdomains for all names below a domain"
	case strings.Contains(s, "*"):
		return "is a pattern; \"https://*.example.com\" belongs in Subdomains, here each origin is listed"
	}
	return repair(canonical(s))
}

// repair puts the reason and the right spelling together.
func repair(why, want string) string {
	if why != "" && want != "" {
		return why + "; did you mean \"" + want + "\"?"
	}
	return why
}

// canonical returns the first thing by which s differs from a serialised origin
// that New accepts, and that origin if it can be told.
func canonical(s string) (why, want string) {
	note := func(fault string) {
		if why == "" {
			why = fault
		}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		note("has no scheme")
		scheme, rest = "https", strings.TrimLeft(s, "/")
	}
	if lower := strings.ToLower(scheme); lower != scheme {
		note("is not in lower case")
		scheme = lower
	}
	if scheme != "https" && scheme != "http" {
		return "has a scheme other than https (or http, for loopback)", ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		if rest[i:] == "/" {
			note("ends in a slash")
		} else {
			note("has a path, query or fragment")
		}
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		note("has user information")
		rest = rest[i+1:]
	}
	a, err := hostport.Parse(rest)
	if err != nil {
		return "its host " + err.Error(), ""
	}
	if a.Addr.Is4In6() {
		return "is an IPv4-mapped address; list the IPv4 address itself", ""
	}
	if a.Upper {
		note("is not in lower case")
	}
	if a.Dot {
		note("ends in a dot, which makes it another origin than the one without")
	}
	if a.HasPort && a.Port == defaultPort(scheme) {
		note("has the default port, which browsers leave out")
		a.HasPort = false
	}
	if scheme == "http" && !isLoopback(a) {
		note("is http outside loopback: whoever is on the path can speak in its name")
		scheme = "https"
		a.HasPort = a.HasPort && a.Port != defaultPort(scheme)
	}
	want = scheme + "://" + hostText(a)
	if want != s {
		note("is not written as browsers send it")
	}
	return why, want
}

// hostText is the host as a serialised origin has it.
func hostText(a hostport.Authority) string {
	host := strings.ToLower(a.Name)
	if a.Addr.Is4() {
		host = a.Addr.String()
	} else if a.Addr.Is6() {
		host = "[" + a.Addr.String() + "]"
	}
	if a.HasPort {
		host += ":" + strconv.Itoa(int(a.Port))
	}
	return host
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// isLoopback tells whether only this machine can answer under the name: also
// names below localhost (RFC 6761, section 6.3), and all of 127.0.0.0/8.
func isLoopback(a hostport.Authority) bool {
	name := strings.ToLower(a.Name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || a.Addr.IsLoopback()
}

// subdomain is a compiled pattern: "https://*.example.com:8443" is
// {"https", ".example.com:8443"}.
type subdomain struct{ scheme, suffix string }

// parseSubdomain compiles a pattern of [Config.Subdomains]. limit is the length
// that the public suffix of a matching name must stay below.
func parseSubdomain(s string) (sub subdomain, limit int, why string) {
	scheme, domain, ok := strings.Cut(s, "://*.")
	if !ok {
		if s != "" && !strings.Contains(s, "*") {
			return sub, 0, "is no pattern; one origin belongs in Origins, all names below it are \"https://*.example.com\""
		}
		return sub, 0, "must be a scheme, \"://*.\" and a domain, like \"https://*.example.com\""
	}
	base := scheme + "://" + domain
	if strings.ContainsAny(domain, "*,; \t\r\n") || strings.ContainsAny(base, `\^$()|+{}`) {
		return sub, 0, "has more than one \"*.\" or a byte that no host has; all depths are covered by one, like \"https://*.example.com\""
	}
	if fault, want := canonical(base); fault != "" {
		return sub, 0, repair(fault, strings.Replace(want, "://", "://*.", 1))
	}
	a, _ := hostport.Parse(domain) // canonical has checked it
	if a.Name == "" {
		return sub, 0, "is an address; addresses have no subdomains"
	}
	if !isLoopback(a) {
		if why := whyShared(a.Name); why != "" {
			return sub, 0, why
		}
		limit = len(a.Name)
	}
	return subdomain{scheme, "." + domain}, limit, ""
}

// whyShared tells why names below the domain belong to different owners.
func whyShared(domain string) string {
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return "is a public suffix: anybody can register a name below it; list your own names"
	}
	if isSharedHost(domain) {
		return "is shared: the platform's other customers have names below it; list your own names"
	}
	return ""
}

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
