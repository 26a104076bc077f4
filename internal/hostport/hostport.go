// Package hostport parses the host[:port] of an HTTP authority, strictly and
// without allocating. It is the one parser of the module: trustedhost checks
// hosts with it, corsx origins, forwarded the hosts that proxies report.
package hostport

import (
	"net/netip"
	"strings"
)

// Authority is a parsed host with its port. Either Name or Addr is set.
type Authority struct {
	// Name is the registered name as it was given, in its own case, without the
	// one trailing dot; "" for an address literal.
	Name string
	// Addr is the address literal: IPv4 as a dotted quad, or IPv6 that stood in
	// brackets. ::ffff:a.b.c.d stays an IPv4-mapped IPv6 address.
	Addr netip.Addr
	// Port is 1 to 65535 where HasPort, else 0.
	Port uint16
	// HasPort is false also for an empty port ("example.com:"), which RFC 3986,
	// section 3.2.3, reads as none.
	HasPort bool
	// Upper tells that Name holds an upper-case letter.
	Upper bool
	// Underscore tells that Name holds an underscore: used in practice, but no
	// host name (RFC 952).
	Underscore bool
	// Dot tells that the name ended in the dot of the DNS root.
	Dot bool
}

// Error says what is wrong with an authority. Every value is a constant: none
// holds any of the input.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of Parse.
const (
	ErrEmpty    Error = "is empty"
	ErrTooLong  Error = "is longer than a host name can be (253 octets)"
	ErrUserinfo Error = "has user information before an @"
	ErrByte     Error = "has a byte that no host name has"
	ErrWildcard Error = "is a pattern, not a host"
	ErrLabel    Error = "has an empty label, or one longer than 63 octets"
	ErrHyphen   Error = "has a label that begins or ends with a hyphen"
	ErrPort     Error = "has a port that is not a number from 1 to 65535"
	ErrIPv4     Error = "ends in a number but is no IPv4 address of four decimal parts"
	ErrIPv6     Error = "has no valid IPv6 address in its brackets"
	ErrBrackets Error = "is an IPv6 address without brackets"
)

// maxLen bounds what is looked at: a name of 253 octets, its dot, a colon, and
// a port with some leading zeros.
const maxLen = 300

// Parse splits s into host and port and checks both. It accepts a subset of
// RFC 9110's authority (uri-host [":" port], no userinfo):
//
//   - names of letters, digits, hyphens and underscores in labels of 1 to 63
//     octets, 253 in all, no label with a hyphen at either end, at most one
//     trailing dot; no percent-encoding and nothing outside ASCII, since no
//     client sends these and every parser reads them differently
//   - IPv4 as four decimal numbers. A name whose last label is a number in any
//     notation (127.1, 0x7f.1, 2130706433, 127.0.0.1.) is what the WHATWG URL
//     standard reads as an IPv4 address: it is refused rather than guessed
//   - IPv6 in brackets, without zone; no IPvFuture
//   - a port of 1 to 65535 in decimal digits, leading zeros allowed, or none
//     after the colon
//
// A valid s costs no allocation, and neither does a string longer than an
// authority can be.
func Parse(s string) (Authority, error) {
	switch {
	case s == "":
		return Authority{}, ErrEmpty
	case len(s) > maxLen:
		return Authority{}, ErrTooLong
	case s[0] == '[':
		return parseIPv6(s)
	}
	host, port, hasColon := strings.Cut(s, ":")
	var a Authority
	if err := a.setName(host); err != nil {
		return Authority{}, err
	}
	if hasColon {
		if strings.IndexByte(port, ':') >= 0 && isHexColon(s) {
			return Authority{}, ErrBrackets
		}
		if err := a.setPort(port); err != nil {
			return Authority{}, err
		}
	}
	return a, nil
}

func parseIPv6(s string) (Authority, error) {
	end := strings.IndexByte(s, ']')
	if end < 0 || end > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return Authority{}, ErrIPv6
	}
	inner, rest := s[1:end], s[end+1:]
	for i := range len(inner) {
		if c := inner[i]; !isHex(c) && c != ':' && c != '.' {
			return Authority{}, ErrIPv6 // a zone, IPvFuture, anything else
		}
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || !addr.Is6() {
		return Authority{}, ErrIPv6
	}
	a := Authority{Addr: addr}
	if rest == "" {
		return a, nil
	}
	if rest[0] != ':' {
		return Authority{}, ErrIPv6
	}
	if err := a.setPort(rest[1:]); err != nil {
		return Authority{}, err
	}
	return a, nil
}

// setPort reads the digits behind the colon.
func (a *Authority) setPort(s string) error {
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			if c == '@' || strings.IndexByte(s, '@') >= 0 {
				return ErrUserinfo // host:@attacker.example
			}
			return ErrPort
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return ErrPort
		}
	}
	if s == "" {
		return nil
	}
	if n == 0 {
		return ErrPort
	}
	a.Port, a.HasPort = uint16(n), true
	return nil
}

// setName checks a registered name or an IPv4 address.
func (a *Authority) setName(s string) error {
	if s == "" {
		return ErrEmpty
	}
	start := 0 // of the current label
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case 'A' <= c && c <= 'Z':
			a.Upper = true
		case c == '_':
			a.Underscore = true
		case c == '.':
			if err := checkLabel(s[start:i]); err != nil {
				return err
			}
			start = i + 1
		case c == '*':
			return ErrWildcard
		case c == '@':
			return ErrUserinfo
		default:
			return ErrByte
		}
	}
	last := s[start:]
	if last == "" { // one trailing dot; a second one was an empty label above
		s, a.Dot = s[:start-1], true
		last = s[strings.LastIndexByte(s, '.')+1:]
	} else if err := checkLabel(last); err != nil {
		return err
	}
	if len(s) > 253 {
		return ErrTooLong
	}
	if isNumber(last) {
		return a.setIPv4(s)
	}
	a.Name = s
	return nil
}

func (a *Authority) setIPv4(s string) error {
	if a.Dot || len(s) > len("255.255.255.255") || strings.Count(s, ".") != 3 {
		return ErrIPv4
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return ErrIPv4
	}
	a.Addr = addr
	return nil
}

func checkLabel(l string) error {
	switch {
	case l == "" || len(l) > 63:
		return ErrLabel
	case l[0] == '-' || l[len(l)-1] == '-':
		return ErrHyphen
	}
	return nil
}

// isNumber is the "ends in a number" test of the WHATWG URL standard, applied to
// the last label: digits only, or 0x with hexadecimal digits or nothing.
func isNumber(l string) bool {
	digits := true
	for i := range len(l) {
		if l[i] < '0' || l[i] > '9' {
			digits = false
			break
		}
	}
	if digits {
		return true
	}
	if len(l) < 2 || l[0] != '0' || l[1]|0x20 != 'x' {
		return false
	}
	for i := 2; i < len(l); i++ {
		if !isHex(l[i]) {
			return false
		}
	}
	return true
}

func isHexColon(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
