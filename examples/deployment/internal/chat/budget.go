package chat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// The rules, as clients see them in RateLimit fields and problems.
const (
	ruleRequests = "ai"         // answers asked for
	ruleTokens   = "ai-tokens"  // what they cost
	rulePlaces   = "ai-streams" // answers that run
	ruleReaders  = "streams"    // responses that stream, as a bound on connections
)

// LimitRules are asked with every question, all or none. user tells whose it is.
func LimitRules(c config.Config, user func(*http.Request) string) []ratelimit.Rule {
	return []ratelimit.Rule{
		{Name: ruleRequests, Limits: c.RateAI, Key: ratelimit.ByValue(user)},
		{Name: ruleTokens, Limits: c.RateAITokens, Key: ratelimit.ByValue(user), Cost: func(r *http.Request) int64 {
			n, _ := r.Context().Value(costKey{}).(int64)
			return n
		}},
	}
}

// PlaceRules bound what is going on at the same time. A place is given back when
// the answer has ended, which is later than the request where its client leaves.
func PlaceRules(c config.Config, user func(*http.Request) string) []ratelimit.Rule {
	asks := func(r *http.Request) bool { return r.Method == http.MethodPost }
	return []ratelimit.Rule{
		{Name: rulePlaces, Concurrent: c.AI.Concurrent, Key: ratelimit.ByValue(user), Match: asks},
		// A few tabs for each answer, and connections whose death is not yet known.
		{
			Name: ruleReaders, Concurrent: 4 * c.AI.Concurrent, Key: ratelimit.ByValue(user),
			Match: func(r *http.Request) bool { return !asks(r) },
		},
	}
}

// costKey is the context's key for what rule "ai-tokens" takes.
type costKey struct{}

func withCost(r *http.Request, n int64) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), costKey{}, n))
}

// A budget is what one answer was allowed to cost, and holds the user's place.
// Every answer that got one settles it once, however it ends.
type budget struct {
	place    *ratelimit.Permit
	tokens   *ratelimit.Permit // nil: refused
	reserved int64
}

// settle books what the answer has cost: what was reserved and not used goes
// back, what was used beyond it (a vendor counts otherwise than we guess) becomes
// a debt that has to refill first.
func (b *budget) settle(used int64) error {
	defer b.place.Release()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// Neither is tried again: a store that failed may have done it.
	if used > b.reserved {
		return b.tokens.Charge(ctx, ruleTokens, used-b.reserved)
	}
	return b.tokens.Refund(ctx, ruleTokens, b.reserved-used)
}

// undo is for an answer that did not begin, however far it got.
func (b *budget) undo() error {
	switch {
	case b == nil:
		return nil
	case b.tokens == nil:
		b.place.Release()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(b.tokens.Refund(ctx, ruleRequests, 1), b.settle(0))
}

// guess is how many tokens a text of n bytes has, rather too many than too few:
// English has four bytes to a token, Japanese three.
func guess(n int) int64 { return int64(n+2) / 3 }

// reservation is the most that a request can cost; not more than the bucket holds,
// or a small budget would refuse even the first question.
func (h *Hub) reservation(req ai.Request) int64 {
	return min(guess(size(req))+int64(h.MaxTokens), h.Budget)
}

func size(req ai.Request) int {
	n := 0
	for _, m := range req.Messages {
		n += len(m.Content)
	}
	return n
}

// spent completes what the provider has told of a call. It tells at the end: of a
// call that did not get there, what we sent and what we got were paid for.
func spent(told ai.Usage, req ai.Request, text int, whole, ours bool) ai.Usage {
	if told.Input == 0 && (text > 0 || ours) {
		told.Input = guess(size(req))
	}
	if !whole || told.Output == 0 {
		told.Output = max(told.Output, guess(text))
	}
	return told
}

// silence is what an answer that we ended before its first word may have cost in
// thoughts: some vendors tell of them only with the first word, and who leaves
// before would think for nothing. It is guessed by the time, 50 tokens a second.
func (h *Hub) silence(told ai.Usage, took time.Duration) ai.Usage {
	told.Output = max(told.Output, min(50*int64(took/time.Second), int64(h.MaxTokens)))
	return told
}

// refuse answers a question for which the user has no place left, as
// ratelimit.Middleware answers: the client reads all refusals alike.
func refuse(w http.ResponseWriter, d ratelimit.Decision) {
	status, kind, title := http.StatusTooManyRequests, "quota-exceeded", "Request cannot be satisfied as assigned quota has been exceeded"
	if d.Err != nil {
		status, kind, title = http.StatusServiceUnavailable, "temporary-reduced-capacity", "Request cannot be satisfied due to temporary server capacity constraints"
	}
	body, _ := json.Marshal(map[string]any{ // strings and a number: it cannot fail
		"type":  "https://iana.org/assignments/http-problem-types#" + kind,
		"title": title, "status": status, "violated-policies": d.Violated,
	})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", strconv.FormatInt(max(1, int64((d.RetryAfter+time.Second-1)/time.Second)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
