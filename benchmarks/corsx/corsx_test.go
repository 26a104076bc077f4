// Package corsxbench measures corsx beside github.com/rs/cors and
// github.com/jub0bs/cors, the bare handler beside each:
//
//	go test ./corsx -bench . -benchmem -benchtime 10ms -count 40
//
// Compare the fastest of the runs: on a busy machine the others measure it.
//
// Every implementation gets the same Config: the named number of https origins,
// PUT, PATCH and DELETE, two request headers, one exposed header, credentials, a
// MaxAge. A response's header map is emptied between requests, not made anew,
// so that what is measured is the middleware and not the map.
package corsxbench

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	jub0bs "github.com/jub0bs/cors"
	rs "github.com/rs/cors"

	"github.com/gatehouse-go/gatehouse/corsx"
)

// response is a ResponseWriter that costs nothing itself.
type response struct{ header http.Header }

func (w *response) Header() http.Header         { return w.header }
func (w *response) Write(b []byte) (int, error) { return len(b), nil }
func (w *response) WriteHeader(int)             {}

// ballast is the live heap of a small service. Without it the collector, in a
// heap of nothing else, would run all the time, and a service does not.
var ballast = make([]byte, 64<<20)

type middleware = func(http.Handler) http.Handler

var (
	methods  = []string{"PUT", "PATCH", "DELETE"}
	headers  = []string{"Authorization", "Content-Type"}
	exposed  = []string{"Retry-After"}
	hostname = "app-%d.example.com"
)

func origins(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("https://"+hostname, i)
	}
	return list
}

func implementations(b *testing.B, origins, subdomains []string) map[string]middleware {
	b.Helper()
	ours, err := corsx.New(corsx.Config{
		Origins: origins, Subdomains: subdomains, Methods: methods, RequestHeaders: headers,
		ExposedHeaders: exposed, Credentials: true, MaxAge: 10 * time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	all := append(append([]string{}, origins...), subdomains...)
	theirs := rs.New(rs.Options{
		AllowedOrigins: all, AllowedMethods: append([]string{"GET", "HEAD", "POST"}, methods...),
		AllowedHeaders: headers, ExposedHeaders: exposed, AllowCredentials: true, MaxAge: 600,
	})
	jub, err := jub0bs.NewMiddleware(jub0bs.Config{
		Origins: all, Methods: methods, RequestHeaders: headers,
		ResponseHeaders: exposed, Credentialed: true, MaxAgeInSeconds: 600,
	})
	if err != nil {
		b.Fatal(err)
	}
	return map[string]middleware{
		"bare": func(h http.Handler) http.Handler { return h }, "rs": theirs.Handler, "jub0bs": jub.Wrap, "corsx": ours.Handler,
	}
}

var order = []string{"bare", "rs", "jub0bs", "corsx"}

func run(b *testing.B, origins, subdomains []string, header http.Header, method string, set ...string) {
	all := implementations(b, origins, subdomains)
	defer runtime.KeepAlive(ballast)
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, name := range order {
		h := all[name](next)
		b.Run(name, func(b *testing.B) {
			w := &response{header: make(http.Header, 8+len(set))}
			r := &http.Request{Method: method, Header: header, Host: "api.example.com"}
			value := []string{"set by a layer outside"}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				for _, name := range set {
					w.header[name] = value
				}
				h.ServeHTTP(w, r)
			}
		})
	}
}

func actual(origin ...string) http.Header {
	h := http.Header{"Accept": {"*/*"}, "User-Agent": {"Mozilla/5.0"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}}
	if len(origin) > 0 {
		h["Origin"] = origin
	}
	return h
}

func preflight(method, names string, origin ...string) http.Header {
	h := actual(origin...)
	h["Access-Control-Request-Method"] = []string{method}
	if names != "" {
		h["Access-Control-Request-Headers"] = []string{names}
	}
	return h
}

const denied = "https://attacker.example"

func BenchmarkOrigins(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		list := origins(n)
		listed := list[n-1]
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.Run("no origin", func(b *testing.B) { run(b, list, nil, actual(), "GET") })
			b.Run("actual allowed", func(b *testing.B) { run(b, list, nil, actual(listed), "GET") })
			b.Run("actual denied", func(b *testing.B) { run(b, list, nil, actual(denied), "GET") })
			b.Run("preflight allowed", func(b *testing.B) {
				run(b, list, nil, preflight("PUT", "authorization,content-type", listed), "OPTIONS")
			})
			b.Run("preflight denied", func(b *testing.B) {
				run(b, list, nil, preflight("PUT", "authorization,content-type", denied), "OPTIONS")
			})
			b.Run("preflight denied method", func(b *testing.B) {
				run(b, list, nil, preflight("PURGE", "", listed), "OPTIONS")
			})
			b.Run("preflight denied header", func(b *testing.B) {
				run(b, list, nil, preflight("PUT", "x-unknown", listed), "OPTIONS")
			})
		})
	}
}

func BenchmarkSubdomains(b *testing.B) {
	patterns := []string{"https://*.example.com"}
	b.Run("actual allowed", func(b *testing.B) { run(b, nil, patterns, actual("https://a.example.com"), "GET") })
	b.Run("actual denied", func(b *testing.B) { run(b, nil, patterns, actual(denied), "GET") })
}

func BenchmarkHostile(b *testing.B) {
	const megabyte = 1 << 20
	list := origins(1)
	long := strings.Repeat("a", megabyte)
	b.Run("origin of 1 MB", func(b *testing.B) { run(b, list, nil, actual("https://"+long), "GET") })
	b.Run("preflight origin of 1 MB", func(b *testing.B) { run(b, list, nil, preflight("PUT", "", "https://"+long), "OPTIONS") })
	b.Run("method of 1 MB", func(b *testing.B) { run(b, list, nil, preflight(long, "", list[0]), "OPTIONS") })
	b.Run("1 MB of commas", func(b *testing.B) {
		run(b, list, nil, preflight("PUT", strings.Repeat(",", megabyte), list[0]), "OPTIONS")
	})
	b.Run("1 MB of names", func(b *testing.B) {
		run(b, list, nil, preflight("PUT", strings.Repeat("authorization,", megabyte/14), list[0]), "OPTIONS")
	})
	b.Run("many labels", func(b *testing.B) {
		run(b, nil, []string{"https://*.example.com"}, actual("https://"+strings.Repeat("a.", 110)+"example.org"), "GET")
	})
}

// BenchmarkStack has a layer outside that has set twelve headers, as secheaders
// does; bare is what setting them costs.
func BenchmarkStack(b *testing.B) {
	list := origins(1)
	set := make([]string, 12)
	for i := range set {
		set[i] = fmt.Sprintf("X-Security-Header-%d", i)
	}
	b.Run("no origin", func(b *testing.B) { run(b, list, nil, actual(), "GET", set...) })
	b.Run("actual allowed", func(b *testing.B) { run(b, list, nil, actual(list[0]), "GET", set...) })
	b.Run("actual denied", func(b *testing.B) { run(b, list, nil, actual(denied), "GET", set...) })
	b.Run("preflight allowed", func(b *testing.B) {
		run(b, list, nil, preflight("PUT", "authorization,content-type", list[0]), "OPTIONS", set...)
	})
	b.Run("preflight denied", func(b *testing.B) {
		run(b, list, nil, preflight("PUT", "authorization,content-type", denied), "OPTIONS", set...)
	})
}
