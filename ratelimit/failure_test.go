package ratelimit_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func withMode(r ratelimit.Rule, mode ratelimit.FailMode) ratelimit.Rule {
	r.OnStoreError = mode
	return r
}

func byAlice() *http.Request { return from("192.0.2.1:1") }

func TestFailLocalGrantsAPartOfTheLimitDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(t)
		var ev events
		h := newLimiter(t, ratelimit.Config{
			Store: store, Replicas: 4, Observe: ev.observe,
			Rules: []ratelimit.Rule{perIP(10)},
		}).Handler(ok)
		assert.Equal(t, []int{200, 200}, statuses(h, 2, byAlice))
		assert.Equal(t, []string{"allow per-ip", "allow per-ip"}, ev.take())

		store.down.Store(true)
		assert.Equal(t, []int{200, 200, 200, 429}, statuses(h, 4, byAlice), "ceil(10/4)")
		assert.Equal(t, []string{
			"store-error per-ip", "allow per-ip", "store-error per-ip", "allow per-ip", "store-error per-ip", "allow per-ip",
			"store-error per-ip", "local-deny per-ip/per-ip",
		}, ev.take())

		// An outage that comes and goes adds one local burst, not one each time.
		for range 5 {
			store.down.Store(false)
			status(h, from("192.0.2.9:1"))
			store.down.Store(true)
			assert.Equal(t, 429, status(h, byAlice()))
		}
		time.Sleep(24 * time.Second)
		assert.Equal(t, []int{200, 429}, statuses(h, 2, byAlice), "a token in 24 seconds: a quarter of 10 a minute")

		store.down.Store(false)
		ev.take()
		assert.Equal(t, 200, status(h, byAlice()))
		assert.Equal(t, []string{"recovered ", "allow per-ip"}, ev.take())
	})
}

func TestFailOpenAdmitsAndFailClosedAnswers503(t *testing.T) {
	store := newFlaky(t)
	store.down.Store(true)
	open := newLimiter(t, ratelimit.Config{Store: store, Rules: []ratelimit.Rule{withMode(perIP(1), ratelimit.FailOpen)}}).Handler(ok)
	assert.Equal(t, []int{200, 200, 200}, statuses(open, 3, byAlice))

	m := newLimiter(t, ratelimit.Config{Store: store, Rules: []ratelimit.Rule{
		{Name: "easy", OnStoreError: ratelimit.FailOpen, Limits: []ratelimit.Limit{{Requests: 1, Per: time.Hour}}},
		withMode(perIP(1), ratelimit.FailClosed),
	}})
	rec := serve(m.Handler(ok), byAlice())
	assert.Equal(t, 503, rec.Code)
	assert.Equal(t, `{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",`+
		`"title":"Request cannot be satisfied due to temporary server capacity constraints","status":503}`+"\n", rec.Body.String())
	assert.Equal(t, http.Header{
		"Retry-After": {"5"}, "Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"},
		"Content-Length": rec.Header()["Content-Length"], "X-Content-Type-Options": {"nosniff"},
	}, rec.Header())

	d, p, err := m.Take(byAlice())
	assert.ErrorIs(t, err, errDown)
	assert.ErrorIs(t, d.Err, errDown)
	assert.False(t, d.Allowed)
	assert.Nil(t, p)
	store.down.Store(false)
	assert.Equal(t, []int{200, 429}, statuses(m.Handler(ok), 2, byAlice), "the outage has charged nothing")
}

func TestACancelledRequestIsNoOutage(t *testing.T) {
	store := newFlaky(t)
	var ev events
	called := false
	h := newLimiter(t, ratelimit.Config{Store: store, Observe: ev.observe, Rules: []ratelimit.Rule{withMode(perIP(1), ratelimit.FailOpen)}}).
		Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, 503, status(h, byAlice().WithContext(ctx)))
	assert.False(t, called, "a client that hangs up gets nothing for free")
	assert.Empty(t, ev.take())
}

func TestChargesAndPlacesSurviveAnOutage(t *testing.T) {
	store := newFlaky(t)
	rule := perIP(10)
	rule.Concurrent = 2
	m := newLimiter(t, ratelimit.Config{Store: store, Rules: []ratelimit.Rule{rule}})
	left := func() []int64 { return remaining(t, m, "per-ip") }

	d, before, err := m.Take(byAlice())
	require.NoError(t, err)
	require.True(t, d.Allowed)
	store.down.Store(true)
	_, during, err := m.Take(byAlice())
	require.NoError(t, err)
	require.NoError(t, before.Charge(t.Context(), "per-ip", 3), "charged to the local bucket")
	require.NoError(t, during.Refund(t.Context(), "per-ip", 1), "refunded where it was taken")
	d, more, err := m.Take(byAlice())
	require.NoError(t, err)
	assert.EqualValues(t, 6, d.States[0].Remaining)
	store.down.Store(false)
	assert.Equal(t, []int64{9, 1}, left())
	require.NoError(t, during.Charge(t.Context(), "per-ip", 4), "the store is back")
	during.Release()
	more.Release()
	before.Release()
	assert.Equal(t, []int64{5, 2}, left())

	closed := newLimiter(t, ratelimit.Config{Store: store, Rules: []ratelimit.Rule{withMode(perIP(10), ratelimit.FailClosed)}})
	_, p, err := closed.Take(byAlice())
	require.NoError(t, err)
	store.down.Store(true)
	assert.ErrorIs(t, p.Charge(t.Context(), "per-ip", 1), errDown)
	_, err = closed.Peek(t.Context(), "per-ip", alice)
	assert.ErrorIs(t, err, errDown)
	assert.ErrorIs(t, closed.Reset(t.Context(), "per-ip", alice), errDown)
}

func TestADryRunDuringAnOutageRefusesNobody(t *testing.T) {
	store := newFlaky(t)
	var ev events
	dry := perIP(1)
	dry.DryRun = true
	h := newLimiter(t, ratelimit.Config{Store: store, Observe: ev.observe, Rules: []ratelimit.Rule{dry}}).Handler(ok)
	store.down.Store(true)
	assert.Equal(t, []int{200, 200}, statuses(h, 2, byAlice))
	assert.Equal(t, []string{"store-error per-ip", "store-error per-ip"}, ev.take())
}

func TestWhatAStoreKnowsForCertainIsReportedAsLocal(t *testing.T) {
	var ev events
	h := newLimiter(t, ratelimit.Config{Store: knowing{newMemory(t, ratelimit.MemoryConfig{})}, Observe: ev.observe, Rules: []ratelimit.Rule{perIP(1)}}).Handler(ok)
	statuses(h, 2, byAlice)
	assert.Equal(t, []string{"allow per-ip", "local-deny per-ip/per-ip"}, ev.take())
}

// knowing marks its denials as made without asking a server.
type knowing struct{ ratelimit.Store }

func (k knowing) Do(ctx context.Context, op ratelimit.Op, b []ratelimit.Bucket, l []ratelimit.Level) error {
	err := k.Store.Do(ctx, op, b, l)
	for i := range l {
		l[i].Local = !l[i].OK
	}
	return err
}

// script is a Store that answers as told, call by call.
type script []func([]ratelimit.Level) error

func (s *script) Do(_ context.Context, _ ratelimit.Op, _ []ratelimit.Bucket, levels []ratelimit.Level) error {
	answer := (*s)[0]
	*s = (*s)[1:]
	return answer(levels)
}

func TestADenialWithoutATripSaysNothingOfTheServer(t *testing.T) {
	var ev events
	h := newLimiter(t, ratelimit.Config{
		Store: &script{
			func([]ratelimit.Level) error { return errDown },
			func(l []ratelimit.Level) error { l[0] = ratelimit.Level{Local: true}; return nil },
			func(l []ratelimit.Level) error { l[0] = ratelimit.Level{OK: true}; return nil },
		},
		Observe: ev.observe,
		Rules:   []ratelimit.Rule{withMode(perIP(10), ratelimit.FailOpen)},
	}).Handler(ok)
	assert.Equal(t, []int{200, 429, 200}, statuses(h, 3, byAlice))
	assert.Equal(t, []string{
		"store-error per-ip", "allow per-ip", "local-deny per-ip/per-ip", "recovered ", "allow per-ip",
	}, ev.take())
}
