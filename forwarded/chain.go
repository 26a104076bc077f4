package forwarded

import (
	"net/netip"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
)

// element is what one proxy wrote about the connection it received.
type element struct {
	addr  netip.Addr // invalid: hidden, unknown, or not said
	proto string     // RFC 7239 only, unchecked, as is host
	host  string
}

func (e element) protoOf() string { return e.proto }
func (e element) hostOf() string  { return e.host }

// chain is X-Forwarded-For or Forwarded, read from its right end.
//
// Everything left of what a proxy of ours wrote belongs to the client. So the end
// of an element must be found without looking further left: a parser that begins
// at the left is led by the client (for="1.2.3.4 opens a quoted string that
// swallows the proxy's own element).
type chain struct {
	lines   []string // left of the current one
	line    string   // what is left of the current one
	open    bool     // there is one more element in line
	rfc7239 bool
	looks   int // elements looked at
}

// next returns the next element to the left; false at the end of the chain, at
// the bounds, and at garbage. It is not called again after false.
func (c *chain) next() (element, bool) {
	for ; c.looks < maxElements; c.looks++ {
		if !c.open {
			n := len(c.lines)
			if n == 0 {
				break
			}
			c.line, c.lines = c.lines[n-1], c.lines[:n-1]
		}
		var text string
		var ok bool
		if c.line, text, c.open, ok = cutLast(c.line, c.rfc7239); !ok {
			break
		}
		if text = trim(text); text == "" {
			continue // RFC 9110, section 5.6.1.2: empty elements do not count
		}
		c.looks++
		if c.rfc7239 {
			return parseForwarded(text)
		}
		addr, ok := parseNode(text, false)
		return element{addr: addr}, ok
	}
	return element{}, false
}

// cutLast splits a list at its last comma, the last outside quotes where there
// are any. more tells whether there was one. It fails on an element that is longer
// than maxElement.
func cutLast(line string, quotes bool) (rest, last string, more, ok bool) {
	inside := false
	for i := len(line) - 1; i >= 0; i-- {
		if len(line)-i > maxElement {
			return "", "", false, false
		}
		switch c := line[i]; {
		case c == ',' && !inside:
			return line[:i], line[i+1:], true, true
		case c == '"' && quotes && (!inside || !escaped(line[:i])):
			inside = !inside
		}
	}
	return "", line, false, true
}

// escaped tells whether the byte that follows s is the second of a quoted-pair
// (RFC 9110, section 5.6.4): whether s ends in an odd number of backslashes.
func escaped(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}

// trim removes the optional white space of RFC 9110, section 5.6.3.
func trim(s string) string { return strings.Trim(s, " \t") }

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
