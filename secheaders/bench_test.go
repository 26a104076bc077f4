package secheaders_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

// sink is a ResponseWriter that costs nothing itself; its map is emptied between
// requests, not made anew.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

func nonceConfig() secheaders.Config {
	c := secheaders.Default()
	c.CSP.Script = []secheaders.Source{secheaders.NonceSource, secheaders.StrictDynamic}
	return c
}

// floor assigns the values of the default set from one fresh backing array, by
// names the compiler knows: the least that can be done without sharing slices.
func floor(values []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
	})
}

// nonceFloor draws 16 random bytes, sets the map and a context value.
func nonceFloor(values []string, next http.Handler) http.Handler {
	type key struct{}
	set := floor(values)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var raw [16]byte
		_, _ = rand.Read(raw[:])
		nonce := base64.RawURLEncoding.EncodeToString(raw[:])
		set.ServeHTTP(w, r)
		w.Header()["Content-Security-Policy"] = []string{"default-src 'self'; script-src 'nonce-" + nonce + "' 'strict-dynamic'"}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, nonce)))
	})
}

func defaultValues(b testing.TB) []string {
	h := build(b, secheaders.Config{}).Describe()
	var v []string
	for _, name := range []string{
		"Strict-Transport-Security", "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options",
		"Referrer-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy",
		"Origin-Agent-Cluster", "X-Permitted-Cross-Domain-Policies", "X-Xss-Protection",
	} {
		v = append(v, h.Get(name))
	}
	return v
}

func serve(b *testing.B, h http.Handler) {
	b.Helper()
	w, r := &sink{h: http.Header{}}, httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}

func BenchmarkBare(b *testing.B)  { serve(b, nothing) }
func BenchmarkFloor(b *testing.B) { serve(b, floor(defaultValues(b))) }

func BenchmarkStatic(b *testing.B) { serve(b, build(b, secheaders.Config{}).Handler(nothing)) }

func BenchmarkNonceFloor(b *testing.B) { serve(b, nonceFloor(defaultValues(b), nothing)) }
func BenchmarkNonce(b *testing.B)      { serve(b, build(b, nonceConfig()).Handler(nothing)) }

func BenchmarkVariantInsideTheOriginal(b *testing.B) {
	m := build(b, secheaders.Config{})
	v := with(b, m, func(c *secheaders.Config) { c.COOP = secheaders.COOPSameOriginAllowPopups })
	serve(b, m.Handler(v.Handler(nothing)))
}

func allocs(h http.Handler) float64 {
	w, r := &sink{h: http.Header{}}, httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	return testing.AllocsPerRun(100, func() {
		clear(w.h)
		h.ServeHTTP(w, r)
	})
}

func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	assert.EqualValues(t, 1, allocs(build(t, secheaders.Config{}).Handler(nothing)), "static: the backing array")
	assert.EqualValues(t, 1, allocs(build(t, full()).Handler(nothing)), "static, every field set")
	nonce := allocs(build(t, nonceConfig()).Handler(nothing))
	assert.EqualValues(t, 4, nonce, "nonce: the state, the request, the values, the string with the policy")
	assert.Less(t, nonce, allocs(nonceFloor(defaultValues(t), nothing)), "fewer than the floor")
}

func BenchmarkCollector(b *testing.B) {
	h, err := secheaders.NewCollector(secheaders.CollectorConfig{OnReport: func(*http.Request, secheaders.Report) {}})
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string]string{
		"one report": modern,
		"too large":  strings.Repeat(" ", 1<<20),
		"deep":       strings.Repeat("[", 60000),
		"many":       "[" + strings.Repeat(`{"type":"x"},`, 4000) + `{"type":"x"}]`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/reports", strings.NewReader(body))
				r.ContentLength = -1
				r.Header.Set("Content-Type", "application/reports+json")
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
