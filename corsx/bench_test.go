package corsx_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/corsx"
)

// still is a ResponseWriter that costs nothing itself.
type still struct{ header http.Header }

func (w *still) Header() http.Header         { return w.header }
func (w *still) Write(b []byte) (int, error) { return len(b), nil }
func (w *still) WriteHeader(int)             {}

func hostile() map[string]*http.Request {
	const megabyte = 1 << 20
	return map[string]*http.Request{
		"an origin of 1 MB":     request("GET", "Origin", "https://"+strings.Repeat("a", megabyte)),
		"a preflight's of 1 MB": preflight("https://"+strings.Repeat("a", megabyte), "PUT"),
		"a method of 1 MB":      preflight(app, strings.Repeat("P", megabyte)),
		"1 MB of commas":        preflight(app, "PUT", strings.Repeat(",", megabyte)),
		"1 MB of names":         preflight(app, "PUT", strings.Repeat("authorization,", megabyte/14)),
		"64 Ki lines":           preflight(app, "PUT", make([]string, 1<<16)...),
	}
}

func usualRequests() map[string]*http.Request {
	return map[string]*http.Request{
		"no origin":         request("GET"),
		"actual allowed":    request("GET", "Origin", app),
		"actual denied":     request("GET", "Origin", attacker),
		"preflight allowed": preflight(app, "PUT", "authorization,content-type"),
		"preflight denied":  preflight(attacker, "PUT", "authorization,content-type"),
		"method denied":     preflight(app, "PATCH"),
		"header denied":     preflight(app, "PUT", "x-other"),
	}
}

func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := build(b, usual()).Handler(next)
	run := func(name string, h http.Handler, r *http.Request) {
		b.Run(name, func(b *testing.B) {
			w := &still{make(http.Header, 8)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
	run("bare handler", next, request("GET", "Origin", app))
	for name, r := range usualRequests() {
		run(name, h, r)
	}
	for name, r := range hostile() {
		run(name, h, r)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	cfg := usual()
	enforced := cfg
	enforced.Enforce = true
	subdomains := corsx.Config{Subdomains: []string{"https://*.example.com"}}
	m := build(t, cfg)
	w := &still{make(http.Header, 8)}
	count := func(f func()) int { return int(testing.AllocsPerRun(100, f)) }
	decide := func(m *corsx.Middleware, r *http.Request) int { return count(func() { m.Decide(r) }) }
	serve := func(m *corsx.Middleware, r *http.Request) int {
		h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		return count(func() { clear(w.header); h.ServeHTTP(w, r) })
	}
	// A decision costs none, a refusal included; an answer one array, for Vary
	// alone or for all values.
	for name, r := range usualRequests() {
		if n := decide(m, r); n != 0 {
			t.Errorf("%s: Decide allocates %d times", name, n)
		}
		if n := serve(m, r); n != 1 {
			t.Errorf("%s: Handler allocates %d times", name, n)
		}
	}
	for name, r := range hostile() {
		if n := decide(m, r); n != 0 {
			t.Errorf("%s: Decide allocates %d times", name, n)
		}
		if n := serve(m, r); n != 1 {
			t.Errorf("%s: Handler allocates %d times", name, n)
		}
	}
	if n := decide(build(t, enforced), request("GET", "Origin", attacker)); n != 0 {
		t.Errorf("under Enforce Decide allocates %d times", n)
	}
	for _, o := range []string{attacker, "http://localhost:65536", "http://localhost:x", "http://localhost.example"} {
		if n := decide(build(t, corsx.Config{AllowLoopback: true, Enforce: true}), request("GET", "Origin", o)); n != 0 {
			t.Errorf("with AllowLoopback Decide allocates %d times for %s", n, o)
		}
	}
	if n := decide(build(t, subdomains), request("GET", "Origin", attacker)); n != 0 {
		t.Errorf("with Subdomains Decide allocates %d times", n)
	}
	// After the first time, when the Public Suffix List is asked.
	if n := decide(build(t, subdomains), request("GET", "Origin", "https://a.example.com")); n != 0 {
		t.Errorf("for a subdomain Decide allocates %d times", n)
	}
}
