package forwarded_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

// wellFormed are requests that honest proxies send, one for each policy, with all
// three answers asked for.
var wellFormed = []struct {
	name   string
	config forwarded.Config
	peer   string
	lines  []string
}{
	{"none", nobody, proxy, nil},
	{"untrusted peer", trusted, alien, xff(forged)},
	{"one proxy", trusted, proxy, xff(client)},
	{"IPv6", trusted, "[fd00::1]:443", xff("2001:db8::60")},
	{"three proxies in two lines", trusted, proxy, xff(forged+", "+client+", 10.0.0.3", "10.0.0.2")},
	{"hops", hop2, alien, xff(forged + ", " + client + ", 203.0.113.9")},
	{"single header", realIP, alien, []string{"X-Real-Ip: " + client}},
	{"single header missing", realIP, alien, nil},
	{
		"Forwarded",
		forwarded.Config{Proxies: proxies, RFC7239: true, ProtoHeader: "Forwarded", HostHeader: "Forwarded"},
		proxy,
		fwd(`for=198.51.100.1`, `for="[2001:db8::60]:4711";proto=https;host="shop.example:8443";by=_x`),
	},
	{
		"scheme and host",
		forwarded.Config{Proxies: proxies, ProtoHeader: "X-Forwarded-Proto", HostHeader: "X-Forwarded-Host"},
		proxy,
		[]string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"},
	},
}

func TestWellFormedRequestsCostNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes the count")
	}
	for _, c := range wellFormed {
		t.Run(c.name, func(t *testing.T) {
			v, r := resolver(t, c.config), request(c.peer, c.lines...)
			assert.Zero(t, testing.AllocsPerRun(200, func() {
				sinkAddr, sinkBool, sinkHost = v.ClientIP(r), v.HTTPS(r), v.Host(r)
			}))
		})
	}
}

// sinks keep the compiler from removing what is measured.
var (
	sinkAddr netip.Addr
	sinkBool bool
	sinkHost string
)

func benchmark(b *testing.B, c forwarded.Config, r *http.Request) {
	v := resolver(b, c)
	b.ReportAllocs()
	for b.Loop() {
		sinkAddr = v.ClientIP(r)
	}
}

// The floor: what it costs to read the peer alone.
func BenchmarkFloorParseAddrPort(b *testing.B) {
	r := request(proxy)
	b.ReportAllocs()
	for b.Loop() {
		ap, _ := netip.ParseAddrPort(r.RemoteAddr)
		sinkAddr = ap.Addr()
	}
}

func BenchmarkClientIP(b *testing.B) {
	for _, c := range wellFormed {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.config, request(c.peer, c.lines...)) })
	}
}

func BenchmarkHTTPS(b *testing.B) {
	c := wellFormed[len(wellFormed)-1]
	v, r := resolver(b, c.config), request(c.peer, c.lines...)
	b.ReportAllocs()
	for b.Loop() {
		sinkBool = v.HTTPS(r)
	}
}

// Ten thousand networks must cost about what ten do.
func BenchmarkClientIPManyNetworks(b *testing.B) {
	var list []netip.Prefix
	for i := range 10_000 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
	}
	benchmark(b, forwarded.Config{Proxies: list}, request(proxy, xff(client+", 10.0.3.4")...))
}

// The dearest that a client can send through a proxy that appends nothing to it:
// every element is trusted, as long as it may be, and read to its end.
func BenchmarkHostile(b *testing.B) {
	b.Run("chain of trusted addresses", func(b *testing.B) {
		benchmark(b, trusted, request(proxy, xff(strings.Repeat("fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff, ", 1000))...))
	})
	b.Run("long quoted strings", func(b *testing.B) {
		e := `for=10.0.0.2;e="` + strings.Repeat(`\"`, 245) + `"`
		benchmark(b, std, request(proxy, fwd(strings.Repeat(e+",", 100))...))
	})
	b.Run("a megabyte without a comma", func(b *testing.B) {
		benchmark(b, trusted, request(proxy, xff(strings.Repeat("1", 1<<20))...))
	})
	b.Run("a megabyte of commas", func(b *testing.B) {
		benchmark(b, trusted, request(proxy, xff(strings.Repeat(",", 1<<20))...))
	})
}
