// Package secheadersbench measures secheaders beside a bare handler, beside the
// least that sets the same headers, and beside a peer.
//
//	go test -bench . -benchtime 200ms -count 5 ./secheaders
//	go test -bench /ratio -benchtime 2s -count 3 ./secheaders
//
// The ratios within one run and the allocations mean something; absolute times
// are the machine's.
package secheadersbench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/unrolled/secure"
)

// sink costs nothing itself: its map is emptied between requests.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

var nothing = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func measure(b *testing.B, h http.Handler) {
	b.Helper()
	w, r := &sink{h: http.Header{}}, httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

// names are the default set's, as constants would be.
var names = []string{
	"Strict-Transport-Security", "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options",
	"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy",
	"Origin-Agent-Cluster", "X-Permitted-Cross-Domain-Policies", "X-Xss-Protection",
}

func defaults(b *testing.B) (m *secheaders.Middleware, values []string) {
	b.Helper()
	m, err := secheaders.New(secheaders.Config{})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		values = append(values, m.Describe().Get(name))
	}
	return m, values
}

// fresh assigns the values from one new backing array per request.
func fresh(values []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		v := make([]string, len(values))
		copy(v, values)
		h["Strict-Transport-Security"] = v[0:1:1]
		h["Content-Security-Policy"] = v[1:2:2]
		h["X-Frame-Options"] = v[2:3:3]
		h["X-Content-Type-Options"] = v[3:4:4]
		h["Referrer-Policy"] = v[4:5:5]
		h["Permissions-Policy"] = v[5:6:6]
		h["Cross-Origin-Opener-Policy"] = v[6:7:7]
		h["Cross-Origin-Resource-Policy"] = v[7:8:8]
		h["Origin-Agent-Cluster"] = v[8:9:9]
		h["X-Permitted-Cross-Domain-Policies"] = v[9:10:10]
		h["X-Xss-Protection"] = v[10:11:11]
		next.ServeHTTP(w, r)
	})
}

func BenchmarkStatic(b *testing.B) {
	m, values := defaults(b)
	b.Run("bare", func(b *testing.B) { measure(b, nothing) })
	b.Run("floor, shared slices", func(b *testing.B) { // what must not be done: a handler may write into them
		shared := make([][]string, len(values))
		for i, v := range values {
			shared[i] = []string{v}
		}
		measure(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			for i, name := range names {
				h[name] = shared[i]
			}
			nothing.ServeHTTP(w, r)
		}))
	})
	b.Run("floor, fresh array", func(b *testing.B) { measure(b, fresh(values, nothing)) })
	b.Run("secheaders", func(b *testing.B) { measure(b, m.Handler(nothing)) })
	b.Run("ratio", func(b *testing.B) { compare(b, fresh(values, nothing), m.Handler(nothing)) })
	b.Run("unrolled-secure", func(b *testing.B) { measure(b, secure.New(peer(values[1])).Handler(nothing)) })
}

// peer has the default set as far as unrolled/secure can send it.
func peer(policy string) secure.Options {
	return secure.Options{
		STSSeconds: 63072000, STSIncludeSubdomains: true, ForceSTSHeader: true,
		FrameDeny: true, ContentTypeNosniff: true, ContentSecurityPolicy: policy,
		ReferrerPolicy: "strict-origin-when-cross-origin", PermissionsPolicy: "camera=(), geolocation=(), microphone=()",
		CrossOriginOpenerPolicy: "same-origin", CrossOriginResourcePolicy: "same-origin",
		XPermittedCrossDomainPolicies: "none", CustomBrowserXssValue: "0",
	}
}

// noncePolicy is the policy of the nonce benchmarks, in secheaders' words and in
// the peer's.
const noncePolicy = "default-src 'self'; script-src 'nonce-$NONCE' 'strict-dynamic'"

type key struct{}

// These are variables, so that the compiler cannot look into what a middleware
// calls and leave the copy of the request on the stack.
var (
	askFloor http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = r.Context().Value(key{}).(string) })
	askOurs  http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = secheaders.Nonce(r.Context()) })
	askPeer  http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _ = secure.CSPNonce(r.Context()) })
)

// compare measures ours and the floor in turns of some hundred requests and
// reports the ratio of the best turns, which a busy machine hardly changes.
func compare(b *testing.B, floor, ours http.Handler) {
	b.Helper()
	w, r := &sink{h: http.Header{}}, httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	turn := func(h http.Handler) time.Duration {
		begin := time.Now()
		for range 300 {
			clear(w.h)
			h.ServeHTTP(w, r)
		}
		return time.Since(begin)
	}
	best := [2]time.Duration{math.MaxInt64, math.MaxInt64}
	for b.Loop() {
		best[0], best[1] = min(best[0], turn(floor)), min(best[1], turn(ours))
	}
	b.ReportMetric(float64(best[0].Nanoseconds())/300, "floor-ns")
	b.ReportMetric(float64(best[1].Nanoseconds())/300, "ours-ns")
	b.ReportMetric(float64(best[1])/float64(best[0]), "x-floor")
}

func BenchmarkNonce(b *testing.B) {
	_, values := defaults(b)
	c := secheaders.Default()
	c.CSP = &secheaders.Policy{
		Default: []secheaders.Source{secheaders.Self},
		Script:  []secheaders.Source{secheaders.NonceSource, secheaders.StrictDynamic},
	}
	m, err := secheaders.New(c)
	if err != nil {
		b.Fatal(err)
	}
	// 16 random bytes, the headers, a context value.
	floor := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw [16]byte
		_, _ = rand.Read(raw[:])
		nonce := base64.RawURLEncoding.EncodeToString(raw[:])
		fresh(values, nothing).ServeHTTP(w, r)
		h := w.Header()
		h["Content-Security-Policy"] = []string{"default-src 'self'; script-src 'nonce-" + nonce + "' 'strict-dynamic'"}
		h["Cache-Control"] = []string{"no-store"}
		askFloor.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, nonce)))
	})
	b.Run("floor", func(b *testing.B) { measure(b, floor) })
	b.Run("secheaders", func(b *testing.B) { measure(b, m.Handler(askOurs)) })
	b.Run("ratio", func(b *testing.B) { compare(b, floor, m.Handler(askOurs)) })
	b.Run("unrolled-secure", func(b *testing.B) { measure(b, secure.New(peer(noncePolicy)).Handler(askPeer)) })
}
