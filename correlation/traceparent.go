package correlation

// parseTraceparent reads the traceparent header of W3C Trace Context, section
// 3.2: version "-" trace-id "-" parent-id "-" trace-flags, in lower case. An
// invalid one is as none, and gives two empty strings:
//
//   - version ff; a part of another length, with an upper-case letter or with a
//     byte that is no hexadecimal digit; a trace-id or parent-id of zeroes only
//   - version 00 with anything after the flags; a higher version with anything
//     after them that does not begin with a hyphen (section 4.3, which asks to
//     read a higher version by the parts known so far)
func parseTraceparent(s string) (traceID, spanID string) {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	switch {
	case len(s) < length, s[2] != '-', s[35] != '-', s[52] != '-':
		return "", ""
	case len(s) > length && (s[:2] == "00" || s[length] != '-'):
		return "", ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:length]
	if version == "ff" || !isLowerHex(version) || !isLowerHex(flags) || !isID(trace) || !isID(parent) {
		return "", ""
	}
	return trace, parent
}

// isID tells whether s is lower-case hexadecimal and not all zeroes.
func isID(s string) bool {
	zero := true
	for i := range len(s) {
		zero = zero && s[i] == '0'
	}
	return !zero && isLowerHex(s)
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
