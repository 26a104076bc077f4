package hostport_test

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// whatwg is "domain to ASCII" of the WHATWG URL standard with beStrict false,
// as a browser does it before it sends a host.
var whatwg = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true),
	idna.CheckHyphens(false), idna.StrictDomainName(false), idna.Transitional(false), idna.VerifyDNSLength(false))

var endsInNumber = regexp.MustCompile(`(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$`)

func seeds(f *testing.F) {
	for _, s := range []string{
		"", "example.com", "EXAMPLE.com.:0080", "a_b.c-d", "xn--bcher-kva.example", "xn--a", "xn--zz", "xn---a", "xn--xn---epa",
		"127.0.0.1", "127.1", "0x7f.1", "1.2.3.4.", "256.1.1.1", "[::1]:80", "[1:2:3:4:5:6:7:8]", "[1::8]", "[::1.2.3.4]", "[::ffff:127.0.0.1]",
		"[fe80::1%25eth0]", "[v1.a]", "::1", "a:", "a:65536", "a:@b", "user@a", "*.a", "a..b", "-a", "a-", "b\u00fccher", "a%2fb", ":80",
		strings.Repeat("a.", 126) + "a", strings.Repeat("a", 64), "a:00000000000000000000000000000000001",
	} {
		f.Add(s)
	}
}

// FuzzParse holds Parse against four oracles: what the WHATWG host parser
// refuses is refused; netip reads the same addresses; strconv reads the same
// port; and the parts put together again parse to the same.
//
// The one exception from the first is told in the comment of Parse: of an
// xn-- label only the encoding is checked, not what it decodes to.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := hostport.Parse(s)
		if err != nil {
			if a != (hostport.Authority{}) {
				t.Fatalf("%q: an error and %+v", s, a)
			}
			return
		}
		host, port := s, ""
		if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
			host, port = s[:i], s[i+1:]
		}
		if n, err := strconv.ParseUint(port, 10, 16); a.HasPort != (err == nil) || a.HasPort && uint64(a.Port) != n || a.HasPort && n == 0 {
			t.Fatalf("%q: port %d %v, want %q", s, a.Port, a.HasPort, port)
		}
		if a.Addr.IsValid() {
			checkAddr(t, host, a)
		} else {
			checkName(t, host, a)
		}
	})
}

func checkAddr(t *testing.T, host string, a hostport.Authority) {
	t.Helper()
	if a.Addr.Is6() {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if want, err := netip.ParseAddr(host); err != nil || want != a.Addr || a.Name != "" {
		t.Fatalf("%q: %v %q, netip says %v %v", host, a.Addr, a.Name, want, err)
	}
}

func checkName(t *testing.T, host string, a hostport.Authority) {
	t.Helper()
	lower := strings.ToLower(a.Name)
	switch {
	case strings.TrimSuffix(host, ".") != a.Name || a.Dot != strings.HasSuffix(host, "."):
		t.Fatalf("%q: name %q, dot %v", host, a.Name, a.Dot)
	case a.Upper != (lower != a.Name) || a.Underscore != strings.Contains(a.Name, "_"):
		t.Fatalf("%q: upper %v, underscore %v", host, a.Upper, a.Underscore)
	case len(a.Name) > 253 || len(a.Name) == 0:
		t.Fatalf("%q: %d octets", host, len(a.Name))
	case endsInNumber.MatchString(host):
		t.Fatalf("%q: a browser reads an IPv4 address", host)
	}
	for label := range strings.SplitSeq(lower, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			t.Fatalf("%q: label %q", host, label)
		}
		if strings.HasPrefix(label, "xn--") {
			if u, err := idna.Punycode.ToUnicode(label); err != nil || u == label {
				t.Fatalf("%q: label %q is not punycode: %v", host, label, err)
			}
		} else if ascii, err := whatwg.ToASCII(label); err != nil || ascii != label {
			t.Fatalf("%q: label %q is %q %v in a browser", host, label, ascii, err)
		}
	}
	again, err := hostport.Parse(lower)
	if err != nil || again.Name != lower {
		t.Fatalf("%q: the normal form %q is %+v %v", host, lower, again, err)
	}
}

// FuzzIPv6 and FuzzIPv4: the parser and netip accept the same texts and read the
// same addresses from them.
func FuzzIPv6(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::ffff:1.2.3.4", "1:2:3:4:5:6:7::", "::1.2.3", "1:::2", "fe80::1%a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := hostport.Parse("[" + s + "]")
		want, werr := netip.ParseAddr(s)
		ok := werr == nil && want.Is6() && want.Zone() == ""
		if (err == nil) != ok || ok && a.Addr != want {
			t.Fatalf("%q: %v %v, netip says %v %v", s, a.Addr, err, want, werr)
		}
	})
}

func FuzzIPv4(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.", "1..2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := hostport.Parse(s)
		want, werr := netip.ParseAddr(s)
		is, ok := err == nil && a.Addr.Is4() && !a.HasPort && !strings.HasSuffix(s, ":"), werr == nil && want.Is4()
		if is != ok || ok && a.Addr != want {
			t.Fatalf("%q: %v %v, netip says %v %v", s, a.Addr, err, want, werr)
		}
	})
}

func notLDH(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// FuzzPunycode: an xn-- label is accepted if and only if x/net/idna decodes it
// to something that is not ASCII alone, has no C1 control, and does not begin
// with xn-- again, as far as its ASCII goes.
func FuzzPunycode(f *testing.F) {
	for _, s := range []string{"bcher-kva", "n3h", "a", "zz", "-a", "fa-hia", "xn---epa", "99999999", "80ak6aa92e", "egbpdaj6bu4bxfgehfvwxn", "A-zza"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		label := "xn--" + s
		if len(label) > 63 || strings.HasSuffix(label, "-") || strings.ContainsFunc(s, notLDH) {
			return
		}
		u, uerr := idna.Punycode.ToUnicode(strings.ToLower(label))
		ok, basic := uerr == nil, ""
		if strings.ContainsRune(u, utf8.RuneError) {
			return // x/net writes it for a surrogate too, which Parse refuses
		}
		for _, r := range u {
			if r < 0x80 {
				basic += string(r)
			}
			ok = ok && (r < 0x80 || r >= 0xa0)
		}
		ok = ok && u != basic && !strings.HasPrefix(basic, "xn--")
		_, err := hostport.Parse(label)
		if (err == nil) != ok {
			t.Fatalf("%q: %v; decoded %q %v", label, err, u, uerr)
		}
	})
}
