package ratelimit_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func Example() {
	limits, err := ratelimit.Parse("2/second; 1000/day")
	if err != nil {
		panic(err)
	}
	limiter, err := ratelimit.New(ratelimit.Config{
		Rules: []ratelimit.Rule{{Name: "per-ip", Limits: limits}},
	})
	if err != nil {
		panic(err)
	}
	handler := limiter.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "hello")
	}))

	for range 3 {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		fmt.Println(rec.Code, rec.Header().Get("RateLimit"))
	}
	// Output:
	// 200 "per-ip-second";r=1;t=1, "per-ip-day";r=999;t=87
	// 200 "per-ip-second";r=0;t=1, "per-ip-day";r=998;t=87
	// 429 "per-ip-second";r=0;t=1, "per-ip-day";r=998
}

// try sends n requests from an address and prints their statuses.
func try(h http.Handler, n int, edit func(*http.Request)) {
	var codes []int
	for range n {
		r := httptest.NewRequest("GET", "/", nil)
		if edit != nil {
			edit(r)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		codes = append(codes, rec.Code)
	}
	fmt.Println(codes)
}

var hello = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func mustNew(c ratelimit.Config) *ratelimit.Middleware {
	m, err := ratelimit.New(c)
	if err != nil {
		panic(err)
	}
	return m
}

// A header that the client writes is no key: who sends a new value each time has a
// new, full bucket each time.
func ExampleByValue_incorrect() {
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{{
		Name:   "per-key",
		Key:    ratelimit.ByValue(func(r *http.Request) string { return r.Header.Get("X-API-Key") }), // WRONG: unchecked
		Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}},
	}}})
	n := 0
	try(limiter.Handler(hello), 5, func(r *http.Request) {
		n++
		r.Header.Set("X-API-Key", fmt.Sprint("attacker-", n))
	})
	// Output: [200 200 200 200 200]
}

// A key of what authentication has put into the context, and a limit for each
// address beside it.
func ExampleByValue() {
	type userKey struct{}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, _, _ := r.BasicAuth() // and its password, checked
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, name)))
		})
	}
	user := func(r *http.Request) string {
		name, _ := r.Context().Value(userKey{}).(string)
		return name
	}
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "per-user", Key: ratelimit.ByValue(user), Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}}},
		{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: 4, Per: time.Hour}}},
	}})
	as := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, "secret") }
	}
	handler := authenticate(limiter.Handler(hello))
	try(handler, 3, as("alice"))
	try(handler, 3, as("bob"))
	try(handler, 1, as("carol")) // the address has used its four
	// Output:
	// [200 200 429]
	// [200 200 429]
	// [429]
}

// A failed login costs five more tokens: ten attempts an hour for those who know
// their password, two for those who guess.
func ExamplePermit_Charge_penalty() {
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "login", Limits: []ratelimit.Limit{{Requests: 10, Per: time.Hour}}, OnStoreError: ratelimit.FailClosed},
	}})
	login := limiter.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") != "right" {
			if err := ratelimit.PermitFrom(r.Context()).Charge(r.Context(), "login", 5); err != nil {
				slog.ErrorContext(r.Context(), "no penalty", "err", err)
			}
			http.Error(w, "wrong password", http.StatusUnauthorized)
		}
	}))
	try(login, 3, nil)
	// Output: [401 401 429]
}

// What an AI model's answer costs is known when it ends. The request itself takes
// one token; the rest is charged, into debt if need be, and the client's next
// request waits until it is paid.
func ExamplePermit_Charge() {
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "tokens", Limits: []ratelimit.Limit{{Requests: 1000, Per: time.Hour}}},
	}})
	ask := limiter.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		used := int64(800) // the model's own count
		if err := ratelimit.PermitFrom(r.Context()).Charge(r.Context(), "tokens", used-1); err != nil {
			slog.ErrorContext(r.Context(), "not charged", "err", err)
		}
	}))
	try(ask, 3, nil)
	// Output: [200 200 429]
}

// A stream is one request however long it lasts: bound how many a client has open.
func ExampleRule_concurrent() {
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "streams", Concurrent: 2},
	}})
	var inner http.Handler
	depth := 0
	inner = limiter.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if depth++; depth < 3 { // while this one is open, the same client opens another
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			fmt.Println(rec.Code, rec.Header().Get("RateLimit"))
		}
	}))
	try(inner, 1, nil)
	// Output:
	// 429 "streams";r=0
	// 200 "streams";r=0
	// [200]
}

// Customers on a plan have more, and keep what they have used when they change it.
func ExampleRule_tiers() {
	plan := "free"
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{{
		Name:   "plan",
		Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}},
		Tiers:  map[string][]ratelimit.Limit{"pro": {{Requests: 5, Per: time.Hour}}},
		Tier:   func(ratelimit.Subject) string { return plan }, // from the database, not from the request
	}}})
	handler := limiter.Handler(hello)
	try(handler, 2, nil)
	plan = "pro"
	if err := limiter.Reset(context.Background(), "plan", ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1"))); err != nil {
		panic(err)
	}
	try(handler, 6, nil)
	// Output:
	// [200 200]
	// [200 200 200 200 200 429]
}

// Outside the mux the limiter asks it for the route, so that /items/1 and /items/2
// draw from one bucket.
func ExampleByRoute() {
	mux := http.NewServeMux()
	mux.Handle("GET /items/{id}", hello)
	limiter := mustNew(ratelimit.Config{
		Route: func(r *http.Request) string { _, pattern := mux.Handler(r); return pattern },
		Rules: []ratelimit.Rule{{
			Name: "per-route", Key: ratelimit.Join(ratelimit.ByIP, ratelimit.ByRoute),
			Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}},
		}},
	})
	n := 0
	try(limiter.Handler(mux), 3, func(r *http.Request) {
		n++
		r.URL.Path = fmt.Sprint("/items/", n)
	})
	// Output: [200 200 429]
}

// Observe feeds logs and metrics. A new limit is first tried out with DryRun: it
// refuses nobody, and tells whom it would have refused.
func ExampleConfig_observe() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	limiter := mustNew(ratelimit.Config{
		Rules: []ratelimit.Rule{
			{Name: "new", DryRun: true, Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}}},
			{Name: "per-ip", Limits: []ratelimit.Limit{{Requests: 100, Per: time.Hour}}},
		},
		Observe: func(e ratelimit.Event) {
			if e.Kind == ratelimit.EventAllow {
				return // count it; a log line each is too many
			}
			logger.Warn("ratelimit", "kind", e.Kind, "policy", e.Policy, "key", e.Key, "err", e.Err)
		},
	})
	try(limiter.Handler(hello), 2, nil)
	// Output:
	// level=WARN msg=ratelimit kind=would-deny policy=new key=192.0.2.1/32 err=<nil>
	// [200 200]
}

// Take decides where there is no answer to write: for each message of a WebSocket.
func ExampleMiddleware_Take() {
	limiter := mustNew(ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "messages", Limits: []ratelimit.Limit{{Requests: 2, Per: time.Minute}}},
	}})
	r := httptest.NewRequest("GET", "/socket", nil)
	for range 3 {
		d, permit, err := limiter.Take(r)
		if err != nil {
			panic(err) // a FailClosed rule, and the store is away
		}
		fmt.Println(d.Allowed, d.States[0].Remaining, d.Violated)
		permit.Release()
	}
	// Output:
	// true 1 []
	// true 0 []
	// false 0 [messages]
}

func ExampleParse() {
	limits, err := ratelimit.Parse("10 per second; 1000/day")
	fmt.Println(limits, err)
	_, err = ratelimit.Parse("10 per fortnight")
	fmt.Println(err)
	// Output:
	// [{second 10 1s 0} {day 1000 24h0m0s 0}] <nil>
	// ratelimit: "10 per fortnight": has no unit second, minute, hour, day, month or year at its end; write a limit like "100/minute" or "10 per 2 hours"
}
