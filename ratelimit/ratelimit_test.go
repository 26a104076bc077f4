package ratelimit_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func TestMiddlewareSuite(t *testing.T) {
	t.Run("with a permit", func(t *testing.T) { runSuite(t, false) })
	t.Run("without", func(t *testing.T) { runSuite(t, true) })
}

func runSuite(t *testing.T, noPermit bool) {
	mwtest.Run(t, mwtest.Suite{
		New: func(t testing.TB) (mwtest.Middleware, func()) {
			c := ratelimit.Config{NoPermit: noPermit, Rules: []ratelimit.Rule{
				perIP(1_000_000),
				{
					Name: "poor", Match: func(r *http.Request) bool { return r.Header.Get("X-Poor") != "" },
					Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}},
					Cost:   func(*http.Request) int64 { return 2 },
				},
				{Name: "streams", Concurrent: 1000},
			}}
			m := newLimiter(t, c)
			return m.Handler, func() {
				c.Rules[0].Limits[0].Requests = 0
				c.Rules[1].Limits[0].Requests = 1000
				c.Rules[0], c.Rules[1], c.Rules[2] = ratelimit.Rule{}, ratelimit.Rule{}, ratelimit.Rule{}
			}
		},
		Reject: func() *http.Request {
			r := from("127.0.0.1:1")
			r.Header.Set("X-Poor", "1")
			return r
		},
	})
}

func TestEveryClientHasItsBurstAndGetsTokensBackEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(3)}}).Handler(ok)
		alice := func() *http.Request { return from("192.0.2.1:1000") }
		assert.Equal(t, []int{200, 200, 200, 429, 429}, statuses(h, 5, alice))
		assert.Equal(t, 200, status(h, from("192.0.2.2:1")), "another client")
		time.Sleep(20*time.Second - time.Microsecond)
		assert.Equal(t, 429, status(h, alice()), "a microsecond early")
		time.Sleep(time.Microsecond)
		assert.Equal(t, []int{200, 429}, statuses(h, 2, alice), "one token in 20 seconds")
		time.Sleep(time.Hour)
		assert.Equal(t, []int{200, 200, 200, 429}, statuses(h, 4, alice), "never more than the burst")
	})
}

func TestInAnyWindowNoMoreThanBurstPlusRatePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{
			{Name: "r", Limits: []ratelimit.Limit{{Requests: 7, Per: 11 * time.Second, Burst: 5}}},
		}}).Handler(ok)
		var passed []time.Duration
		start := time.Now()
		for range 4000 {
			if status(h, from("192.0.2.1:1")) == 200 {
				passed = append(passed, time.Since(start))
			}
			time.Sleep(37 * time.Millisecond)
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				window := passed[j] - passed[i]
				if n, most := j-i+1, 5+int(7*window/(11*time.Second)); n > most {
					t.Fatalf("%d passed within %v, at most %d may", n, window, most)
				}
			}
		}
		assert.GreaterOrEqual(t, len(passed), 4000*37/11000*7, "and no less than the rate")
	})
}

func TestTenThousandGoroutinesGetExactlyTheBurst(t *testing.T) {
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "daily", Limits: []ratelimit.Limit{{Requests: 100, Per: 24 * time.Hour}}},
	}}).Handler(ok)
	var passed atomic.Int64
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for range 10_000 {
		wg.Go(func() {
			<-gate
			if status(h, from("192.0.2.1:1")) == 200 {
				passed.Add(1)
			}
		})
	}
	close(gate)
	wg.Wait()
	assert.EqualValues(t, 100, passed.Load())
}

func TestARefusedRequestIsChargedToNoRule(t *testing.T) {
	user := ratelimit.ByValue(func(r *http.Request) string { return r.Header.Get("X-User") })
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "ip", Limits: []ratelimit.Limit{{Requests: 10, Per: time.Hour}}},
		{Name: "user", Key: user, Limits: []ratelimit.Limit{
			{Name: "hour", Requests: 2, Per: time.Hour}, {Name: "day", Requests: 5, Per: 24 * time.Hour},
		}},
	}})
	h := m.Handler(ok)
	as := func(user string) func() *http.Request {
		return func() *http.Request {
			r := from("192.0.2.1:1")
			r.Header.Set("X-User", user)
			return r
		}
	}
	assert.Equal(t, []int{200, 200, 429, 429, 429}, statuses(h, 5, as("alice")))
	left := func(rule string, k ratelimit.Key) (out []int64) {
		states, err := m.Peek(t.Context(), rule, k)
		require.NoError(t, err)
		for _, s := range states {
			out = append(out, s.Remaining)
		}
		return out
	}
	assert.Equal(t, []int64{8}, left("ip", ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1"))))
	assert.Equal(t, []int64{0, 3}, left("user", ratelimit.KeyOf("alice")))
	assert.Equal(t, []int{200, 200, 429}, statuses(h, 3, as("bob")), "another user at the same address")
	assert.Equal(t, []int64{6}, left("ip", ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1"))))
}

func TestTheAnswersAreThoseOfTheDraft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{Name: "api", Limits: []ratelimit.Limit{
			{Name: "second", Requests: 2, Per: time.Second}, {Name: "day", Requests: 1000, Per: 24 * time.Hour},
		}}}}).Handler(ok)

		rec := serve(h, from("192.0.2.1:1"))
		assert.Equal(t, http.Header{
			"Ratelimit-Policy": {`"api-second";q=2;w=1, "api-day";q=1000;w=86400`},
			"Ratelimit":        {`"api-second";r=1;t=1, "api-day";r=999;t=87`},
		}, rec.Header(), "allowed: these and nothing more")

		serve(h, from("192.0.2.1:1"))
		rec = serve(h, from("192.0.2.1:1"))
		assert.Equal(t, 429, rec.Code)
		body := `{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",` +
			`"title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"violated-policies":["api-second"]}` + "\n"
		assert.Equal(t, body, rec.Body.String())
		assert.Equal(t, http.Header{
			"Ratelimit-Policy":       {`"api-second";q=2;w=1, "api-day";q=1000;w=86400`},
			"Ratelimit":              {`"api-second";r=0;t=1, "api-day";r=998`},
			"Retry-After":            {"1"},
			"Cache-Control":          {"no-store"},
			"Content-Type":           {"application/problem+json"},
			"Content-Length":         {strconv.Itoa(len(body))},
			"X-Content-Type-Options": {"nosniff"},
		}, rec.Header(), "refused: these and nothing more")

		head := from("192.0.2.1:1")
		head.Method = http.MethodHead
		rec = serve(h, head)
		assert.Equal(t, 429, rec.Code)
		assert.Empty(t, rec.Body.String(), "HEAD has no body")
		assert.Equal(t, strconv.Itoa(len(body)), rec.Header().Get("Content-Length"))
	})
}

func TestTheViolatedPoliciesAreNamed(t *testing.T) {
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{
		{Name: "a", Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}}},
		{Name: "b", Key: ratelimit.Global, Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}}},
		perIP(100),
	}}).Handler(ok)
	serve(h, from("192.0.2.1:1"))
	var p struct {
		Violated []string `json:"violated-policies"`
	}
	require.NoError(t, json.Unmarshal(serve(h, from("192.0.2.1:1")).Body.Bytes(), &p))
	assert.Equal(t, []string{"a", "b"}, p.Violated)
	require.NoError(t, json.Unmarshal(serve(h, from("192.0.2.2:1")).Body.Bytes(), &p))
	assert.Equal(t, []string{"b"}, p.Violated)
}

func TestWhoeverWaitsForRetryAfterPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cost := int64(1)
		h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{
			Name: "r", Limits: []ratelimit.Limit{{Requests: 3, Per: 7 * time.Second, Burst: 4}},
			Cost: func(*http.Request) int64 { return cost },
		}}}).Handler(ok)
		for i := range 300 {
			cost = int64(i%4) + 1
			rec := serve(h, from("192.0.2.1:1"))
			if rec.Code == 200 {
				continue
			}
			wait, err := strconv.Atoi(rec.Header().Get("Retry-After"))
			require.NoError(t, err)
			assert.Contains(t, rec.Header().Get("Ratelimit"), ";t="+strconv.Itoa(wait))
			time.Sleep(time.Duration(wait)*time.Second - time.Second)
			if wait > 1 {
				assert.Equal(t, 429, status(h, from("192.0.2.1:1")), "a second early")
			}
			time.Sleep(time.Second)
			assert.Equal(t, 200, status(h, from("192.0.2.1:1")))
		}
	})
}

func TestNestedLimitersAppendTheirFields(t *testing.T) {
	inner := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{Name: "inner", Key: ratelimit.Global, Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}}}}})
	outer := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(5)}})
	h := outer.Handler(inner.Handler(ok))
	rec := serve(h, from("192.0.2.1:1"))
	assert.Equal(t, []string{`"per-ip";q=5;w=60`, `"inner";q=1;w=3600`}, rec.Header()["Ratelimit-Policy"])
	assert.Equal(t, []string{`"per-ip";r=4;t=12`, `"inner";r=0;t=3600`}, rec.Header()["Ratelimit"])
	rec = serve(h, from("192.0.2.1:1"))
	assert.Equal(t, 429, rec.Code)
	assert.Len(t, rec.Header()["Ratelimit"], 2)
}

func TestLegacyHeadersTellTheTightestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, ratelimit.Config{Headers: ratelimit.HeadersLegacy, Rules: []ratelimit.Rule{{Name: "r", Limits: []ratelimit.Limit{
			{Name: "minute", Requests: 10, Per: time.Minute}, {Name: "hour", Requests: 4, Per: time.Hour},
		}}}}).Handler(ok)
		rec := serve(h, from("192.0.2.1:1"))
		reset := time.Now().Add(15 * time.Minute).Unix()
		assert.Equal(t, http.Header{
			"X-Ratelimit-Limit": {"4"}, "X-Ratelimit-Remaining": {"3"}, "X-Ratelimit-Reset": {strconv.FormatInt(reset, 10)},
		}, rec.Header())
	})
	none := newLimiter(t, ratelimit.Config{Headers: ratelimit.HeadersNone, Rules: []ratelimit.Rule{perIP(1)}}).Handler(ok)
	assert.Empty(t, serve(none, from("192.0.2.1:1")).Header())
	assert.Equal(t, "60", serve(none, from("192.0.2.1:1")).Header().Get("Retry-After"))
}

func TestACostThatNeverFitsIsRefusedWithoutRetryAfter(t *testing.T) {
	for cost, want := range map[int64]int{-1: 429, 0: 200, 3: 200, 4: 429, 1 << 62: 429, -1 << 63: 429} {
		var ev events
		m := newLimiter(t, ratelimit.Config{Observe: ev.observe, Rules: []ratelimit.Rule{
			{Name: "r", Limits: []ratelimit.Limit{{Requests: 3, Per: time.Minute}}, Cost: func(*http.Request) int64 { return cost }},
			{Name: "other", Limits: []ratelimit.Limit{{Requests: 3, Per: time.Minute}}},
		}})
		rec := serve(m.Handler(ok), from("192.0.2.1:1"))
		assert.Equal(t, want, rec.Code, "cost %d", cost)
		if want == 429 {
			assert.Empty(t, rec.Header().Get("Retry-After"))
			assert.Contains(t, rec.Body.String(), `"violated-policies":["r"]`)
			assert.Equal(t, []string{"bad-cost r"}, ev.take())
			d, p, err := m.Take(from("192.0.2.1:1"))
			require.NoError(t, err)
			assert.Nil(t, p)
			assert.Negative(t, d.RetryAfter)
			states, err := m.Peek(t.Context(), "other", ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1")))
			require.NoError(t, err)
			assert.EqualValues(t, 3, states[0].Remaining, "nothing was charged")
		}
	}
}

func TestACostOfZeroPassesADrainedBucket(t *testing.T) {
	cost := int64(3)
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{
		Name: "r", Limits: []ratelimit.Limit{{Requests: 3, Per: time.Hour}}, Cost: func(*http.Request) int64 { return cost },
	}}}).Handler(ok)
	assert.Equal(t, 200, status(h, from("192.0.2.1:1")))
	cost = 0
	assert.Equal(t, []int{200, 200}, statuses(h, 2, func() *http.Request { return from("192.0.2.1:1") }))
	cost = 1
	assert.Equal(t, 429, status(h, from("192.0.2.1:1")))
}

func TestTiersShareABucketAndCarryItsTokens(t *testing.T) {
	tier := "free"
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{
		Name: "plan", Limits: []ratelimit.Limit{{Requests: 4, Per: time.Hour}},
		Tiers: map[string][]ratelimit.Limit{
			"pro":  {{Requests: 100, Per: 24 * time.Hour, Burst: 10}},
			"mini": {{Requests: 1, Per: time.Hour}},
		},
		Tier: func(ratelimit.Subject) string { return tier },
	}}})
	h := m.Handler(ok)
	remaining := func() string { return serve(h, from("192.0.2.1:1")).Header().Get("Ratelimit") }
	assert.Contains(t, remaining(), `"plan";r=3`)
	assert.Contains(t, remaining(), `"plan";r=2`)
	tier = "pro"
	assert.Contains(t, remaining(), `"plan";r=1`, "two tokens are carried over, one is taken")
	tier = "mini"
	assert.Contains(t, remaining(), `"plan";r=0`)
	assert.Equal(t, 429, status(h, from("192.0.2.1:1")))
	require.NoError(t, m.Reset(t.Context(), "plan", ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1"))))
	tier = "pro"
	assert.Contains(t, remaining(), `"plan";r=9`, "a reset is one for all tiers")
}

func TestALimitChangedAtRunTimeCarriesTheTokens(t *testing.T) {
	for name, store := range map[string]ratelimit.Store{"Memory": newMemory(t, ratelimit.MemoryConfig{}), "another": newFlaky(t)} {
		t.Run(name, func(t *testing.T) {
			with := func(n int64) http.Handler {
				return newLimiter(t, ratelimit.Config{Store: store, Rules: []ratelimit.Rule{
					{Name: "r", Limits: []ratelimit.Limit{{Requests: n, Per: 24 * time.Hour}}},
				}}).Handler(ok)
			}
			left := func(h http.Handler) string { return serve(h, byAlice()).Header().Get("RateLimit") }
			old := with(10)
			assert.Contains(t, left(old), `"r";r=9`)
			assert.Contains(t, left(with(100)), `"r";r=8`, "raised")
			assert.Contains(t, left(with(5)), `"r";r=4`, "lowered, and clamped")
			assert.Contains(t, left(old), `"r";r=3`, "an old replica goes on")
		})
	}
}

func TestADryRunRefusesNobodyAndTellsWhatItWould(t *testing.T) {
	var ev events
	strict := perIP(1)
	strict.Name, strict.DryRun = "strict", true
	h := newLimiter(t, ratelimit.Config{Observe: ev.observe, Rules: []ratelimit.Rule{strict, perIP(3)}}).Handler(ok)
	rec := serve(h, from("192.0.2.1:1"))
	assert.Equal(t, []string{`"per-ip";q=3;w=60`}, rec.Header()["Ratelimit-Policy"], "no headers of the rule")
	assert.Equal(t, []string{"allow per-ip"}, ev.take())
	assert.Equal(t, []int{200, 200, 429}, statuses(h, 3, func() *http.Request { return from("192.0.2.1:1") }))
	assert.Equal(t, []string{
		"allow per-ip", "would-deny strict/strict", "allow per-ip", "would-deny strict/strict", "deny per-ip/per-ip",
	}, ev.take())
}

func TestExemptAndUnmatchedRequestsTakeNothing(t *testing.T) {
	rule := perIP(1)
	rule.Match = func(r *http.Request) bool { return r.Method == http.MethodPost }
	h := newLimiter(t, ratelimit.Config{
		Exempt: func(r *http.Request) bool { return r.URL.Path == "/health" },
		Rules:  []ratelimit.Rule{rule},
	}).Handler(ok)
	at := func(method, path string) int {
		r := httptest.NewRequest(method, path, nil)
		return status(h, r)
	}
	for range 3 {
		assert.Equal(t, 200, at("GET", "/"))
		assert.Equal(t, 200, at("POST", "/health"))
	}
	assert.Equal(t, 200, at("POST", "/"))
	assert.Equal(t, 429, at("POST", "/"))
}

func TestDenyAnswersInsteadOfUs(t *testing.T) {
	var got ratelimit.Decision
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(1)}, Deny: func(w http.ResponseWriter, _ *http.Request, d ratelimit.Decision) {
		got = d
		w.WriteHeader(http.StatusTeapot)
	}}).Handler(ok)
	serve(h, from("192.0.2.1:1"))
	rec := serve(h, from("192.0.2.1:1"))
	assert.Equal(t, http.StatusTeapot, rec.Code)
	assert.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	assert.Equal(t, "60", rec.Header().Get("Retry-After"))
	assert.False(t, got.Allowed)
	assert.Equal(t, []string{"per-ip"}, got.Violated)
	require.Len(t, got.States, 1)
	assert.InDelta(t, 60, got.RetryAfter.Seconds(), 1)
	assert.InDelta(t, 60, got.States[0].ResetAfter.Seconds(), 1)
	assert.EqualValues(t, 1, got.States[0].Limit)
}

func TestTakeDecidesWithoutAnAnswer(t *testing.T) {
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(2)}})
	for _, want := range []bool{true, true, false} {
		d, p, err := m.Take(from("192.0.2.1:1"))
		require.NoError(t, err)
		assert.Equal(t, want, d.Allowed)
		assert.Equal(t, want, p != nil)
		p.Release() // nil-safe
	}
}

func TestTheHandlersRouteAndFormReachTheOuterRequest(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /items/{id}", func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseMultipartForm(1 << 20) })
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(10)}}).Handler(mux)
	r := httptest.NewRequest(http.MethodPost, "/items/7", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	serve(h, r)
	assert.Equal(t, "POST /items/{id}", r.Pattern)
	require.NotNil(t, r.MultipartForm, "the server removes its files")
	assert.Equal(t, []string{"b"}, r.MultipartForm.Value["a"])
}

func TestAContextBehindTheLimiterEndsWithTheRequest(t *testing.T) {
	h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(10)}}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		child, stop := context.WithTimeout(r.Context(), time.Hour)
		defer stop()
		assert.ErrorIs(t, child.Err(), context.Canceled)
		assert.Equal(t, "v", r.Context().Value(ctxKey{}))
	}))
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "v"))
	r := from("192.0.2.1:1").WithContext(ctx)
	cancel()
	serve(h, r)
}

type ctxKey struct{}

func TestExposedHeadersIsFresh(t *testing.T) {
	ratelimit.ExposedHeaders()[0] = "changed"
	assert.Contains(t, ratelimit.ExposedHeaders(), "RateLimit")
	assert.Contains(t, ratelimit.ExposedHeaders(), "Retry-After")
}
