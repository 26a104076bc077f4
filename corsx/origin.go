package corsx

import (
	"strconv"
	"strings"

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
		return "has a separator or white space; one origin per element (ParseOrigins splits at commas)"
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
	if !strings.Contains(domain, ".") {
		return "is a top-level domain; write the name that is yours, like \"https://*.corp.internal\""
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return "is a public suffix: anybody can register a name below it; list your own names"
	}
	if isSharedHost(domain) {
		return "is shared: the platform's other customers have names below it; list your own names"
	}
	return ""
}
