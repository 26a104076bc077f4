package trustedhost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

var nop = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// discard is a ResponseWriter with a header map that exists, as a server's does.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// request is what net/http makes of an origin-form request with this Host.
func request(host string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	for _, name := range []string{"User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site"} {
		r.Header.Set(name, "x")
	}
	return r
}

func list(pattern string, n int) []string {
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf(pattern, i)
	}
	return hosts
}

// BenchmarkAccept holds a request for a listed host against the bare handler
// and against a plain map lookup of r.Host, the floor of every host check.
//
//	go test ./trustedhost -run '^$' -bench Accept -benchtime 200ms
func BenchmarkAccept(b *testing.B) {
	run := func(name string, h http.Handler, host string) {
		b.Run(name, func(b *testing.B) {
			r, w := request(host), discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
	run("bare", nop, "h0.example.org")
	for _, n := range []int{1, 100, 10_000} {
		floor := make(map[string]bool, n)
		for _, h := range list("h%d.example.org", n) {
			floor[h] = true
		}
		last := fmt.Sprintf("h%d.example.org", n-1)
		run(fmt.Sprintf("floor/%d", n), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !floor[r.Host] {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			nop.ServeHTTP(w, r)
		}), last)
		run(fmt.Sprintf("exact/%d", n), mustNew(b, trustedhost.Config{Hosts: list("h%d.example.org", n)}).Handler(nop), last)
		run(fmt.Sprintf("exact with a port/%d", n), mustNew(b, trustedhost.Config{Hosts: list("h%d.example.org", n)}).Handler(nop), last+":8443")
		run(fmt.Sprintf("upper case/%d", n), mustNew(b, trustedhost.Config{Hosts: list("h%d.example.org", n)}).Handler(nop), strings.ToUpper(last))
		run(fmt.Sprintf("wildcard/%d", n), mustNew(b, trustedhost.Config{Hosts: list("*.h%d.example.org", n)}).Handler(nop), "a."+last)
		run(fmt.Sprintf("address/%d", n), mustNew(b, trustedhost.Config{Hosts: networks(n)}).Handler(nop), "10.0.0.77")
	}
}

func networks(n int) []string {
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
	}
	return hosts
}

func BenchmarkReject(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		h := mustNew(b, trustedhost.Config{Hosts: append(list("h%d.example.org", n), list("*.w%d.example.org", n)...)}).Handler(nop)
		for _, c := range []struct{ name, host string }{
			{"unlisted", "attacker.example"},
			{"malformed", "example.org:@attacker.example"},
			{"127 labels", strings.Repeat("a.", 126) + "a"},
			{"8 KB", strings.Repeat("a.", 4<<10)},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				r, w := request(c.host), discard{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}
