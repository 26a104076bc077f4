package ratelimit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

var alice = ratelimit.KeyOfAddr(netip.MustParseAddr("192.0.2.1"))

func remaining(t *testing.T, m *ratelimit.Middleware, rule string) (out []int64) {
	t.Helper()
	states, err := m.Peek(t.Context(), rule, alice)
	require.NoError(t, err)
	for _, s := range states {
		out = append(out, s.Remaining)
	}
	return out
}

// calling is a handler that calls f with the request's Permit.
func calling(t *testing.T, f func(context.Context, *ratelimit.Permit)) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := ratelimit.PermitFrom(r.Context())
		assert.NotNil(t, p)
		f(r.Context(), p)
	})
}

func TestACostKnownLaterIsChargedIntoADebtOfOneBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(10)}})
		n := int64(5)
		h := m.Handler(calling(t, func(ctx context.Context, p *ratelimit.Permit) {
			assert.NoError(t, p.Charge(ctx, "per-ip", n))
		}))
		assert.Equal(t, 200, status(h, from("192.0.2.1:1"))) // 10 - 1 - 5
		assert.Equal(t, []int64{4}, remaining(t, m, "per-ip"))
		n = 1 << 62
		assert.Equal(t, 200, status(h, from("192.0.2.1:1")))
		assert.Equal(t, []int64{0}, remaining(t, m, "per-ip"))
		time.Sleep(66*time.Second - time.Microsecond) // ten tokens of debt and one
		assert.Equal(t, 429, status(h, from("192.0.2.1:1")))
		time.Sleep(time.Microsecond)
		assert.Equal(t, 200, status(h, from("192.0.2.1:1")))
	})
}

func TestARefundFillsUpToTheBurst(t *testing.T) {
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(10)}})
	h := m.Handler(calling(t, func(ctx context.Context, p *ratelimit.Permit) {
		assert.NoError(t, p.Charge(ctx, "per-ip", 3))
		assert.NoError(t, p.Refund(ctx, "per-ip", 2))
		assert.Equal(t, []int64{8}, remaining(t, m, "per-ip"))
		assert.NoError(t, p.Refund(ctx, "per-ip", 1<<62))
		assert.NoError(t, p.Charge(ctx, "per-ip", 0))
		assert.Error(t, p.Charge(ctx, "per-ip", -1))
		assert.Error(t, p.Refund(ctx, "per-ip", -1))
	}))
	serve(h, from("192.0.2.1:1"))
	assert.Equal(t, []int64{10}, remaining(t, m, "per-ip"))
}

func TestAPermitFindsItsRuleThroughNestedLimiters(t *testing.T) {
	day := ratelimit.Rule{Name: "day", Limits: []ratelimit.Limit{{Requests: 100, Per: 24 * time.Hour}}}
	unmatched := day
	unmatched.Name, unmatched.Match = "unmatched", func(*http.Request) bool { return false }
	outer := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{day, unmatched}})
	exempt := newLimiter(t, ratelimit.Config{
		Exempt: func(*http.Request) bool { return true },
		Rules:  []ratelimit.Rule{{Name: "exempt", Limits: day.Limits}},
	})
	inner := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{perIP(10)}})
	h := outer.Handler(exempt.Handler(inner.Handler(calling(t, func(ctx context.Context, p *ratelimit.Permit) {
		assert.NoError(t, p.Charge(ctx, "day", 9))
		assert.NoError(t, p.Charge(ctx, "unmatched", 9), "it exists, but was not asked")
		assert.NoError(t, p.Charge(ctx, "exempt", 9))
		assert.ErrorIs(t, p.Charge(ctx, "dya", 9), ratelimit.ErrUnknownRule)
	}))))
	serve(h, from("192.0.2.1:1"))
	assert.Equal(t, []int64{90}, remaining(t, outer, "day"))
	assert.Equal(t, []int64{9}, remaining(t, inner, "per-ip"))
	assert.Equal(t, []int64{100}, remaining(t, exempt, "exempt"))
	_, err := outer.Peek(t.Context(), "per-ip", alice)
	assert.ErrorIs(t, err, ratelimit.ErrUnknownRule)
	assert.ErrorIs(t, outer.Reset(t.Context(), "per-ip", alice), ratelimit.ErrUnknownRule)
}

func TestANilPermitIsSafe(t *testing.T) {
	p := ratelimit.PermitFrom(context.Background())
	assert.Nil(t, p)
	p.Release()
	assert.ErrorIs(t, p.Charge(t.Context(), "r", 1), ratelimit.ErrUnknownRule)
	assert.ErrorIs(t, p.Refund(t.Context(), "r", 1), ratelimit.ErrUnknownRule)
}

func streams(n int) *ratelimit.Rule { return &ratelimit.Rule{Name: "streams", Concurrent: n} }

func TestConcurrentBoundsRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{*streams(2)}})
		leave := make(chan struct{})
		h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-leave }))
		for range 2 {
			go serve(h, from("192.0.2.1:1"))
		}
		synctest.Wait()
		rec := serve(h, from("192.0.2.1:1"))
		assert.Equal(t, 429, rec.Code)
		assert.Equal(t, "1", rec.Header().Get("Retry-After"))
		assert.Equal(t, `"streams";q=2;qu="concurrent-requests"`, rec.Header().Get("RateLimit-Policy"))
		assert.Equal(t, `"streams";r=0`, rec.Header().Get("RateLimit"))
		time.Sleep(6 * time.Hour)
		assert.Equal(t, 429, status(h, from("192.0.2.1:1")), "their leases are renewed for as long as they last")
		leave <- struct{}{}
		synctest.Wait()
		go serve(h, from("192.0.2.1:1"))
		synctest.Wait()
		assert.Equal(t, 429, status(h, from("192.0.2.1:1")), "one has left, one has come")
		close(leave)
		synctest.Wait()
		assert.Equal(t, []int64{2}, remaining(t, m, "streams"))
	})
}

func TestAPlaceIsFreeAfterAPanicADisconnectAndARefusal(t *testing.T) {
	rule := perIP(3)
	rule.Concurrent = 1
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{rule}})
	free := func() int64 { return remaining(t, m, "per-ip")[1] }

	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		assert.EqualValues(t, 0, free())
		panic(http.ErrAbortHandler)
	}))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { serve(h, from("192.0.2.1:1")) })
	assert.EqualValues(t, 1, free(), "after a panic")

	entered := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "192.0.2.1:1"
		m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})).ServeHTTP(w, r)
	}))
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	go func() { <-entered; hangUp() }()
	_, err = srv.Client().Do(req)
	require.Error(t, err)
	srv.Close() // waits for the handler
	assert.EqualValues(t, 1, free(), "after a disconnect")

	serve(m.Handler(ok), from("192.0.2.1:1"))
	assert.Equal(t, 429, status(m.Handler(ok), from("192.0.2.1:1")), "no tokens left")
	assert.EqualValues(t, 1, free(), "a refusal for another reason takes no place")
}

func TestAPlaceFromTakeIsHeldUntilRelease(t *testing.T) {
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{*streams(1)}})
	d, p, err := m.Take(from("192.0.2.1:1"))
	require.NoError(t, err)
	require.True(t, d.Allowed)
	d, _, err = m.Take(from("192.0.2.1:1"))
	require.NoError(t, err)
	assert.False(t, d.Allowed)
	assert.Equal(t, []string{"streams"}, d.Violated)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(p.Release)
	}
	wg.Wait()
	d, _, err = m.Take(from("192.0.2.1:1"))
	require.NoError(t, err)
	assert.True(t, d.Allowed)
}

func TestResetFreesABlockedClient(t *testing.T) {
	rule := perIP(1)
	rule.Concurrent = 5
	m := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{rule}})
	h := m.Handler(ok)
	assert.Equal(t, []int{200, 429}, statuses(h, 2, func() *http.Request { return from("192.0.2.1:1") }))
	require.NoError(t, m.Reset(t.Context(), "per-ip", alice))
	assert.Equal(t, []int{200, 429}, statuses(h, 2, func() *http.Request { return from("192.0.2.1:1") }))
}

func TestADryRunOfAConcurrencyBoundCountsRequestsInFlight(t *testing.T) {
	var ev events
	dry := *streams(1)
	dry.DryRun = true
	m := newLimiter(t, ratelimit.Config{Observe: ev.observe, Rules: []ratelimit.Rule{dry}})
	h := m.Handler(ok)
	assert.Equal(t, []int{200, 200}, statuses(h, 2, byAlice))
	assert.Empty(t, ev.take(), "one after the other")
	_, p, err := m.Take(byAlice())
	require.NoError(t, err)
	assert.Equal(t, 200, status(h, byAlice()))
	assert.Equal(t, []string{"would-deny streams/streams"}, ev.take())
	p.Release()
	assert.Equal(t, 200, status(h, byAlice()))
	assert.Empty(t, ev.take())
}

func TestWithoutAPermitTheRequestStaysWhatItIsAndChargingIsAnError(t *testing.T) {
	m := newLimiter(t, ratelimit.Config{NoPermit: true, Rules: []ratelimit.Rule{perIP(2), *streams(1)}})
	var outside *http.Request
	entered, release := make(chan struct{}, 1), make(chan struct{})
	h := m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Same(t, outside, r)
		assert.ErrorIs(t, ratelimit.PermitFrom(r.Context()).Charge(r.Context(), "per-ip", 1), ratelimit.ErrUnknownRule)
		entered <- struct{}{}
		<-release
		panic(http.ErrAbortHandler)
	}))
	outside = from("192.0.2.1:1")
	var wg sync.WaitGroup
	wg.Go(func() { assert.PanicsWithValue(t, http.ErrAbortHandler, func() { serve(h, outside) }) })
	<-entered
	assert.Equal(t, 429, status(h, from("192.0.2.1:1")), "one at once")
	close(release)
	wg.Wait()
	outside = from("192.0.2.1:1")
	assert.Panics(t, func() { serve(h, outside) }, "the place is free again")
	<-entered
	assert.Equal(t, 429, status(h, from("192.0.2.1:1")), "two a minute")
}

func TestAPermitRemembersAnyNumberOfRules(t *testing.T) {
	rules := generous("a", "b", "c", "d")
	for i := range rules {
		rules[i].Limits[0].Requests = 100 // a token in fourteen minutes
	}
	rules[3].DryRun = true
	m := newLimiter(t, ratelimit.Config{Rules: rules})
	h := m.Handler(calling(t, func(ctx context.Context, p *ratelimit.Permit) {
		for i, r := range rules {
			assert.NoError(t, p.Charge(ctx, r.Name, int64(10*i)))
		}
	}))
	serve(h, from("192.0.2.1:1"))
	for i, r := range rules {
		assert.Equal(t, []int64{99 - int64(10*i)}, remaining(t, m, r.Name), r.Name)
	}
}
