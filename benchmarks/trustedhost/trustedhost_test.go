// Package trustedhostbench measures what it costs to check the host of a
// request, beside what services use today, and shows which hosts those let in.
// The floor is a plain map lookup of r.Host.
//
//	go test -run Hostile -v ./trustedhost/
//	go test -run '^$' -bench . -benchtime=200ms -count=3 ./trustedhost/
package trustedhostbench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/unrolled/secure"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

var next = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// A checker builds a handler that calls next for the listed hosts alone.
type checker struct {
	name string
	// exact and wildcard take host names, the latter meaning what is below them;
	// nil where the checker cannot.
	exact, wildcard func(hosts []string) http.Handler
}

func refuse(w http.ResponseWriter) { http.Error(w, "Bad Host", http.StatusBadRequest) }

func gatehouse(hosts []string) http.Handler {
	mw, err := trustedhost.New(trustedhost.Config{Hosts: hosts})
	if err != nil {
		panic(err)
	}
	return mw.Handler(next)
}

func floor(hosts []string) http.Handler {
	set := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		set[h] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !set[r.Host] {
			refuse(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func each(hosts []string, to func(string) string) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = to(h)
	}
	return out
}

var checkers = []checker{
	{"floor", floor, nil},
	{"gatehouse", gatehouse, func(hosts []string) http.Handler {
		return gatehouse(each(hosts, func(h string) string { return "*." + h }))
	}},
	{"unrolled_secure", func(hosts []string) http.Handler {
		return secure.New(secure.Options{AllowedHosts: hosts}).Handler(next)
	}, func(hosts []string) http.Handler {
		return secure.New(secure.Options{
			AllowedHosts: each(hosts, func(h string) string { return `^.+\.` + regexp.QuoteMeta(h) + "$" }), AllowedHostsAreRegex: true,
		}).Handler(next)
	}},
	{"ServeMux_host_patterns", func(hosts []string) http.Handler {
		mux := http.NewServeMux()
		for _, h := range hosts {
			mux.Handle(h+"/", next)
		}
		return mux
	}, nil},
	{"suffix_loop", nil, func(hosts []string) http.Handler {
		suffixes := each(hosts, func(h string) string { return "." + h })
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(r.Host, s) }) {
				refuse(w)
				return
			}
			next.ServeHTTP(w, r)
		})
	}},
}

// discard is a ResponseWriter with a header map that exists, as a server's does.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func request(host string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = host
	for _, name := range []string{"User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Referer"} {
		r.Header.Set(name, "x")
	}
	return r
}

func names(n int) []string {
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.example.org", i)
	}
	return hosts
}

func bench(b *testing.B, name string, h http.Handler, host string) {
	b.Run(name, func(b *testing.B) {
		r, w := request(host), discard{http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			h.ServeHTTP(w, r)
		}
	})
}

var sizes = []int{1, 10, 100, 1000, 10_000}

func BenchmarkExact(b *testing.B) {
	for _, n := range sizes {
		for _, c := range checkers {
			if c.exact != nil {
				bench(b, fmt.Sprintf("%d/%s", n, c.name), c.exact(names(n)), fmt.Sprintf("h%d.example.org", n-1))
			}
		}
	}
}

func BenchmarkWildcard(b *testing.B) {
	for _, n := range sizes {
		bench(b, fmt.Sprintf("%d/floor", n), floor(names(n)), fmt.Sprintf("h%d.example.org", n-1))
		for _, c := range checkers {
			if c.wildcard != nil {
				bench(b, fmt.Sprintf("%d/%s", n, c.name), c.wildcard(names(n)), fmt.Sprintf("app.h%d.example.org", n-1))
			}
		}
	}
}

func BenchmarkReject(b *testing.B) {
	for label, host := range map[string]string{
		"unlisted": "attacker.example", "127_labels": strings.Repeat("a.", 126) + "a", "8_KB": strings.Repeat("a.", 4<<10),
	} {
		for _, c := range checkers {
			if c.exact != nil {
				bench(b, label+"/exact/"+c.name, c.exact(names(1000)), host)
			}
			if c.wildcard != nil {
				bench(b, label+"/wildcard/"+c.name, c.wildcard(names(1000)), host)
			}
		}
	}
}

// TestHostile shows what the checkers let in: hosts that are not what they look
// like, and spellings of a listed host that they refuse. Run with -v to read
// it; what is asserted is this module's own answer.
func TestHostile(t *testing.T) {
	for host, want := range map[string]bool{
		"app.h0.example.org":                  true,
		"APP.h0.example.org":                  true,
		"app.h0.example.org.":                 true,
		"app.h0.example.org:8443":             true,
		"attacker.example/.h0.example.org":    false,
		"attacker.example#.h0.example.org":    false,
		`attacker.example\.h0.example.org`:    false,
		"attacker.example:80@.h0.example.org": false,
		".h0.example.org":                     false,
	} {
		for _, c := range checkers {
			if c.wildcard == nil {
				continue
			}
			w := httptest.NewRecorder()
			c.wildcard(names(1)).ServeHTTP(w, request(host))
			got := w.Code == http.StatusOK
			t.Logf("%-40q %-16s accepted: %v", host, c.name, got)
			if c.name == "gatehouse" && got != want {
				t.Errorf("%q: accepted %v, want %v", host, got, want)
			}
		}
	}
}
