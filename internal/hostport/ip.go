package hostport

import (
	"net/netip"
	"strings"
)

// netip.ParseAddr reads the same two notations, but its errors are allocated
// and hold the input. The fuzz test of this package holds both against each
// other.

// isNumber is the "ends in a number" test of the WHATWG URL standard, applied to
// the last label: digits only, or 0x with hexadecimal digits or nothing.
func isNumber(l string) bool {
	if l[0] < '0' || l[0] > '9' {
		return false
	}
	digits, hex := true, len(l) >= 2 && l[0] == '0' && l[1]|0x20 == 'x'
	for i := 1; i < len(l); i++ {
		digits = digits && '0' <= l[i] && l[i] <= '9'
		hex = hex && (i < 2 || isHex(l[i]))
	}
	return digits || hex
}

// setIPv4 takes four decimal numbers and nothing else: no trailing dot, no
// leading zeros (which some parsers read as octal), no fewer parts.
func (a *Authority) setIPv4(s string) error {
	b, ok := parseIPv4(s)
	if a.Dot || !ok {
		return ErrIPv4
	}
	a.Addr = netip.AddrFrom4(b)
	return nil
}

func parseIPv4(s string) (b [4]byte, ok bool) {
	for i := range b {
		n, digits := 0, 0
		for digits < len(s) && digits < 4 && '0' <= s[digits] && s[digits] <= '9' {
			n = n*10 + int(s[digits]-'0')
			digits++
		}
		if digits == 0 || n > 255 || digits > 1 && s[0] == '0' {
			return b, false
		}
		b[i], s = byte(n), s[digits:]
		if i == 3 {
			break
		}
		if s == "" || s[0] != '.' {
			return b, false
		}
		s = s[1:]
	}
	return b, s == ""
}

// setIPv6 takes the bracketed literal that s begins with and returns the rest.
func (a *Authority) setIPv6(s string) (rest string, err error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", ErrIPv6
	}
	b, ok := parseIPv6(s[1:end])
	rest = s[end+1:]
	if !ok || rest != "" && rest[0] != ':' {
		return "", ErrIPv6
	}
	a.Addr = netip.AddrFrom16(b)
	return rest, nil
}

// parseIPv6 reads the IPv6address of RFC 3986, section 3.2.2: eight groups of
// one to four hexadecimal digits, the last two perhaps as a dotted quad, one or
// more zero groups perhaps as "::". No zone, no IPvFuture.
func parseIPv6(s string) (b [16]byte, ok bool) {
	n, gap := 0, -1 // bytes read, and where "::" stood
	if strings.HasPrefix(s, "::") {
		gap, s = 0, s[2:]
	}
	for s != "" {
		v, digits := 0, 0
		for digits < len(s) && digits < 5 && isHex(s[digits]) {
			v = v<<4 | hexValue(s[digits])
			digits++
		}
		if n <= 12 && digits < len(s) && s[digits] == '.' {
			quad, ok := parseIPv4(s)
			n += copy(b[n:], quad[:])
			return spread(b, n, gap, ok)
		}
		if digits == 0 || digits > 4 || n == 16 {
			return b, false
		}
		b[n], b[n+1] = byte(v>>8), byte(v)
		n, s = n+2, s[digits:]
		switch {
		case s == "":
		case gap < 0 && strings.HasPrefix(s, "::"):
			gap, s = n, s[2:]
		case len(s) > 1 && s[0] == ':':
			s = s[1:]
		default:
			return b, false
		}
	}
	return spread(b, n, gap, true)
}

// spread opens the gap of "::", which stands for at least one group of zeros.
func spread(b [16]byte, n, gap int, ok bool) ([16]byte, bool) {
	if gap < 0 {
		return b, ok && n == 16
	}
	if n > 14 {
		return b, false
	}
	var full [16]byte
	copy(full[:], b[:gap])
	copy(full[16-(n-gap):], b[gap:n])
	return full, ok
}

// looksLikeIPv6 tells whether a refused host was meant as an IPv6 address.
func looksLikeIPv6(s string) bool {
	colons := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':':
			colons++
		case !isHex(c) && c != '.':
			return false
		}
	}
	return colons >= 2
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func hexValue(c byte) int {
	if c <= '9' {
		return int(c - '0')
	}
	return int(c|0x20-'a') + 10
}
