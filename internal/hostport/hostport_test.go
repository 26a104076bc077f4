package hostport_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

func label(n int) string { return strings.Repeat("a", n) }

// name returns a name of n octets in labels of at most 63.
func name(n int) string {
	s := strings.Repeat(label(49)+".", n/50+1)
	return strings.TrimSuffix(s[:n-1], ".") + "z"
}

func TestNamesThatAreAccepted(t *testing.T) {
	for _, c := range []struct {
		in, name string
		port     uint16
	}{
		// RFC 3986, section 3.2.2 (reg-name), as far as a host name is one; RFC
		// 1123, section 2.1: a label may begin with a digit.
		{"example.com", "example.com", 0},
		{"localhost", "localhost", 0},
		{"a", "a", 0},
		{"3com.com", "3com.com", 0},
		{"1.2.3.4.example", "1.2.3.4.example", 0},
		{"1.2.3.a", "1.2.3.a", 0},
		{"0xg", "0xg", 0},
		{"1e3", "1e3", 0},
		{"x0", "x0", 0},
		{"a--b.c-d", "a--b.c-d", 0},
		{"r3---sn-4g5.example", "r3---sn-4g5.example", 0},
		{"a_b.example", "a_b.example", 0},
		{"_dmarc.example", "_dmarc.example", 0},
		// Section 6.2.2.1: case does not matter, but is not changed here.
		{"EXAMPLE.Com", "EXAMPLE.Com", 0},
		// RFC 1034, section 3.1: the dot of the root.
		{"example.com.", "example.com", 0},
		{"a.", "a", 0},
		// RFC 3986, section 3.2.3: port = *DIGIT.
		{"example.com:", "example.com", 0},
		{"example.com.:", "example.com", 0},
		{"example.com:1", "example.com", 1},
		{"example.com:80", "example.com", 80},
		{"example.com.:443", "example.com", 443},
		{"example.com:65535", "example.com", 65535},
		{"example.com:00080", "example.com", 80},
		{"example.com:0000000000000000000000000000001", "example.com", 1},
		// RFC 1035, section 2.3.4: 63 octets a label, 253 a name as it is written.
		{label(63), label(63), 0},
		{name(253), name(253), 0},
		{name(253) + ".:65535", name(253), 65535},
		// RFC 5891 and RFC 3492, section 7.1 (A, B, L, S in lower case).
		{"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
		{"XN--BCHER-KVA.example", "XN--BCHER-KVA.example", 0},
		{"xn--egbpdaj6bu4bxfgehfvwxn", "xn--egbpdaj6bu4bxfgehfvwxn", 0},
		{"xn--ihqwcrb4cv8a8dqg056pqjye", "xn--ihqwcrb4cv8a8dqg056pqjye", 0},
		{"xn--3B-ww4c5e180e575a65lsy2b", "xn--3B-ww4c5e180e575a65lsy2b", 0},
		{"xn--d9juau41awczczp", "xn--d9juau41awczczp", 0},
		{"xn--fa-hia.example", "xn--fa-hia.example", 0},
		{"xn--n3h.example", "xn--n3h.example", 0},
		{"xn--tda", "xn--tda", 0},
		{"xn--zn7c.com", "xn--zn7c.com", 0},
		{"xn--80ak6aa92e.com", "xn--80ak6aa92e.com", 0},
	} {
		a, err := hostport.Parse(c.in)
		if assert.NoError(t, err, c.in) {
			assert.Equal(t, c.name, a.Name, c.in)
			assert.Equal(t, c.port, a.Port, c.in)
			assert.Equal(t, c.port != 0, a.HasPort, c.in)
			assert.False(t, a.Addr.IsValid(), c.in)
			assert.Equal(t, strings.ToLower(c.name) != c.name, a.Upper, c.in)
			assert.Equal(t, strings.Contains(c.name, "_"), a.Underscore, c.in)
		}
	}
}

func TestAddressesThatAreAccepted(t *testing.T) {
	for in, want := range map[string]string{
		// RFC 3986, section 3.2.2: dec-octet.
		"0.0.0.0":         "0.0.0.0",
		"127.0.0.1":       "127.0.0.1",
		"127.0.0.1:":      "127.0.0.1",
		"[::3]:":          "::3", // an empty port is legal here too
		"255.255.255.255": "255.255.255.255",
		"10.99.100.249":   "10.99.100.249",
		// The productions of IPv6address in the same section, with their elisions.
		"[1:2:3:4:5:6:7:8]":              "1:2:3:4:5:6:7:8",
		"[1:2:3:4:5:6:1.2.3.4]":          "1:2:3:4:5:6:102:304",
		"[::2:3:4:5:6:7:8]":              "::2:3:4:5:6:7:8",
		"[1::3:4:5:6:7:8]":               "1:0:3:4:5:6:7:8",
		"[1:2::4:5:6:7:8]":               "1:2:0:4:5:6:7:8",
		"[1:2:3:4:5:6:7::]":              "1:2:3:4:5:6:7:0",
		"[1:2:3:4:5::1.2.3.4]":           "1:2:3:4:5:0:102:304",
		"[::1.2.3.4]":                    "::102:304",
		"[::]":                           "::",
		"[::1]":                          "::1",
		"[1::]":                          "1::",
		"[0:0:0:0:0:0:0:1]":              "::1",
		"[2001:DB8:0:0:8:800:200C:417A]": "2001:db8::8:800:200c:417a",
		"[2001:0db8::0001]":              "2001:db8::1",
		"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		// RFC 4291, section 2.5.5.2; it stays what it is written as.
		"[::ffff:127.0.0.1]": "::ffff:127.0.0.1",
		"[::FFFF:7f00:1]":    "::ffff:127.0.0.1",
	} {
		for suffix, port := range map[string]uint16{"": 0, ":8443": 8443} {
			if strings.HasSuffix(in, ":") && suffix != "" {
				continue
			}
			a, err := hostport.Parse(in + suffix)
			if assert.NoError(t, err, in+suffix) {
				assert.Equal(t, netip.MustParseAddr(want), a.Addr, in)
				assert.Empty(t, a.Name, in)
				assert.Equal(t, port, a.Port, in)
			}
		}
	}
}

func TestWhatIsRefusedAndWhy(t *testing.T) {
	for in, want := range map[string]hostport.Error{
		"":    hostport.ErrEmpty,
		":":   hostport.ErrEmpty,
		":80": hostport.ErrEmpty,

		name(254):                       hostport.ErrTooLong,
		name(254) + ".":                 hostport.ErrTooLong,
		strings.Repeat("a.", 200):       hostport.ErrTooLong,
		strings.Repeat("\x00", 8<<10):   hostport.ErrTooLong,
		"a:" + strings.Repeat("0", 299): hostport.ErrTooLong,

		// RFC 9110, section 4.2.4.
		"user@example.com":                hostport.ErrUserinfo,
		"user:secret@example.com":         hostport.ErrUserinfo,
		"example.com:@attacker.example":   hostport.ErrUserinfo,
		"example.com:80@attacker.example": hostport.ErrUserinfo,
		"@example.com":                    hostport.ErrUserinfo,

		// The forbidden domain code points of the WHATWG URL standard: C0 controls,
		// space, # / : < > ? @ [ \ ] ^ | %, DEL.
		"a\x00b":                        hostport.ErrByte,
		"a\tb":                          hostport.ErrByte,
		"a\nb":                          hostport.ErrByte,
		"a\rb":                          hostport.ErrByte,
		"a\x1fb":                        hostport.ErrByte,
		" example.com":                  hostport.ErrByte,
		"example.com ":                  hostport.ErrByte,
		"a b":                           hostport.ErrByte,
		"a#b":                           hostport.ErrByte,
		"a/b":                           hostport.ErrByte,
		"a<b":                           hostport.ErrByte,
		"a>b":                           hostport.ErrByte,
		"a?b":                           hostport.ErrByte,
		"a[b":                           hostport.ErrByte,
		`a\b`:                           hostport.ErrByte,
		"a]b":                           hostport.ErrByte,
		"a^b":                           hostport.ErrByte,
		"a|b":                           hostport.ErrByte,
		"a%b":                           hostport.ErrByte,
		"a\x7fb":                        hostport.ErrByte,
		"attacker.example/.example.com": hostport.ErrByte,
		"http://example.com":            hostport.ErrPort,
		// Allowed by reg-name (pct-encoded, sub-delims, unreserved), used by nobody.
		"ex%61mple.com": hostport.ErrByte,
		"a%2fb":         hostport.ErrByte,
		"a,b":           hostport.ErrByte,
		"a;b":           hostport.ErrByte,
		"a=b":           hostport.ErrByte,
		"a~b":           hostport.ErrByte,
		"a!b":           hostport.ErrByte,
		"a'b":           hostport.ErrByte,
		"(a)":           hostport.ErrByte,
		"a,example.com": hostport.ErrByte,
		// Outside ASCII: UTF-8, a full-width stop that browsers map to a dot, a
		// Kelvin sign that lower-cases to k, half of a code point.
		"bücher.example":   hostport.ErrByte,
		"example\uff0ecom": hostport.ErrByte,
		"\u212a.example":   hostport.ErrByte,
		"a\xc3":            hostport.ErrByte,
		"\u00ad.example":   hostport.ErrByte,
		"*":                hostport.ErrWildcard,
		"*.example.com":    hostport.ErrWildcard,
		"a*.example.com":   hostport.ErrWildcard,

		".":                hostport.ErrLabel,
		"..":               hostport.ErrLabel,
		".example.com":     hostport.ErrLabel,
		"example..com":     hostport.ErrLabel,
		"example.com..":    hostport.ErrLabel,
		label(64):          hostport.ErrLabel,
		label(64) + ".com": hostport.ErrLabel,
		"a." + label(64):   hostport.ErrLabel,

		"-a.example":   hostport.ErrHyphen,
		"a-.example":   hostport.ErrHyphen,
		"example.-com": hostport.ErrHyphen,
		"example.com-": hostport.ErrHyphen,
		"-":            hostport.ErrHyphen,
		"xn--":         hostport.ErrHyphen,
		"xn--a-":       hostport.ErrHyphen,

		"xn--a":                 hostport.ErrPunycode, // U+0080, a control
		"xn--zz":                hostport.ErrPunycode, // ends in the middle of a number
		"xn--zzzzzzzzzzzzzzzzz": hostport.ErrPunycode, // overflows
		"XN--a.example":         hostport.ErrPunycode,
		"a.xn--0.example":       hostport.ErrPunycode,
		"xn--a_b.example":       hostport.ErrPunycode, // _ is no digit
		"xn--00000-007y":        hostport.ErrPunycode, // a surrogate
		"xn---tda":              hostport.ErrPunycode, // a delimiter with nothing before it
		"xn---a.example":        hostport.ErrPunycode, // a delimiter with nothing before it
		"xn--xn---epa":          hostport.ErrPunycode, // decodes to something that begins with xn--

		"example.com:0":                    hostport.ErrPort,
		"example.com:000":                  hostport.ErrPort,
		"example.com:65536":                hostport.ErrPort,
		"example.com:99999":                hostport.ErrPort,
		"example.com:4294967376":           hostport.ErrPort, // 80 modulo 2^32
		"example.com:18446744073709551696": hostport.ErrPort, // 80 modulo 2^64
		"example.com:+80":                  hostport.ErrPort,
		"example.com:-80":                  hostport.ErrPort,
		"example.com: 80":                  hostport.ErrPort,
		"example.com:80 ":                  hostport.ErrPort,
		"example.com:0x50":                 hostport.ErrPort,
		"example.com:8e1":                  hostport.ErrPort,
		"example.com:abc":                  hostport.ErrPort,
		"example.com:٨٠":                   hostport.ErrPort,
		"example.com:443:80":               hostport.ErrPort,
		"example.com::80":                  hostport.ErrPort,
		"example.com:80:":                  hostport.ErrPort,
		"localhost:99999":                  hostport.ErrPort,
		"[::1]:0":                          hostport.ErrPort,
		"[::1]:80:80":                      hostport.ErrPort,
		"[::1]:x":                          hostport.ErrPort,
		"127.0.0.1:65536":                  hostport.ErrPort,

		// What the WHATWG URL standard's IPv4 parser would make an address of, or
		// fail on ("ends in a number").
		"127.1":         hostport.ErrIPv4,
		"127.0.1":       hostport.ErrIPv4,
		"2130706433":    hostport.ErrIPv4,
		"0":             hostport.ErrIPv4,
		"0x7f.1":        hostport.ErrIPv4,
		"0x7f000001":    hostport.ErrIPv4,
		"0X7F.0.0.1":    hostport.ErrIPv4,
		"0x":            hostport.ErrIPv4,
		"example.0x":    hostport.ErrIPv4,
		"example.0xff":  hostport.ErrIPv4,
		"0177.0.0.1":    hostport.ErrIPv4,
		"127.0.0.01":    hostport.ErrIPv4,
		"127.0.0.1.":    hostport.ErrIPv4,
		"127.0.0.1.:80": hostport.ErrIPv4,
		"256.0.0.1":     hostport.ErrIPv4,
		"1.2.3":         hostport.ErrIPv4,
		"1.2.3.4.5":     hostport.ErrIPv4,
		"1.2.3.1000":    hostport.ErrIPv4,
		"foo.1.2.3.4":   hostport.ErrIPv4,
		"example.com.1": hostport.ErrIPv4,
		"127.0.0.1.2.":  hostport.ErrIPv4,
		"09.0.0.1":      hostport.ErrIPv4,
		"1.2.3.08":      hostport.ErrIPv4,

		"[":                                  hostport.ErrIPv6,
		"[]":                                 hostport.ErrIPv6,
		"[::1":                               hostport.ErrIPv6,
		"[::1]x":                             hostport.ErrIPv6,
		"[::1]80":                            hostport.ErrIPv6,
		"[::1].":                             hostport.ErrIPv6,
		"[::1]]":                             hostport.ErrIPv6,
		"[[::1]]":                            hostport.ErrIPv6,
		"[:]":                                hostport.ErrIPv6,
		"[:::]":                              hostport.ErrIPv6,
		"[1]":                                hostport.ErrIPv6,
		"[:1]":                               hostport.ErrIPv6,
		"[1:]":                               hostport.ErrIPv6,
		"[1:::2]":                            hostport.ErrIPv6,
		"[1::2::3]":                          hostport.ErrIPv6,
		"[::1::]":                            hostport.ErrIPv6,
		"[1:2:3:4:5:6:7]":                    hostport.ErrIPv6,
		"[1:2:3:4:5:6:7:8:]":                 hostport.ErrIPv6,
		"[1::2:]":                            hostport.ErrIPv6,
		"[1:2:3:4:5:6:7:]":                   hostport.ErrIPv6,
		"[1:2:3:4:5:6:7:8:9]":                hostport.ErrIPv6,
		"[1:2:3:4:5:6:7:8::]":                hostport.ErrIPv6, // "::" is at least one group
		"[::1:2:3:4:5:6:7:8]":                hostport.ErrIPv6,
		"[1:2:3:4::5:6:7:8]":                 hostport.ErrIPv6,
		"[12345::]":                          hostport.ErrIPv6,
		"[00001::]":                          hostport.ErrIPv6,
		"[g::]":                              hostport.ErrIPv6,
		"[::1.2.3]":                          hostport.ErrIPv6,
		"[::1.2.3.4.5]":                      hostport.ErrIPv6,
		"[::1.2.3.256]":                      hostport.ErrIPv6,
		"[::01.2.3.4]":                       hostport.ErrIPv6,
		"[::1.2.3.4:5]":                      hostport.ErrIPv6,
		"[1.2.3.4::]":                        hostport.ErrIPv6,
		"[1:2:3:4:5:6:7:1.2.3.4]":            hostport.ErrIPv6,
		"[1:2:3:4:5:1.2.3.4]":                hostport.ErrIPv6,
		"[1:2:3:4:5:6::1.2.3.4]":             hostport.ErrIPv6,
		"[127.0.0.1]":                        hostport.ErrIPv6,
		"[example.com]":                      hostport.ErrIPv6,
		"[fe80::1%eth0]":                     hostport.ErrIPv6, // RFC 9844 ended zones in URIs
		"[fe80::1%25eth0]":                   hostport.ErrIPv6,
		"[v1.fe80::a+en1]":                   hostport.ErrIPv6, // IPvFuture
		"[::1\x00]":                          hostport.ErrIPv6,
		"[ ::1]":                             hostport.ErrIPv6,
		"[" + strings.Repeat(":", 200) + "]": hostport.ErrIPv6,

		"::1":              hostport.ErrBrackets,
		"::":               hostport.ErrBrackets,
		"fe80::1":          hostport.ErrBrackets,
		"2001:db8::1":      hostport.ErrBrackets,
		"2001:db8::1:80":   hostport.ErrBrackets,
		"::ffff:127.0.0.1": hostport.ErrBrackets,
	} {
		_, err := hostport.Parse(in)
		assert.Equal(t, want, err, "%q", in)
	}
}

func TestEveryReasonIsAText(t *testing.T) {
	for e := hostport.ErrEmpty; e <= hostport.ErrBrackets; e++ {
		assert.NotEmpty(t, e.Error(), "%d", e)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, in := range []string{
		"example.com:8443", "EXAMPLE.com.", "[2001:db8::1]:80", "127.0.0.1", "xn--bcher-kva.example", name(253),
		"", "a b", "127.1", "[1:2:3]", "[::1.2.3.999]", "1.2.3.999", "x:99999", "user@x", "xn--a", "::1", label(64),
		strings.Repeat("a.", 4<<10), strings.Repeat("[", 8<<10), strings.Repeat("\xff", 8<<10),
	} {
		n := testing.AllocsPerRun(100, func() { _, _ = hostport.Parse(in) })
		require.Zero(t, n, "%.40q", in)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, in := range []string{"api.example.com", "api.example.com:8443", "[2001:db8::1]:443", name(253), strings.Repeat("a-", 4<<10)} {
		b.Run(in[:min(20, len(in))], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = hostport.Parse(in)
			}
		})
	}
}
