package forwarded_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

// The second implementation: slow, allocating, and as plain as it can be. It
// knows nothing of how the first one reads.

// naiveXFF lists the elements of X-Forwarded-For, left to right.
func naiveXFF(lines []string) (elements []string) {
	for e := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		elements = append(elements, strings.Trim(e, " \t"))
	}
	return elements
}

// reElement is a forwarded-element, transcribed from the ABNF of RFC 7239, section
// 4, and RFC 9110, section 5.6.
var (
	token     = `[!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+`
	quoted    = `"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t !-~\x80-\xff])*"`
	pair      = `(?:` + token + `=(?:` + token + `|` + quoted + `))?`
	reElement = regexp.MustCompile(`^[ \t]*(` + pair + `(?:;` + pair + `)*)[ \t]*$`)
	rePair    = regexp.MustCompile(`(` + token + `)=(` + token + `|` + quoted + `)`)
)

// latin makes every byte one rune, so that the classes of the regular expressions
// mean bytes.
func latin(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// naiveForwarded lists the elements of Forwarded, left to right. What stands
// between the end and some comma is the last element if it is one; the shortest
// wins. If none is, the rest is garbage, "?".
func naiveForwarded(lines []string) (elements []string) {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			cut := len(line)
			for {
				cut = strings.LastIndex(line[:cut], ",")
				last := latin(line[cut+1:])
				if len(line[cut+1:]) > 512 {
					return append([]string{"?"}, elements...)
				}
				if m := reElement.FindStringSubmatch(last); m != nil {
					elements = append([]string{m[1]}, elements...)
					break
				}
				if cut < 0 {
					return append([]string{"?"}, elements...)
				}
			}
			if more = cut >= 0; more {
				line = line[:cut]
			}
		}
	}
	return elements
}

// naiveFor returns the node of an element, "?" for garbage, "unknown" for none.
func naiveFor(element string) string {
	node := "unknown"
	seen := map[string]bool{}
	for _, m := range rePair.FindAllStringSubmatch(element, -1) {
		name := strings.ToLower(m[1])
		if seen[name] && (name == "for" || name == "proto" || name == "host") {
			return "?"
		}
		seen[name] = true
		if name == "for" {
			node = strings.TrimSuffix(strings.TrimPrefix(m[2], `"`), `"`)
		}
	}
	return node
}

var (
	reHidden = regexp.MustCompile(`^(?i:unknown|_[a-z0-9._-]+)$`)
	rePort   = regexp.MustCompile(`^(.*?):([0-9]{1,5})$`)
	reObf    = regexp.MustCompile(`^(.*?):(_[A-Za-z0-9._-]+)$`)
)

// naiveNode reads a node: an address, "hidden" or "garbage".
func naiveNode(s string, std bool) (netip.Addr, string) {
	bare := s
	if m := rePort.FindStringSubmatch(s); m != nil {
		bare = m[1]
	} else if m := reObf.FindStringSubmatch(s); m != nil && std {
		bare = m[1]
	}
	if reHidden.MatchString(bare) {
		return netip.Addr{}, "hidden"
	}
	inner, bracketed := strings.CutPrefix(bare, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return netip.Addr{}, "garbage"
		}
	} else if addr, ok := naiveAddr(s, std); ok && addr.Is6() && !std {
		return addr, "" // "2001:db8::1:80" has no port
	}
	addr, ok := naiveAddr(inner, std)
	if !ok || addr.Is6() != bracketed {
		return netip.Addr{}, "garbage"
	}
	return addr, ""
}

func naiveAddr(s string, std bool) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	if addr.Zone() != "" && (std || !netip.MustParsePrefix("fe80::/10").Contains(addr.WithZone(""))) {
		return netip.Addr{}, false
	}
	return addr.WithZone(""), true
}

// naive is the whole policy. It is given the peer as an address.
func naive(c forwarded.Config, peer netip.Addr, h http.Header) netip.Addr {
	believed := func(a netip.Addr) bool {
		return slices.ContainsFunc(c.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !c.InsecureAnyPeer && !believed(peer) {
		return peer
	}
	if c.Header != "" {
		lines := h.Values(c.Header)
		if len(lines) != 1 || len(lines[0]) > 512 {
			return peer
		}
		if addr, bad := naiveNode(strings.Trim(lines[0], " \t"), false); bad == "" {
			return addr.Unmap()
		}
		return peer
	}
	elements := naiveXFF(h["X-Forwarded-For"])
	if c.RFC7239 {
		elements = naiveForwarded(h["Forwarded"])
	}
	client, n := peer, 0
	for looks, e := range slices.Backward(elements) {
		if len(elements)-looks > 32 || len(e) > 512 {
			break
		}
		if e == "" {
			continue
		}
		if c.RFC7239 {
			e = naiveFor(e)
		}
		addr, bad := naiveNode(e, c.RFC7239)
		n++
		if bad == "garbage" || bad == "hidden" && n >= c.Hops {
			break
		}
		if n == c.Hops {
			return addr.Unmap()
		}
		if c.Hops > 0 {
			continue
		}
		if client = addr.Unmap(); !believed(client) {
			break
		}
	}
	return client
}

var fuzzed = []forwarded.Config{
	nobody, trusted, std, hop1, hop2, hop2p, hop2std,
	{Hops: 1, RFC7239: true, Proxies: proxies},
	{Header: "X-Forwarded-Real", InsecureAnyPeer: true},
	{Header: "X-Forwarded-Real", Proxies: proxies},
}

// FuzzClientIP asks four oracles. A second implementation must agree. The answer
// must be the peer or an address that stands in the configured header. What a
// client adds on the left must not change the answer, and neither may any other
// header.
func FuzzClientIP(f *testing.F) {
	for i := range fuzzed {
		for _, s := range seeds {
			f.Add(uint8(i), s, "10.0.0.3", proxy, forged+", ")
			f.Add(uint8(i), "192.0.2.9", s, proxy, `for="x`)
		}
	}
	f.Add(uint8(1), client, "", "[fe80::1%eth0]:1", "10.0.0.9,")
	f.Add(uint8(1), client, "10.0.0.2", "@", "")
	f.Fuzz(func(t *testing.T, which uint8, line1, line2, remote, left string) {
		c := fuzzed[int(which)%len(fuzzed)]
		v := resolver(t, c)
		peer := resolver(t, nobody).ClientIP(&http.Request{RemoteAddr: remote})
		if ap, err := netip.ParseAddrPort(remote); err == nil && ap.Addr().Zone() == "" && ap.Addr().Unmap() != peer {
			t.Errorf("peer %q is %v", remote, peer)
		}

		name := "X-Forwarded-For"
		switch {
		case c.Header != "":
			name = c.Header
		case c.RFC7239:
			name = "Forwarded"
		}
		h := http.Header{name: {line1, line2}}
		if c.Header != "" {
			h[name] = h[name][:1]
		}
		got := v.ClientIP(&http.Request{RemoteAddr: remote, Header: h})

		if want := naive(c, peer, h); got != want {
			t.Errorf("config %d, peer %v, %q: %v, the naive one says %v", which, peer, h, got, want)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Errorf("%v has a zone or is IPv4-mapped", got)
		}
		if got != peer && !stands(got, h[name]) {
			t.Errorf("%v is neither the peer nor in %q", got, h)
		}

		other := h.Clone()
		for _, n := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Forwarded-Real", "X-Forwarded-Proto"} {
			if n != name {
				other[n] = []string{left, line1}
			}
		}
		if again := v.ClientIP(&http.Request{RemoteAddr: remote, Header: other}); again != got {
			t.Errorf("%q: %v, with other headers %v", h, got, again)
		}

		// The proxy appended an untrusted client (or, for Hops, as many elements
		// as there are proxies). Whatever is left of it is forged.
		if c.Header != "" {
			return
		}
		sure := map[bool]string{false: "192.0.2.77", true: "for=192.0.2.77"}[c.RFC7239]
		if c.Hops == 2 {
			sure += ", " + sure
		}
		for _, h := range []http.Header{
			{name: {sure}},
			{name: {left + "," + sure}},
			{name: {left, sure}},
			{name: {line1, left + line2 + " , " + sure}},
		} {
			want := ip("192.0.2.77")
			if c.Hops == 0 && len(c.Proxies) == 0 || len(c.Proxies) > 0 && !inProxies(peer) {
				want = peer
			}
			if got := v.ClientIP(&http.Request{RemoteAddr: remote, Header: h}); got != want {
				t.Errorf("forged on the left: %q gives %v, want %v", h, got, want)
			}
		}
	})
}

func inProxies(a netip.Addr) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// stands tells whether the address can be read anywhere in the lines: between any
// two bytes that no address has.
func stands(a netip.Addr, lines []string) bool {
	for _, line := range lines {
		words := strings.FieldsFunc(line, func(c rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:.", c) })
		for _, w := range words {
			if v4, _, ok := strings.Cut(w, ":"); ok && strings.Contains(v4, ".") {
				words = append(words, v4) // with its port
			}
		}
		for _, w := range words {
			if x, err := netip.ParseAddr(w); err == nil && x.Unmap() == a {
				return true
			}
		}
	}
	return false
}

var seeds = []string{
	"", client, "192.0.2.60:4711", "[2001:db8::60]:80", "2001:db8::60", "::ffff:192.0.2.60", "fe80::2%eth0", "[fe80::2%25e]:1",
	"unknown", "_hidden", "unknown:80", "10.0.0.2, 10.0.0.3", ",, ,", "192.0.2.60, garbage, 10.0.0.2", "192.0.2.60 192.0.2.61",
	"2001:db8::60%a", "[192.0.2.60]", "192.0.2.060", "\x00", "é", "1:2:3:4:5:6:7:8", "::", "[::]", "[]", ":", ":80", "[", "]", "%", "%e",
	"for=192.0.2.60", `for="[2001:db8::60]:4711"`, `for="192.0.2.60:_p"`, `for=192.0.2.60;proto=https;by=_x, for=10.0.0.2`,
	`for=_x;for=192.0.2.60`, `for="a\", for=192.0.2.60`, `e="a, b";for=10.0.0.2`, `e="\\";for=192.0.2.60`, `e="\\\"";for=192.0.2.60`,
	`;;`, `for`, `for=`, `for="192.0.2.60"by=_x`, `=`, `"`, `\"`, `for=\"1"`, `a=";",for=192.0.2.60`, `for = 192.0.2.60`, `FOR=192.0.2.60;For=_x`, "e=\"\x80\"", "e=\"\\\x01\"", "e=\"\\\t\"",
	strings.Repeat("10.0.0.2,", 33), strings.Repeat(",", 40), `e="` + strings.Repeat("x", 508) + `"`, strings.Repeat("x", 513),
}

// FuzzParsePrefixes: what is accepted is printed and read again the same, has no
// host bits, and New takes it.
func FuzzParsePrefixes(f *testing.F) {
	for _, s := range []string{"", ",", "10.0.0.0/8, 192.168.1.5", "::1", "fe80::%a/10", "::ffff:1.2.3.4/120", "1.2.3.4/0", "1.2.3.4:80", "[::1]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := forwarded.ParsePrefixes(s)
		if err != nil {
			if list != nil {
				t.Error("both a list and an error")
			}
			return
		}
		var back []string
		everybody := false
		for _, p := range list {
			if p != p.Masked() || !p.IsValid() {
				t.Errorf("%q gave %v", s, p)
			}
			everybody = everybody || p.Bits() == 0
			back = append(back, p.String())
		}
		again, err := forwarded.ParsePrefixes(strings.Join(back, " , "))
		if err != nil || !slices.Equal(again, list) {
			t.Errorf("%q: %v, read again %v, %v", s, list, again, err)
		}
		if _, err := forwarded.New(forwarded.Config{Proxies: list}); (err != nil) != everybody {
			t.Errorf("New(%v): %v", list, err)
		}
	})
}

// FuzzHost: the answer is r.Host or the last value of the header, and then it is a
// host: nothing that could end up in a link or a log line as something else.
func FuzzHost(f *testing.F) {
	v, err := forwarded.New(forwarded.Config{Proxies: proxies, HostHeader: "X-Forwarded-Host", ProtoHeader: "X-Forwarded-Proto"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "shop.example", "a, b", "a,", "x@y", "[::1]:80", "a/b", "a:0", "a:65535", strings.Repeat("a", 600)} {
		f.Add(s, s)
	}
	reHost := regexp.MustCompile(`^([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$`)
	f.Fuzz(func(t *testing.T, first, last string) {
		r := request(proxy)
		r.Header["X-Forwarded-Host"] = []string{first, last}
		r.Header["X-Forwarded-Proto"] = []string{first, last}
		values := strings.Split(last, ",")
		want := strings.Trim(values[len(values)-1], " \t")
		got := v.Host(r)
		if got != "app.example" && (got != want || !reHost.MatchString(got)) {
			t.Errorf("%s gives %s", strconv.Quote(last), strconv.Quote(got))
		}
		if https := v.HTTPS(r); https && !strings.EqualFold(want, "https") && !strings.EqualFold(want, "wss") {
			t.Errorf("%s is https", strconv.Quote(last))
		}
	})
}
