package ratelimit_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestByIPTakesAnIPv6NetworkAsOneClientAndUnmapsFirst(t *testing.T) {
	for _, same := range [][2]string{
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	} {
		assert.Equal(t, ratelimit.KeyOfAddr(addr(same[0])), ratelimit.KeyOfAddr(addr(same[1])), "%v", same)
	}
	for _, other := range [][2]string{
		{"2001:db8::1", "2001:db8:0:1::1"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2"}, // cut to /64 as it is, all of IPv4 were one client
		{"192.0.2.1", "::c000:201"},
		{"192.0.2.1", "c000:201::"},
		{"0.0.0.0", "::"},
	} {
		assert.NotEqual(t, ratelimit.KeyOfAddr(addr(other[0])), ratelimit.KeyOfAddr(addr(other[1])), "%v", other)
	}
	s := ratelimit.Subject{IP: addr("::ffff:192.0.2.77")}
	assert.Equal(t, "192.0.2.77/32", ratelimit.ByIP(s).String())
	assert.Equal(t, "192.0.2.0/24", ratelimit.ByNetwork(24, 48)(s).String())
	s.IP = addr("2001:db8:1:2:3::4")
	assert.Equal(t, "2001:db8:1:2::/64", ratelimit.ByIP(s).String())
	assert.Equal(t, "2001:db8:1::/48", ratelimit.ByNetwork(24, 48)(s).String())
	assert.Equal(t, "2001:db8:1:2:3::4/128", ratelimit.ByNetwork(99, 999)(s).String())
	assert.Equal(t, "::/0", ratelimit.ByNetwork(-1, -1)(s).String())
	assert.Equal(t, "2001:da0::/27", ratelimit.ByNetwork(0, 27)(ratelimit.Subject{IP: addr("2001:dbf:ffff::")}).String())
}

func TestNetworkKeysAgreeWithNetip(t *testing.T) {
	for _, a := range []netip.Addr{addr("203.0.113.201"), addr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")} {
		for bits := range a.BitLen() + 1 {
			want, err := a.Prefix(bits)
			require.NoError(t, err)
			assert.Equal(t, want.String(), ratelimit.ByNetwork(bits, bits)(ratelimit.Subject{IP: a}).String())
		}
	}
}

func TestAMissingAddressSharesOneBucketAndIsNotSkipped(t *testing.T) {
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(2)}}).Handler(ok)
	var got []int
	for _, peer := range []string{"@", "", "nonsense", "192.0.2.1"} {
		got = append(got, status(h, from(peer)))
	}
	assert.Equal(t, []int{200, 200, 429, 429}, got)

	value := ratelimit.Rule{
		Name: "user", Limits: perIP(2).Limits,
		Key: ratelimit.ByValue(func(r *http.Request) string { return r.Header.Get("X-User") }),
	}
	h = newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{value}}).Handler(ok)
	assert.Equal(t, []int{200, 200, 429}, statuses(h, 3, byAlice), "an empty value")
}

func TestCompositeKeysDoNotCollide(t *testing.T) {
	seen := map[ratelimit.Key][]string{}
	for _, parts := range [][]string{
		{},
		{""},
		{"", ""},
		{"a"},
		{"a", ""},
		{"", "a"},
		{"a", "b"},
		{"b", "a"},
		{"ab"},
		{"a:b"},
		{"a", ":b"},
		{"a:", "b"},
		{"a", "b", "c"},
		{"a\x00b"},
		{"a", "b\x00c"},
		{"ab", "c"},
		{"a", "bc"},
		{"192.0.2.1"},
		{"global"},
		{strings.Repeat("x", 256)},
		{strings.Repeat("x", 257)},
		{strings.Repeat("x", 10_000)},
	} {
		k := ratelimit.KeyOf(parts...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[k] = parts
	}
	s := ratelimit.Subject{IP: addr("192.0.2.1"), Route: "GET /a", Request: from("192.0.2.1:1")}
	a := func(v string) ratelimit.KeyFunc {
		return ratelimit.ByValue(func(*http.Request) string { return v })
	}
	assert.Equal(t, ratelimit.KeyOf("x"), a("x")(s))
	assert.Equal(t, ratelimit.KeyOf("x", "y"), ratelimit.Join(a("x"), a("y"))(s))
	assert.Equal(t, ratelimit.JoinKeys(ratelimit.KeyOfAddr(s.IP), ratelimit.KeyOf("x")), ratelimit.Join(ratelimit.ByIP, a("x"))(s))
	different := map[ratelimit.Key]string{}
	for name, f := range map[string]ratelimit.KeyFunc{
		"ip": ratelimit.ByIP, "route": ratelimit.ByRoute, "global": ratelimit.Global, "value": a("GET /a"),
		"text of the address": a("192.0.2.1"), "ip, route": ratelimit.Join(ratelimit.ByIP, ratelimit.ByRoute),
		"route, ip": ratelimit.Join(ratelimit.ByRoute, ratelimit.ByIP), "joined alone": ratelimit.Join(ratelimit.ByIP),
		"nested": ratelimit.Join(ratelimit.Join(ratelimit.ByIP, ratelimit.ByRoute)), "none": ratelimit.Join(),
	} {
		assert.Empty(t, different[f(s)], name)
		different[f(s)] = name
	}
	assert.NotContains(t, ratelimit.KeyOf("secret").String(), "secret")
	assert.Equal(t, "none", ratelimit.Key{}.String())
	assert.Equal(t, "global", ratelimit.Global(s).String())
}

func TestPerRouteIsThePatternNotThePath(t *testing.T) {
	var ev events
	rule := perIP(5)
	rule.Key = ratelimit.Join(ratelimit.ByIP, ratelimit.ByRoute)
	mux := http.NewServeMux()
	mux.Handle("/items/{id}", ok)
	mux.Handle("/users/{id}", ok)
	h := newLimiter(t, ratelimit.Config{
		Observe: ev.observe, Rules: []ratelimit.Rule{rule},
		Route: func(r *http.Request) string { _, p := mux.Handler(r); return p },
	}).Handler(mux)
	at := func(path string) int {
		r := byAlice()
		r.URL.Path = path
		return status(h, r)
	}
	passed := 0
	for i := range 20 {
		if at("/items/"+string(rune('a'+i))) == 200 {
			passed++
		}
	}
	assert.Equal(t, 5, passed)
	assert.Equal(t, 200, at("/users/1"), "another route")
	ev.take()
	assert.Equal(t, 404, at("/nowhere"))
	assert.Equal(t, []string{"no-route per-ip", "allow per-ip"}, ev.take())

	inside := newLimiter(t, ratelimit.Config{Observe: ev.observe, Rules: []ratelimit.Rule{rule}})
	mux.Handle("/inside/{id}", inside.Handler(ok))
	r := byAlice()
	r.URL.Path = "/inside/1"
	assert.Equal(t, 200, status(mux, r))
	assert.Equal(t, []string{"allow per-ip"}, ev.take(), "inside the mux the pattern is known")
}

// spy records the keys that a store is given.
type spy struct {
	ratelimit.Store
	buckets []ratelimit.Bucket
}

func (s *spy) Do(ctx context.Context, op ratelimit.Op, b []ratelimit.Bucket, l []ratelimit.Level) error {
	s.buckets = append([]ratelimit.Bucket(nil), b...)
	return s.Store.Do(ctx, op, b, l)
}

func TestStoredKeysAreAnHMACWithTheSecret(t *testing.T) {
	rules := []ratelimit.Rule{
		{Name: "r", Limits: []ratelimit.Limit{{Name: "a", Requests: 5, Per: time.Minute}, {Name: "b", Requests: 9, Per: time.Minute}}},
		{Name: "other", Limits: perIP(5).Limits},
	}
	ask := func(secret string) []ratelimit.Bucket {
		s := &spy{Store: newMemory(t, ratelimit.MemoryConfig{})}
		serve(newLimiter(t, ratelimit.Config{Store: s, KeySecret: []byte(secret), Rules: rules}).Handler(ok), byAlice())
		require.Len(t, s.buckets, 3)
		return s.buckets
	}
	for _, secret := range []string{"0123456789abcdef", strings.Repeat("k", 64), strings.Repeat("k", 65)} {
		got := ask(secret)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(append([]byte{1, 32, 192, 0, 2, 1}, make([]byte, 12)...)) // kind, prefix, address
		want := mac.Sum(nil)
		for i, policy := range []string{"r-a", "r-b", "other"} {
			name := sha256.Sum256([]byte("gatehouse ratelimit\x00" + policy))
			for j := range 16 {
				name[j] ^= want[16+j]
			}
			assert.Equal(t, want[:16], got[i].Group[:], "one group for one principal")
			assert.Equal(t, name[:16], got[i].Key[:])
		}
		assert.Equal(t, got, ask(secret), "the same on every replica")
	}
	assert.NotEqual(t, ask("")[0].Key, ask("0123456789abcdef")[0].Key)
	assert.NotEqual(t, ask("0123456789abcdeX")[0].Group, ask("0123456789abcdef")[0].Group)
}
