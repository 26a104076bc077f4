package forwarded

import (
	"net/netip"
	"strings"
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
