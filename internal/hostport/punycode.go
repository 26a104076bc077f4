package hostport

import (
	"math"
	"strings"
)

// isALabel tells whether a label claims to be one of RFC 5890, section 2.3.2.1.
func isALabel(l string) bool {
	return len(l) >= 4 && l[0]|0x20 == 'x' && l[1]|0x20 == 'n' && l[2] == '-' && l[3] == '-'
}

// isPunycode tells whether s, what follows xn--, decodes to a string of valid
// code points with at least one outside ASCII. The WHATWG URL standard refuses
// any other. This is the decoder of RFC 3492, section 6.2, without its output:
// where a code point is inserted does not matter here.
func isPunycode(s string) bool {
	out := 0 // code points so far: first the basic ones
	if d := strings.LastIndexByte(s, '-'); d >= 0 {
		if d == 0 || isALabel(s[:d]) { // xn--xn--... would decode to xn-- again
			return false
		}
		out, s = d, s[d+1:]
	}
	if s == "" {
		return false // nothing but ASCII
	}
	point, i, bias := 128, 0, 72
	for s != "" {
		old, weight := i, 1
		for k := 36; ; k += 36 {
			if s == "" {
				return false
			}
			digit := punycodeDigit(s[0])
			s = s[1:]
			if digit < 0 || digit > (math.MaxInt32-i)/weight {
				return false
			}
			i += digit * weight
			t := min(max(k-bias, 1), 26)
			if digit < t {
				break
			}
			if weight > math.MaxInt32/(36-t) {
				return false
			}
			weight *= 36 - t
		}
		out++
		bias = adapt(i-old, out, old == 0)
		point += i / out
		i = i%out + 1
		if point < 0xa0 || point > 0x10ffff || 0xd800 <= point && point <= 0xdfff { // C1 controls, surrogates
			return false
		}
	}
	return true
}

func punycodeDigit(c byte) int {
	switch {
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return int(c | 0x20 - 'a')
	case '0' <= c && c <= '9':
		return int(c-'0') + 26
	}
	return -1
}

// adapt is RFC 3492, section 6.1.
func adapt(delta, points int, first bool) int {
	if first {
		delta /= 700
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > 455; k += 36 {
		delta /= 35
	}
	return k + 36*delta/(delta+38)
}
