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

// Error says what is wrong with an authority. It is one byte, so that neither
// returning nor converting it allocates, and its text holds none of the input.
type Error uint8

func (e Error) Error() string { return reasons[e] }

// The errors of Parse.
const (
	ErrEmpty Error = iota
	ErrTooLong
	ErrUserinfo
	ErrByte
	ErrWildcard
	ErrLabel
	ErrHyphen
	ErrPunycode
	ErrPort
	ErrIPv4
	ErrIPv6
	ErrBrackets
)

var reasons = [...]string{
	ErrEmpty:    "is empty",
	ErrTooLong:  "is longer than a host name can be (253 octets)",
	ErrUserinfo: "has user information before an @",
	ErrByte:     "has a byte that no host name has",
	ErrWildcard: "is a pattern, not a host",
	ErrLabel:    "has an empty label, or one longer than 63 octets",
	ErrHyphen:   "has a label that begins or ends with a hyphen",
	ErrPunycode: "has a label that begins with xn-- and is not punycode of anything",
	ErrPort:     "has a port that is not a number from 1 to 65535",
	ErrIPv4:     "ends in a number but is no IPv4 address of four decimal parts",
	ErrIPv6:     "has no valid IPv6 address in its brackets",
	ErrBrackets: "is an IPv6 address without brackets",
}

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
//   - labels that begin with xn-- only where the rest decodes (RFC 3492) to
//     something outside ASCII. What it decodes to is not held against the
//     tables of Unicode, so a browser refuses a few names that pass here
//   - IPv4 as four decimal numbers. A name whose last label is a number in any
//     notation (127.1, 0x7f.1, 2130706433, 127.0.0.1.) is what the WHATWG URL
//     standard reads as an IPv4 address: it is refused rather than guessed
//   - IPv6 in brackets, without zone; no IPvFuture
//   - a port of 1 to 65535 in decimal digits, leading zeros allowed, or none
//     after the colon
//
// Nothing is allocated, whether s is valid or not, and no more than 300 bytes
// of it are looked at.
func Parse(s string) (Authority, error) {
	var a Authority
	if err := a.Parse(s); err != nil {
		return Authority{}, err
	}
	return a, nil
}

// Parse is the function of this name into a zero Authority, for those who count
// nanoseconds: it saves copying the result. After an error a holds nothing of
// use.
func (a *Authority) Parse(s string) error {
	var rest string // from the colon on
	var err error
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > maxLen:
		return ErrTooLong
	case s[0] == '[':
		rest, err = a.setIPv6(s)
	default:
		rest, err = a.setName(s)
	}
	if err == nil && rest != "" {
		err = a.setPort(rest)
	}
	if err != nil && looksLikeIPv6(s) {
		return ErrBrackets // a better reason for the same refusal
	}
	return err
}

// setPort reads the colon and the digits behind it.
func (a *Authority) setPort(s string) error {
	n := 0
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			if strings.IndexByte(s, '@') >= 0 {
				return ErrUserinfo // host:@attacker.example
			}
			return ErrPort
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return ErrPort
		}
	}
	if len(s) == 1 {
		return nil
	}
	if n == 0 {
		return ErrPort
	}
	a.Port, a.HasPort = uint16(n), true
	return nil
}

// What a byte is in a registered name. Letters in lower case and digits are 0;
// from hyphen on a byte needs a look at its neighbours.
const (
	upper = 1 << iota
	underscore
	hyphen
	dot
	colon
	bad
)

var class = func() (c [256]uint8) {
	for i := range c {
		switch b := byte(i); {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9':
		case 'A' <= b && b <= 'Z':
			c[i] = upper
		case b == '_':
			c[i] = underscore
		case b == '-':
			c[i] = hyphen
		case b == '.':
			c[i] = dot
		case b == ':':
			c[i] = colon
		default:
			c[i] = bad
		}
	}
	return c
}()

// setName reads the registered name or IPv4 address that s begins with and
// returns the rest from the colon on.
func (a *Authority) setName(s string) (rest string, err error) {
	start := 0 // of the current label
	end := len(s)
	var seen uint8
	for i := range len(s) {
		k := class[s[i]]
		seen |= k
		if k < dot {
			continue
		}
		if k == colon {
			end = i
			break
		}
		if k == bad {
			return "", badByte(s)
		}
		if n := i - start; n == 0 || n > 63 {
			return "", ErrLabel
		}
		start = i + 1
	}
	s, rest = s[:end], s[end:]
	if s == "" {
		return "", ErrEmpty
	}
	if start == len(s) { // one trailing dot; a second one was an empty label above
		s, a.Dot = s[:start-1], true
		start = strings.LastIndexByte(s, '.') + 1
	}
	switch last := s[start:]; {
	case len(last) > 63:
		return "", ErrLabel
	case len(s) > 253:
		return "", ErrTooLong
	case isNumber(last):
		return rest, a.setIPv4(s)
	}
	if seen&hyphen != 0 {
		if err := checkHyphens(s); err != nil {
			return "", err
		}
	}
	a.Name, a.Upper, a.Underscore = s, seen&upper != 0, seen&underscore != 0
	return rest, nil
}

// badByte is the reason for a name with a byte that none has.
func badByte(s string) error {
	switch {
	case strings.IndexByte(s, '@') >= 0:
		return ErrUserinfo
	case strings.IndexByte(s, '*') >= 0:
		return ErrWildcard
	}
	return ErrByte
}

// checkHyphens checks the labels of a name that has hyphens.
func checkHyphens(s string) error {
	for more := true; more; {
		var l string
		l, s, more = strings.Cut(s, ".")
		switch {
		case l[0] == '-' || l[len(l)-1] == '-':
			return ErrHyphen
		case isALabel(l) && !isPunycode(l[4:]):
			return ErrPunycode
		}
	}
	return nil
}
