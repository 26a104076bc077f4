// Package forwardedbench measures what it costs to find the client's address,
// beside what services use today, and shows what those answer to a client that
// forges the headers.
//
//	go test -run Forg -v ./forwarded/
//	go test -bench . -benchtime=200ms -count=3 ./forwarded/
package forwardedbench

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/didip/tollbooth/v8/libstring"
	"github.com/didip/tollbooth/v8/limiter"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/gorilla/handlers"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

// finder tells the client's address in the text that a limiter would use as key.
type finder struct {
	name string
	find func(*http.Request) string
	// forged tells that the client can choose the answer.
	forged bool
}

// through runs a middleware that rewrites RemoteAddr.
func through(mw func(http.Handler) http.Handler) func(*http.Request) string {
	return func(r *http.Request) (seen string) {
		mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr })).ServeHTTP(nil, r)
		return seen
	}
}

func finders(t testing.TB) []finder {
	t.Helper()
	res, err := forwarded.New(forwarded.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	return []finder{
		{"gatehouse", func(r *http.Request) string { return res.ClientIP(r).String() }, false},
		{"the peer", func(r *http.Request) string { host, _, _ := net.SplitHostPort(r.RemoteAddr); return host }, false},
		{"first of Header.Get", func(r *http.Request) string {
			first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
			return strings.TrimSpace(first)
		}, true},
		{"chi RealIP", through(middleware.RealIP), true},
		{"gorilla ProxyHeaders", through(handlers.ProxyHeaders), true},
		{"httprate KeyByRealIP", func(r *http.Request) string { key, _ := httprate.KeyByRealIP(r); return key }, true},
		{"tollbooth, rightmost", func(r *http.Request) string {
			return libstring.RemoteIPFromIPLookup(limiter.IPLookup{Name: "X-Forwarded-For"}, r)
		}, false},
	}
}

// request came through a proxy that adds a line of its own, as HAProxy does. The
// client, 192.0.2.60, had sent the rest.
func request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Header["X-Forwarded-For"] = []string{"198.51.100.1", "192.0.2.60"}
	r.Header["X-Real-Ip"] = []string{"198.51.100.1"}
	r.Header["True-Client-Ip"] = []string{"198.51.100.1"}
	return r
}

func TestForgingClientChoosesItsAddressWithThePeers(t *testing.T) {
	for _, f := range finders(t) {
		got := f.find(request())
		t.Logf("%-26s %s", f.name, got)
		if chosen := strings.Contains(got, "198.51.100.1"); chosen != f.forged {
			t.Errorf("%s: %s; forged is %v, expected %v", f.name, got, chosen, f.forged)
		}
	}
}

func BenchmarkClientIP(b *testing.B) {
	for _, f := range finders(b) {
		b.Run(f.name, func(b *testing.B) {
			r := request()
			b.ReportAllocs()
			for b.Loop() {
				r.RemoteAddr = "10.0.0.1:4711"
				f.find(r)
			}
		})
	}
}
