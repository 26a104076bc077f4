package forwarded

import (
	"net/netip"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
)

// parseForwarded reads one forwarded-element of RFC 7239, section 4: pairs of a
// token and a token or quoted-string, separated by semicolons, without spaces, no
// parameter twice. A quoted-pair is accepted where nobody looks at the value; no
// address, scheme or host needs one.
func parseForwarded(s string) (element, bool) {
	var e element
	var seen [3]bool
	for s != "" {
		if s[0] == ';' { // a pair may be missing
			s = s[1:]
			continue
		}
		name, rest, ok := strings.Cut(s, "=")
		if !ok || !headervalue.IsToken(name) {
			return element{}, false
		}
		value, rest, ok := cutValue(rest)
		if !ok || rest != "" && rest[0] != ';' {
			return element{}, false
		}
		s = rest
		i := 0
		switch {
		case strings.EqualFold(name, "for"):
			e.addr, ok = parseNode(value, true)
		case strings.EqualFold(name, "proto"):
			i, e.proto = 1, value
		case strings.EqualFold(name, "host"):
			i, e.host = 2, value
		default:
			continue
		}
		if !ok || seen[i] {
			return element{}, false
		}
		seen[i] = true
	}
	return e, true
}

// cutValue splits off the token or quoted-string at the beginning of s and
// removes its quotes.
func cutValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		end := strings.IndexByte(s, ';')
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], headervalue.IsToken(s[:end])
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '"' {
			return s[1:i], s[i+1:], true
		}
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			break
		}
	}
	return "", "", false
}

// parseNode reads a node of RFC 7239, section 6: an address, "unknown" or an
// obfuscated identifier, with or without a port. Unless strict, it also reads what
// X-Forwarded-For, single headers and net/http's RemoteAddr hold: IPv6 without
// brackets, and the zone of a link-local address. It returns the invalid address
// and true for a node without an address, false for garbage.
func parseNode(s string, strict bool) (netip.Addr, bool) {
	host, port, hasPort := strings.Cut(s, ":")
	switch {
	case strings.HasPrefix(s, "["):
		var closed bool
		host, port, closed = strings.Cut(s[1:], "]")
		if !closed || port != "" && (port[0] != ':' || !isPort(port[1:], strict)) {
			return netip.Addr{}, false
		}
		return parseAddr(host, true, strict)
	case hasPort && strings.IndexByte(port, ':') >= 0:
		if strict {
			return netip.Addr{}, false
		}
		return parseAddr(s, true, strict)
	case hasPort && !isPort(port, strict):
		return netip.Addr{}, false
	case isObfuscated(host) || strings.EqualFold(host, "unknown"):
		return netip.Addr{}, true
	}
	return parseAddr(host, false, strict)
}

// parseAddr reads an address of the one family. A zone is dropped from a
// link-local address, the only kind that needs one (RFC 4007); on any other it is
// either a mistake or an attempt to be many clients with one address.
func parseAddr(s string, v6, strict bool) (netip.Addr, bool) {
	s, zone, zoned := strings.Cut(s, "%")
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is6() != v6 {
		return netip.Addr{}, false
	}
	if zoned && (strict || zone == "" || !a.IsLinkLocalUnicast() || !v6 || a.Is4In6()) {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// isPort reads a port; an obfuscated one only in RFC 7239.
func isPort(s string, strict bool) bool {
	if strict && isObfuscated(s) {
		return true
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 5
}

// isObfuscated recognises the identifiers of RFC 7239, section 6.3.
func isObfuscated(s string) bool {
	if len(s) < 2 || s[0] != '_' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
