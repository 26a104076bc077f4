package ai_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

var vendors = []string{ai.Anthropic, ai.Gemini, ai.DeepSeek}

// settings for fakes, in their order; times are such that none of them is over in
// a test that does not wait for it.
func settings(fakes ...*aitest.Server) ai.Settings {
	s := ai.Settings{FirstByte: 20 * time.Second, Idle: 20 * time.Second, Total: time.Minute}
	for _, f := range fakes {
		s.Order = append(s.Order, f.Vendor)
		switch f.Vendor {
		case ai.Anthropic:
			s.Anthropic = f.Endpoint()
		case ai.Gemini:
			s.Gemini = f.Endpoint()
		case ai.DeepSeek:
			s.DeepSeek = f.Endpoint()
		}
	}
	return s
}

// impatient shortens the time that a fault uses up, and no other: the machine that
// runs this may be busy.
func impatient(s *ai.Settings, fault aitest.Fault) {
	if fault == aitest.SilentAfterText || fault == aitest.OnlyThoughts {
		s.Idle = 500 * time.Millisecond
	} else {
		s.FirstByte = 300 * time.Millisecond
	}
}

func provider(t testing.TB, s ai.Settings) ai.Provider {
	t.Helper()
	transport := ai.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	p, err := ai.New(s, &http.Client{Transport: transport})
	require.NoError(t, err)
	return p
}

var question = ai.Request{Messages: []ai.Message{{ai.User, "Say hello."}}}

// ask returns all text that was emitted.
func ask(ctx context.Context, p ai.Provider) (string, ai.Result, error) {
	var text strings.Builder
	result, err := p.Stream(ctx, question, func(piece string) error {
		text.WriteString(piece)
		return nil
	})
	return text.String(), result, err
}

// framings are the ways in which the same stream may be written.
var framings = map[string]aitest.Script{
	"plain":      {},
	"every byte": {EveryByte: true},
	"noise":      {Noise: true},
	"CR":         {EOL: "\r"},
	"CR LF":      {EOL: "\r\n", Noise: true, EveryByte: true},
}

func TestAWholeAnswer(t *testing.T) {
	for _, vendor := range vendors {
		fake := aitest.New(t, vendor)
		p := provider(t, settings(fake))
		for name, script := range framings {
			t.Run(vendor+"/"+name, func(t *testing.T) {
				script.Pieces = []string{"Grüße, \"Welt\"\n", "\u2028<b>&</b>", " ", "\U0001F600"}
				fake.Set(script)
				var pieces []string
				result, err := p.Stream(t.Context(), question, func(s string) error {
					pieces = append(pieces, s)
					return nil
				})
				require.NoError(t, err)
				assert.Equal(t, script.Pieces, pieces)
				assert.Equal(t, ai.Result{
					Provider: vendor, Model: aitest.Model, StopReason: ai.StopEnd,
					Usage: ai.Usage{Input: aitest.Input, Output: 4},
				}, result)
			})
		}
	}
}

// faults: what each of them is for the caller, with every vendor.
var faults = []struct {
	fault aitest.Fault
	kind  ai.Kind
	text  string // what was emitted before
}{
	{aitest.RateLimited, ai.RateLimited, ""},
	{aitest.Overloaded, ai.Overloaded, ""},
	{aitest.ServerError, ai.Overloaded, ""},
	{aitest.WrongKey, ai.Account, ""},
	{aitest.NoBalance, ai.Account, ""},
	{aitest.BadRequest, ai.Rejected, ""},
	{aitest.Redirected, ai.Malformed, ""},
	{aitest.HTML, ai.Malformed, ""},
	{aitest.BareJSON, ai.Overloaded, ""},
	{aitest.HugeError, ai.Overloaded, ""},
	{aitest.Unanswered, ai.Unreachable, ""},
	{aitest.Silent, ai.TimedOut, ""},
	{aitest.ErrorBeforeText, ai.Overloaded, ""},
	{aitest.ErrorAfterText, ai.Overloaded, "Hello"},
	{aitest.RawAfterStop, ai.Overloaded, "Hello, world!"},
	{aitest.EndBeforeText, ai.Cut, ""},
	{aitest.EndAfterText, ai.Cut, "Hello"},
	{aitest.CutBeforeText, ai.Cut, ""},
	{aitest.CutAfterText, ai.Cut, "Hello"},
	{aitest.MalformedBefore, ai.Malformed, ""},
	{aitest.MalformedAfter, ai.Malformed, "Hello"},
	{aitest.OnlyComments, ai.TimedOut, ""},
	{aitest.OnlyThoughts, ai.TimedOut, ""},
	{aitest.SilentAfterText, ai.TimedOut, "Hello"},
	{aitest.NoText, ai.InBand, ""},
	{aitest.EndlessLine, ai.Malformed, ""},
	{aitest.EndlessText, ai.Malformed, ""},
}

func TestEveryFaultOfEveryVendorIsAnErrorOfItsKind(t *testing.T) {
	redirect := aitest.New(t, ai.Anthropic)
	for _, vendor := range vendors {
		for _, tt := range faults {
			for name, framing := range framings {
				if (tt.fault == aitest.EndlessText || tt.fault == aitest.EndlessLine || tt.fault == aitest.HugeError) && framing.EveryByte {
					continue // a megabyte, each byte by itself
				}
				if tt.kind == ai.TimedOut && name != "plain" && name != "noise" {
					continue // time passes the same way
				}
				t.Run(vendor+"/"+string(tt.fault)+"/"+name, func(t *testing.T) {
					t.Parallel()
					fake := aitest.New(t, vendor)
					s := settings(fake)
					if tt.kind == ai.TimedOut {
						impatient(&s, tt.fault)
					}
					framing.Fault, framing.RedirectTo = tt.fault, redirect.URL+"/v1/messages"
					fake.Set(framing)

					text, result, err := ask(t.Context(), provider(t, s))
					var e *ai.Error
					require.ErrorAs(t, err, &e)
					assert.Equal(t, tt.kind, e.Kind, err.Error())
					assert.Equal(t, vendor, e.Provider)
					if tt.fault == aitest.SilentAfterText {
						assert.ErrorContains(t, err, "silent for Idle")
					}
					if tt.fault != aitest.EndlessText {
						assert.Equal(t, tt.text, text)
					}
					assert.LessOrEqual(t, len(text), 1<<20)
					assert.Equal(t, vendor, result.Provider)
					assert.NotContains(t, err.Error(), aitest.Key)
					assert.Less(t, len(err.Error()), 800)
					assert.NotContains(t, err.Error(), "\n")
					assert.Len(t, fake.Requests(), 1, "a call that may have been paid for is not repeated")
					assert.Empty(t, redirect.Requests(), "the key goes to nobody else")
					// It closed the connection, whatever the vendor still had to say.
					require.Eventually(t, func() bool { return fake.Open() == 0 }, 10*time.Second, 5*time.Millisecond)
				})
			}
		}
	}
}

func TestUsageIsKnownBesideAnError(t *testing.T) {
	for vendor, input := range map[string]int64{ai.Anthropic: aitest.Input, ai.Gemini: aitest.Input, ai.DeepSeek: 0} {
		fake := aitest.New(t, vendor)
		fake.Set(aitest.Script{Fault: aitest.CutAfterText})
		_, result, err := ask(t.Context(), provider(t, settings(fake)))
		require.Error(t, err)
		assert.Equal(t, input, result.Usage.Input, vendor) // DeepSeek tells it in its last chunk only
	}
}

func TestAStreamThatStaysOpenAfterItsTerminalEventIsWhole(t *testing.T) {
	for _, vendor := range vendors {
		fake := aitest.New(t, vendor)
		fake.Set(aitest.Script{Fault: aitest.HangsAtEnd})
		s := settings(fake)
		if vendor == ai.Gemini {
			s.Idle = 500 * time.Millisecond
		}
		text, _, err := ask(t.Context(), provider(t, s))
		assert.Equal(t, "Hello, world!", text, vendor)
		if vendor == ai.Gemini { // has no terminal event but the end itself
			var e *ai.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, ai.TimedOut, e.Kind)
			continue
		}
		require.NoError(t, err, vendor)
	}
}

func TestStopReasons(t *testing.T) {
	tests := []struct{ vendor, reason, want string }{
		{ai.Anthropic, "end_turn", ai.StopEnd},
		{ai.Anthropic, "stop_sequence", ai.StopEnd},
		{ai.Anthropic, "max_tokens", ai.StopLength},
		{ai.Anthropic, "model_context_window_exceeded", ai.StopLength},
		{ai.Anthropic, "refusal", string(ai.Blocked)},
		{ai.Anthropic, "tool_use", string(ai.InBand)},
		{ai.Anthropic, "pause_turn", string(ai.InBand)},
		{ai.Gemini, "STOP", ai.StopEnd},
		{ai.Gemini, "MAX_TOKENS", ai.StopLength},
		{ai.Gemini, "SAFETY", string(ai.Blocked)},
		{ai.Gemini, "RECITATION", string(ai.Blocked)},
		{ai.Gemini, "PROHIBITED_CONTENT", string(ai.Blocked)},
		{ai.Gemini, "OTHER", string(ai.InBand)},
		{ai.Gemini, "MALFORMED_FUNCTION_CALL", string(ai.InBand)},
		{ai.DeepSeek, "stop", ai.StopEnd},
		{ai.DeepSeek, "length", ai.StopLength},
		{ai.DeepSeek, "content_filter", string(ai.Blocked)},
		{ai.DeepSeek, "insufficient_system_resource", string(ai.Overloaded)},
		{ai.DeepSeek, "tool_calls", string(ai.InBand)},
		{ai.DeepSeek, "new in some years", string(ai.InBand)},
	}
	for _, tt := range tests {
		fake := aitest.New(t, tt.vendor)
		fake.Set(aitest.Script{Stop: tt.reason})
		text, result, err := ask(t.Context(), provider(t, settings(fake)))
		assert.Equal(t, "Hello, world!", text)
		assert.Equal(t, ai.Usage{Input: aitest.Input, Output: 4}, result.Usage, "known although it failed")
		if tt.want == ai.StopEnd || tt.want == ai.StopLength {
			require.NoError(t, err, tt.reason)
			assert.Equal(t, tt.want, result.StopReason)
			continue
		}
		var e *ai.Error
		require.ErrorAs(t, err, &e, tt.reason)
		assert.Equal(t, ai.Kind(tt.want), e.Kind, tt.reason)
		assert.Contains(t, err.Error(), tt.reason)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		header   string
		from, to time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{" 7 ", 7 * time.Second, 7 * time.Second},
		{in(time.Minute), 58 * time.Second, 61 * time.Second},
		{in(-time.Minute), 0, 0},
		{"0", 0, 0},
		{"-7", 0, 0},
		{"1.5", 0, 0},
		{"soon", 0, 0},
		{"99999999999999999999", 0, 0},
		{"2000000000", 24 * time.Hour, 24 * time.Hour},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour, 24 * time.Hour},
	}
	fake := aitest.New(t, ai.Anthropic)
	p := provider(t, settings(fake))
	for _, fault := range []aitest.Fault{aitest.RateLimited, aitest.Overloaded} {
		for _, tt := range tests {
			fake.Set(aitest.Script{Fault: fault, RetryAfter: tt.header})
			_, _, err := ask(t.Context(), p)
			var e *ai.Error
			require.ErrorAs(t, err, &e)
			assert.GreaterOrEqual(t, e.RetryAfter, tt.from, tt.header)
			assert.LessOrEqual(t, e.RetryAfter, tt.to, tt.header)
		}
	}
}

func TestGeminiTellsInTheBodyHowLongToWait(t *testing.T) {
	fake := aitest.New(t, ai.Gemini)
	fake.Set(aitest.Script{Fault: aitest.RateLimited})
	_, _, err := ask(t.Context(), provider(t, settings(fake)))
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, 6500*time.Millisecond, e.RetryAfter)
}

func TestCommentsAndPingsKeepAStreamAliveButDoNotBegin(t *testing.T) {
	for _, vendor := range vendors {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			fake := aitest.New(t, vendor)
			fake.Set(aitest.Script{Fault: aitest.OnlyComments}) // one every 5 ms
			s := settings(fake)
			s.FirstByte, s.Idle = 2*time.Second, time.Second
			_, _, err := ask(t.Context(), provider(t, s))
			require.ErrorContains(t, err, "no text within FirstByte", "they were life for Idle")
		})
	}
}

func TestThoughtsBegin(t *testing.T) {
	for _, vendor := range vendors {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			fake := aitest.New(t, vendor)
			fake.Set(aitest.Script{Fault: aitest.OnlyThoughts})
			s := settings(fake)
			s.FirstByte, s.Idle = time.Second, 1500*time.Millisecond
			_, _, err := ask(t.Context(), provider(t, s))
			require.ErrorContains(t, err, "silent for Idle", "a model that thinks is not cut by FirstByte")
		})
	}
}

func TestADrippingStreamEndsAtTotal(t *testing.T) {
	fake := aitest.New(t, ai.DeepSeek)
	fake.Set(aitest.Script{Pieces: strings.Split(strings.Repeat("x ", 200), " "), Delay: 20 * time.Millisecond})
	s := settings(fake)
	s.Total = 500 * time.Millisecond
	text, _, err := ask(t.Context(), provider(t, s))
	require.ErrorContains(t, err, "not over within Total")
	assert.NotEmpty(t, text)
}

func TestTimeInEmitIsNotTheVendorsSilence(t *testing.T) {
	t.Parallel()
	fake := aitest.New(t, ai.Anthropic)
	fake.Set(aitest.Script{Pieces: []string{"Hello", "!"}, Delay: 300 * time.Millisecond}) // so that it is still being read
	s := settings(fake)
	s.Idle = time.Second
	_, err := provider(t, s).Stream(t.Context(), question, func(string) error {
		time.Sleep(1200 * time.Millisecond)
		return nil
	})
	require.NoError(t, err)
}

func TestTheEndOfTheContextClosesTheConnectionAtOnce(t *testing.T) {
	left := errors.New("the user left")
	for _, vendor := range vendors {
		for _, fault := range []aitest.Fault{aitest.Silent, aitest.OnlyComments, aitest.SilentAfterText} {
			t.Run(vendor+"/"+string(fault), func(t *testing.T) {
				t.Parallel()
				fake := aitest.New(t, vendor)
				fake.Set(aitest.Script{Fault: fault})
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					assert.Eventually(t, func() bool { return fake.Open() == 1 }, 10*time.Second, time.Millisecond)
					cancel(left)
				}()
				_, _, err := ask(ctx, provider(t, settings(fake)))
				require.ErrorIs(t, err, left)
				var e *ai.Error
				assert.NotErrorAs(t, err, &e, "nothing is wrong with the vendor")
				require.Eventually(t, func() bool { return fake.Open() == 0 }, 10*time.Second, time.Millisecond)
			})
		}
	}
}

func TestAnErrorOfEmitEndsTheCallAndComesBack(t *testing.T) {
	full := errors.New("disk full")
	fake, next := aitest.New(t, ai.Anthropic), aitest.New(t, ai.Gemini)
	fake.Set(aitest.Script{Fault: aitest.EndlessText})
	_, err := provider(t, settings(fake, next)).Stream(t.Context(), question, func(string) error { return full })
	require.Equal(t, full, err)
	require.Eventually(t, func() bool { return fake.Open() == 0 }, 10*time.Second, time.Millisecond)
	assert.Empty(t, next.Requests())
}
