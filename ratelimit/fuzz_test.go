package ratelimit_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// What Parse accepts, New accepts; what it returns, written out, parses to the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"100/minute", "10 per 2 hours", "10/second; 1000/day", "1/second,2/minute|3/hour", "5/0 minutes", "1e9/day",
		"99999999999999999999/second", "7/13 years", "100003/day", " 5 / 2 MINUTES ", "\u0663/minute", "5/minute\x00", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		limits, err := ratelimit.Parse(s)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "ratelimit: ") || limits != nil {
				t.Fatalf("%q: %v %v", s, limits, err)
			}
			return
		}
		if _, err := ratelimit.New(ratelimit.Config{Rules: []ratelimit.Rule{{Name: "r", Limits: limits}}}); err != nil {
			t.Fatalf("%q: Parse accepts what New refuses: %v", s, err)
		}
		var again []string
		for _, l := range limits {
			again = append(again, strconv.FormatInt(l.Requests, 10)+" per "+strconv.FormatInt(int64(l.Per/time.Second), 10)+" seconds")
		}
		seconds, err := ratelimit.Parse(strings.Join(again, ";"))
		if err != nil {
			// Two spellings of one time are two limits only in the first string.
			if !strings.Contains(err.Error(), "two limits per") {
				t.Fatalf("%q: written as %q: %v", s, again, err)
			}
			return
		}
		for i := range limits {
			if seconds[i].Requests != limits[i].Requests || seconds[i].Per != limits[i].Per {
				t.Fatalf("%q: %+v, written as %q: %+v", s, limits, again, seconds)
			}
		}
	})
}

// A client has the bucket of the address that netip reads from RemoteAddr, and of
// no address where netip reads none.
func FuzzPeer(f *testing.F) {
	for _, s := range []string{
		"192.0.2.1:4711", "0.0.0.0:0", "255.255.255.255:65535", "256.0.2.1:1", "01.2.3.4:5", "00.2.3.4:5", "1.2.3.4:65536", "1.2.3.4:99999",
		"1.2.3.4:00080", "1.2.3.4:000080", "1.2.3.4:", "1.2.3.4", "1.2.3:4", "1.2.3.4.5:6", "1..3.4:5", "1.2.3.4:5:6", "1.2.3.4:+5", "1.2.3.4:05",
		"[2001:db8::1]:80", "[::ffff:192.0.2.1]:80", "[fe80::1%eth0]:80", "@", "", "99999999999.2.3.4:5", "1.2.3.4:0",
	} {
		f.Add(s)
	}
	var got ratelimit.Key
	m, err := ratelimit.New(ratelimit.Config{
		Rules:   []ratelimit.Rule{perIP(1_000_000)},
		Observe: func(e ratelimit.Event) { got = e.Key },
	})
	if err != nil {
		f.Fatal(err)
	}
	h := m.Handler(ok)
	f.Fuzz(func(t *testing.T, s string) {
		ap, _ := netip.ParseAddrPort(s)
		status(h, from(s))
		if want := ratelimit.KeyOfAddr(ap.Addr()); got != want {
			t.Fatalf("%q: the bucket of %v, netip says %v", s, got, want)
		}
	})
}

// Two sequences of parts have one key if and only if they are equal, however the
// parts are cut; an address has the key of its network as netip cuts it.
func FuzzKeys(f *testing.F) {
	f.Add("a", "b", "a:b", "", []byte{192, 0, 2, 1})
	f.Add("", "", "\x00", "\x00\x00", make([]byte, 16))
	f.Add(strings.Repeat("x", 256), "y", "x", strings.Repeat("y", 300), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, a, b, c, d string, raw []byte) {
		if (ratelimit.KeyOf(a, b) == ratelimit.KeyOf(c, d)) != (a == c && b == d) {
			t.Errorf("(%q, %q) and (%q, %q)", a, b, c, d)
		}
		if (ratelimit.KeyOf(a) == ratelimit.KeyOf(b)) != (a == b) || ratelimit.KeyOf(a) == ratelimit.KeyOf(a, b) {
			t.Errorf("%q and %q", a, b)
		}
		if s := ratelimit.KeyOf(a).String(); len(a) > 15 && strings.Contains(s, a) || len(s) != 16 {
			t.Errorf("%q is shown as %q", a, s)
		}
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		bits := 64
		if addr.Unmap().Is4() {
			bits = 32
		}
		want, err := addr.Unmap().Prefix(bits)
		if err != nil || ratelimit.KeyOfAddr(addr).String() != want.String() {
			t.Errorf("%v: %v, want %v", addr, ratelimit.KeyOfAddr(addr), want)
		}
	})
}

var (
	policyLine = regexp.MustCompile(`^"[A-Za-z0-9._-]+";q=[0-9]{1,15};w=[1-9][0-9]{0,14}$`)
	limitLine  = regexp.MustCompile(`^"[A-Za-z0-9._-]+";r=([0-9]{1,15})(;t=([1-9][0-9]{0,14}))?$`)
)

// Whatever limit New accepts and whatever a request costs, the fields are
// structured fields of the draft, the remaining tokens lie in [0, burst], and
// Retry-After is the t that was refused.
func FuzzHeaders(f *testing.F) {
	f.Add("per-ip", int64(10), int64(60_000_000), int64(0), int64(1))
	f.Add("a", int64(3), int64(1_000_000), int64(7), int64(5))
	f.Add("b", int64(1), int64(1), int64(1), int64(0))
	f.Add("c", int64(1)<<52, int64(1), int64(999_999_999_999_999), int64(1))
	f.Add("d", int64(5), int64(360*86_400_000_000), int64(4), int64(-1))
	f.Add(`x";q=1`, int64(1), int64(1), int64(1), int64(1))
	f.Fuzz(func(t *testing.T, name string, n, micros, burst, cost int64) {
		if micros > int64(1<<63-1)/1000 || micros < 0 {
			return
		}
		m, err := ratelimit.New(ratelimit.Config{Rules: []ratelimit.Rule{{
			Name: name, Cost: func(*http.Request) int64 { return cost },
			Limits: []ratelimit.Limit{{Requests: n, Per: time.Duration(micros) * time.Microsecond, Burst: burst}},
		}}})
		if err != nil {
			return
		}
		if burst == 0 {
			burst = n
		}
		h := m.Handler(ok)
		for range 3 {
			rec := serve(h, byAlice())
			if p := rec.Header()["Ratelimit-Policy"]; len(p) != 1 || !policyLine.MatchString(p[0]) {
				t.Fatalf("RateLimit-Policy %q", p)
			}
			after := rec.Header().Get("Retry-After")
			if cost < 0 || cost > burst {
				if rec.Code != 429 || after != "" || rec.Header()["Ratelimit"] != nil {
					t.Fatalf("a cost of %d of %d: %d %v", cost, burst, rec.Code, rec.Header())
				}
				continue
			}
			l := limitLine.FindStringSubmatch(rec.Header().Get("RateLimit"))
			if l == nil {
				t.Fatalf("RateLimit %q", rec.Header().Get("RateLimit"))
			}
			if r, err := strconv.ParseInt(l[1], 10, 64); err != nil || r < 0 || r > burst {
				t.Fatalf("%s tokens left of %d", l[1], burst)
			}
			if (rec.Code == 429) != (after != "") || after != "" && after != l[3] {
				t.Fatalf("%d with Retry-After %q and %q", rec.Code, after, l[0])
			}
		}
	})
}
