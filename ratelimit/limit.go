package ratelimit

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// A Limit is a token bucket: it holds up to Burst tokens, begins full, and gains
// Requests tokens per Per, evenly, not all at once at the end of a window. A
// request takes its cost, usually 1.
//
// In any span of time t at most Burst + Requests·t/Per tokens are granted. A
// full bucket refills while it drains: {Requests: 100, Per: time.Minute} grants
// up to 199 in the first minute and 100 in every later one. Where that matters,
// set a smaller Burst.
//
// Limits are exact: 3 per second, 1 per 90 seconds and 1000 per day gain their
// tokens at the right microsecond, for ever. The price is a bound that only
// large odd numbers meet: Burst × Per/gcd(Requests, Per) microseconds must not
// exceed 2^52. New refuses a limit beyond it and names a near one that fits.
type Limit struct {
	// Name tells several limits of one rule apart, in headers, events and the
	// store's keys: "minute". Needed, and unique, where a rule has several. The
	// limits of different tiers that bear the same name are one bucket.
	Name string
	// Requests is how many tokens the bucket gains per Per; at least 1.
	Requests int64
	// Per is the time for that, a whole number of microseconds.
	Per time.Duration
	// Burst is how many tokens the bucket holds: how many requests may come at
	// once after a rest. 0 means Requests. 1 spaces requests evenly and
	// refuses what browsers do (six parallel requests for one page).
	Burst int64
}

// maxBurst is the largest integer of a structured field (RFC 9651, section
// 3.3.1): a burst is announced in RateLimit-Policy.
const maxBurst = 999_999_999_999_999

// scaled is a limit in the units of [Store].
type scaled struct {
	rate, period, cap int64
}

// burst is the capacity in tokens.
func (l Limit) burst() int64 {
	if l.Burst == 0 {
		return l.Requests
	}
	return l.Burst
}

// scale converts the limit, or says why it cannot be one; "" where it can.
func (l Limit) scale() (_ scaled, reason string) {
	switch {
	case l.Requests < 1:
		return scaled{}, fmt.Sprintf("Requests is %d; must be at least 1 (to refuse everybody, do not register the route)", l.Requests)
	case l.Per < time.Microsecond || l.Per%time.Microsecond != 0:
		return scaled{}, fmt.Sprintf("Per is %v; must be a positive whole number of microseconds, such as time.Minute", l.Per)
	case l.Burst < 0:
		return scaled{}, fmt.Sprintf("Burst is %d; must be positive, or 0 for as many as Requests", l.Burst)
	case l.burst() > maxBurst:
		return scaled{}, fmt.Sprintf("Burst is %d; must be at most %d", l.burst(), int64(maxBurst))
	}
	s, ok := scale(l.Requests, l.Per.Microseconds(), l.burst())
	if !ok {
		return scaled{}, fmt.Sprintf("%d per %v with a burst of %d is beyond exact integers; %s", l.Requests, l.Per, l.burst(), l.nearest())
	}
	return s, ""
}

// scale is the rule of [Store]: n per t microseconds, in units.
func scale(n, t, burst int64) (scaled, bool) {
	g := gcd(n, t)
	s := scaled{rate: n / g, period: t / g}
	hi, lo := bits.Mul64(uint64(burst), uint64(s.period))
	if hi != 0 || lo > MaxUnits || s.rate > MaxUnits {
		return s, false
	}
	s.cap = int64(lo)
	return s, true
}

// nearest is the repair for a limit that does not fit.
func (l Limit) nearest() string {
	per := l.Per.Microseconds()
	for d := int64(1); d <= 100_000; d++ {
		for _, n := range [2]int64{l.Requests - d, l.Requests + d} {
			b := l.Burst
			if b == 0 {
				b = n
			}
			if n < 1 {
				continue
			}
			if _, ok := scale(n, per, b); ok {
				return fmt.Sprintf("the nearest that fits is %d per %v", n, l.Per)
			}
		}
	}
	return "choose a shorter Per, a smaller Burst, or Requests that share a factor with Per"
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// ceilDiv is a/b rounded up, for a >= 0 and b > 0.
func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}

// wait is the time until a bucket at level has gained up to want units; 0 when
// it has them. It fits: at most 2^53 microseconds.
func (s scaled) wait(level, want int64) time.Duration {
	if level >= want {
		return 0
	}
	micros := want - level
	if s.rate > 1 { // nearly always 1: the fraction is in lowest terms
		micros = ceilDiv(micros, s.rate)
	}
	return time.Duration(micros) * time.Microsecond
}

// units is the spelling that Parse takes; month and year are SlowAPI's.
var units = []struct {
	name string
	span time.Duration
}{
	{"second", time.Second},
	{"minute", time.Minute},
	{"hour", time.Hour},
	{"day", 24 * time.Hour},
	{"month", 30 * 24 * time.Hour},
	{"year", 360 * 24 * time.Hour},
}

// Parse reads limits in the notation of SlowAPI and Flask-Limiter:
//
//	100/minute
//	10 per second
//	5/2 minutes
//	10/second; 1000/day
//
// Limits are separated by ";", "," or "|". Units are second, minute, hour, day,
// month (30 days) and year (360 days), also in the plural, without regard to
// case. Each Limit is named after its unit ("minute", "2minutes"), so that the
// result can be the Limits of one rule. Burst stays 0: as many as Requests. An
// error says which part is wrong and what would be right; an empty string is an
// error, not "no limit".
func Parse(s string) ([]Limit, error) {
	var limits []Limit
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ';' || r == ',' || r == '|' }) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		l, err := parseOne(part)
		if err != nil {
			return nil, err
		}
		for _, other := range limits {
			if other.Name == l.Name {
				return nil, fmt.Errorf("ratelimit: %q: two limits per %s; keep the lower", clip(s), l.Name)
			}
		}
		if _, reason := l.scale(); reason != "" {
			return nil, fmt.Errorf("ratelimit: %q: %s", clip(part), reason)
		}
		limits = append(limits, l)
	}
	if limits == nil {
		return nil, fmt.Errorf(`ratelimit: %q: no limit; write one like "100/minute"`, clip(s))
	}
	return limits, nil
}

func parseOne(part string) (Limit, error) {
	rest := strings.ToLower(strings.TrimSpace(part))
	fail := func(reason string) (Limit, error) {
		return Limit{}, fmt.Errorf(`ratelimit: %q: %s; write a limit like "100/minute" or "10 per 2 hours"`, clip(part), reason)
	}
	n, rest, ok := leadingInt(rest)
	if !ok || n < 1 {
		return fail("does not begin with a positive number of requests")
	}
	rest = strings.TrimLeft(rest, " \t")
	rest, ok = strings.CutPrefix(rest, "/")
	if !ok {
		if rest, ok = strings.CutPrefix(rest, "per"); !ok {
			return fail(`has neither "/" nor "per" after the number`)
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	mult := int64(1)
	if rest != "" && '0' <= rest[0] && rest[0] <= '9' {
		if mult, rest, ok = leadingInt(rest); !ok || mult < 1 {
			return fail("has a bad number of time units")
		}
	}
	word := strings.TrimLeft(rest, " \t")
	for _, u := range units {
		if word != u.name && word != u.name+"s" {
			continue
		}
		if mult > int64(MaxUnits*time.Microsecond/u.span) {
			return fail("has too long a time")
		}
		name := u.name
		if mult > 1 {
			name = strconv.FormatInt(mult, 10) + u.name + "s"
		}
		return Limit{Name: name, Requests: n, Per: time.Duration(mult) * u.span}, nil
	}
	return fail("has no unit second, minute, hour, day, month or year at its end")
}

// leadingInt cuts the decimal digits off the front of s.
func leadingInt(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, s[i:], err == nil
}

// clip bounds what an error repeats of a string.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
