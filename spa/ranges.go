package spa

import (
	"math"
	"strconv"
	"strings"
)

// maxRanges bounds the ranges of one request. Players and PDF viewers send one
// or two; a long list is an attempt to make the server write its headers a
// thousand times, and gets the whole file.
const maxRanges = 16

// byteRange is a part of a representation: length > 0, all of it inside.
type byteRange struct{ start, length int64 }

// contentRange is the value for Content-Range, RFC 9110, section 14.4.
func (b byteRange) contentRange(size int64) string {
	return "bytes " + strconv.FormatInt(b.start, 10) + "-" + strconv.FormatInt(b.start+b.length-1, 10) +
		"/" + strconv.FormatInt(size, 10)
}

// parseRanges reads the lines of Range. ok is false where the field is to be
// ignored: an unknown unit, malformed, too many ranges, or more bytes in all
// than the file has, which only overlaps make (sections 14.2 and 17.15). No
// ranges with ok are an unsatisfiable request: 416. They are appended to room.
func parseRanges(room []byteRange, lines []string, size int64) (ranges []byteRange, ok bool) {
	ranges = room
	if len(lines) != 1 || size == 0 {
		return nil, false
	}
	unit, set, found := strings.Cut(lines[0], "=")
	if !found || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return nil, false
	}
	total, specs, items := int64(0), 0, 0
	for more := true; more; {
		var spec string
		spec, set, more = strings.Cut(set, ",")
		if items++; items > 2*maxRanges {
			return nil, false
		}
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue // an empty element of a list is allowed (section 5.6.1)
		}
		r, valid := parseRange(spec, size)
		if specs++; !valid || specs > maxRanges {
			return nil, false
		}
		if r.length > 0 {
			ranges = append(ranges, r)
			total += r.length
		}
	}
	return ranges, specs > 0 && total <= size
}

// parseRange reads "0-499", "500-" or "-500". A length of 0 is a valid range
// that lies behind the end.
func parseRange(spec string, size int64) (r byteRange, valid bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return r, false
	}
	if first == "" { // the last n bytes
		n, ok := parsePos(last)
		n = min(n, size)
		return byteRange{size - n, n}, ok
	}
	start, ok := parsePos(first)
	end := int64(math.MaxInt64)
	if last != "" {
		var lastOK bool
		end, lastOK = parsePos(last)
		ok = ok && lastOK
	}
	if !ok || end < start {
		return r, false
	}
	if start >= size {
		return r, true
	}
	return byteRange{start, min(end, size-1) - start + 1}, true
}

// parsePos reads a position; one too large for an int64 is behind every end.
func parsePos(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64/10 - 1 // stays behind every end, without overflow
		}
		n = n*10 + int64(d)
	}
	return n, true
}
