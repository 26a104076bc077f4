package ai_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

func TestTheNextProviderAnswersOnlyBeforeTheFirstByteAndOnlyIfItCouldHelp(t *testing.T) {
	for _, first := range vendors {
		for _, tt := range faults {
			if tt.kind == ai.TimedOut && first != ai.Anthropic {
				continue // time passes the same way
			}
			t.Run(first+"/"+string(tt.fault), func(t *testing.T) {
				t.Parallel()
				broken := aitest.New(t, first)
				broken.Set(aitest.Script{Fault: tt.fault, RedirectTo: "/"})
				whole := aitest.New(t, map[string]string{ai.Anthropic: ai.Gemini, ai.Gemini: ai.DeepSeek, ai.DeepSeek: ai.Anthropic}[first])
				whole.Set(aitest.Script{Pieces: []string{"from the other"}})
				s := settings(broken, whole)
				if tt.kind == ai.TimedOut {
					impatient(&s, tt.fault)
					s.FirstByte = max(s.FirstByte, 2*time.Second) // it is the other's time too
				}
				text, result, err := ask(t.Context(), provider(t, s))
				assert.Len(t, broken.Requests(), 1)
				if tt.text != "" || tt.fault == aitest.EndlessText || tt.kind == ai.Rejected {
					require.Error(t, err)
					assert.NotContains(t, text, "other")
					assert.Equal(t, first, result.Provider)
					assert.Empty(t, whole.Requests())
					return
				}
				require.NoError(t, err)
				assert.Equal(t, "from the other", text)
				assert.Equal(t, whole.Vendor, result.Provider)
				assert.Len(t, whole.Requests(), 1)
			})
		}
	}
}

func TestABlockedQuestionIsNotCarriedToTheNextVendor(t *testing.T) {
	first, second := aitest.New(t, ai.Gemini), aitest.New(t, ai.DeepSeek)
	first.Set(aitest.Script{Pieces: []string{""}, Stop: "SAFETY"})
	_, _, err := ask(t.Context(), provider(t, settings(first, second)))
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.Blocked, e.Kind)
	assert.Empty(t, second.Requests())
}

func TestIfAllFailTheErrorTellsOfAllAndGivesTheBestHope(t *testing.T) {
	a, g, d := aitest.New(t, ai.Anthropic), aitest.New(t, ai.Gemini), aitest.New(t, ai.DeepSeek)
	a.Set(aitest.Script{Fault: aitest.RateLimited, RetryAfter: "30"})
	g.Set(aitest.Script{Fault: aitest.RateLimited}) // 6.5 s
	d.Set(aitest.Script{Fault: aitest.WrongKey})
	p := provider(t, settings(a, g, d))
	assert.Equal(t, "anthropic,gemini,deepseek", p.Name())
	_, result, err := ask(t.Context(), p)
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.RateLimited, e.Kind)
	assert.Equal(t, 429, e.Status)
	assert.Equal(t, 6500*time.Millisecond, e.RetryAfter)
	assert.Equal(t, "anthropic,gemini,deepseek", e.Provider)
	assert.Equal(t, ai.DeepSeek, result.Provider)
	for _, words := range []string{"anthropic: rate limited", "gemini: rate limited", "deepseek: account refused"} {
		assert.ErrorContains(t, err, words)
	}
	assert.NotContains(t, err.Error(), aitest.Key)

	a.Set(aitest.Script{Fault: aitest.WrongKey})
	g.Set(aitest.Script{Fault: aitest.NoBalance})
	_, _, err = ask(t.Context(), p)
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.Account, e.Kind, "waiting would not help")
	assert.False(t, e.Kind.Temporary())
}

func TestTheUsageOfAttemptsThatFailedIsBookedToo(t *testing.T) {
	first, second := aitest.New(t, ai.Anthropic), aitest.New(t, ai.DeepSeek)
	first.Set(aitest.Script{Fault: aitest.ErrorBeforeText}) // after message_start
	_, result, err := ask(t.Context(), provider(t, settings(first, second)))
	require.NoError(t, err)
	assert.Equal(t, ai.Usage{Input: 2 * aitest.Input, Output: 1 + 4}, result.Usage)
}

func TestAUserWhoLeftIsNotAskedForByTheNextProvider(t *testing.T) {
	left := errors.New("left")
	first, second := aitest.New(t, ai.Anthropic), aitest.New(t, ai.DeepSeek)
	first.Set(aitest.Script{Fault: aitest.Silent})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(left) })
	_, _, err := ask(ctx, provider(t, settings(first, second)))
	require.ErrorIs(t, err, left)
	assert.Empty(t, second.Requests())
}
