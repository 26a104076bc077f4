package trustedhost

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// explain says what is wrong with an entry of Hosts that does not parse, and
// what was probably meant. It runs in New and SetHosts only.
func explain(s string, err error) string {
	if s == "" {
		return "is empty; remove the entry"
	}
	if t := strings.TrimSpace(s); t != s {
		return meant("has white space around it", t)
	}
	if _, rest, ok := strings.Cut(s, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return meant("has a scheme", host)
	}
	if i := strings.IndexByte(s, '/'); i >= 0 {
		if strings.Trim(s[i+1:], "0123456789") == "" && i+1 < len(s) {
			return "is no network of an IP address and a length, like \"10.0.0.0/8\" or \"fd00::/8\""
		}
		return meant("has a path", s[:i])
	}
	if strings.HasPrefix(s, ".") {
		return meant("begins with a dot", "*"+s)
	}
	if s == "*" {
		return "turns the list off and so must be its only entry"
	}
	if strings.Contains(s, "*") {
		return "has a * that is not its whole first label; the one form of a wildcard is \"*.example.com\""
	}
	if addr, aerr := netip.ParseAddr(s); aerr == nil && addr.Is6() && addr.Zone() == "" {
		return meant("is an IPv6 address without brackets", "["+s+"]")
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return "is not ASCII; list the A-label, the form that begins with xn--"
		}
	}
	var reason hostError
	if errors.As(err, &reason) {
		return hostport.Error(reason).Error() + "; list a host like \"example.com\", \"example.com:8443\" or \"[::1]\""
	}
	return err.Error()
}

// meant offers the repair where it is one.
func meant(wrong, repair string) string {
	if newTable().add(repair) != "" {
		return wrong + "; list a host like \"example.com\""
	}
	return wrong + "; did you mean \"" + repair + "\"?"
}
