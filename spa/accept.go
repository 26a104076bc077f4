package spa

import "strings"

// coding is a content coding that variants come in.
type coding uint8

const (
	identity coding = iota
	gzipped
	brotli
	zstandard
	numCodings
)

// String is the name in Content-Encoding and Accept-Encoding.
func (c coding) String() string {
	return [...]string{identity: "identity", gzipped: "gzip", brotli: "br", zstandard: "zstd"}[c]
}

// qualities holds the weight, in thousandths, that a client gives each coding;
// unset where it names it not.
type qualities [numCodings]int16

const unset = -1

// choose returns the variant to send, nil where the client accepts none
// (RFC 9110, section 12.5.3): the highest weight wins and of equals the
// smallest body. Identity that is not named is acceptable after all others.
// Variants are ordered from the smallest to identity.
func (f *file) choose(accept []string) *variant {
	last := &f.variants[len(f.variants)-1]
	if len(accept) == 0 {
		return last
	}
	q := parseAcceptEncoding(accept)
	var best *variant
	bestQ := int16(0)
	for i := range f.variants {
		v := &f.variants[i]
		if w := q[v.coding]; w > bestQ {
			best, bestQ = v, w
		}
	}
	if best == nil && q[identity] == unset {
		return last
	}
	return best
}

// parseAcceptEncoding reads the lines of Accept-Encoding. What is malformed
// counts as not there. It does not allocate.
func parseAcceptEncoding(lines []string) qualities {
	q := qualities{unset, unset, unset, unset}
	star := int16(unset)
	for _, line := range lines {
		for line != "" {
			var item string
			item, line, _ = strings.Cut(line, ",")
			name, params, _ := strings.Cut(item, ";")
			weight, ok := parseWeight(params)
			if !ok {
				continue
			}
			switch name = strings.Trim(name, " \t"); {
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				q[gzipped] = weight
			case strings.EqualFold(name, "br"):
				q[brotli] = weight
			case strings.EqualFold(name, "zstd"):
				q[zstandard] = weight
			case strings.EqualFold(name, "identity"):
				q[identity] = weight
			case name == "*":
				star = weight
			}
		}
	}
	if star == unset {
		return q
	}
	for c := range q { // "*" is every coding that is not named
		if q[c] == unset && (coding(c) != identity || star == 0) {
			q[c] = star
		}
	}
	return q
}

// parseWeight reads ";q=0.8" in thousandths: 1000 where there is none.
func parseWeight(params string) (int16, bool) {
	params = strings.Trim(params, " \t")
	if params == "" {
		return 1000, true
	}
	if len(params) < 3 || params[0]|0x20 != 'q' || params[1] != '=' {
		return 0, false
	}
	s := params[2:] // RFC 9110, section 12.4.2: 0, 1, and up to three decimals
	if len(s) > 5 || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	weight, unit := int16(s[0]-'0')*1000, int16(100)
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		weight += int16(s[i]-'0') * unit
		unit /= 10
	}
	return weight, weight <= 1000
}
