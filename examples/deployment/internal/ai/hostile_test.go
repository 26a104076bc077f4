package ai_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answered is a provider whose every call is answered with this stream.
func answered(t testing.TB, vendor string, body *string) ai.Provider {
	t.Helper()
	e := ai.Endpoint{Key: aitest.Key, Model: aitest.Model}
	p, err := ai.New(ai.Settings{Order: []string{vendor}, Anthropic: e, Gemini: e, DeepSeek: e}, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}},
			Body: io.NopCloser(strings.NewReader(*body)),
		}, nil
	})})
	require.NoError(t, err)
	return p
}

// recorded is the stream that a fake sends.
func recorded(t testing.TB, vendor string, script aitest.Script) string {
	t.Helper()
	fake := aitest.New(t, vendor)
	fake.Set(script)
	var stream string
	s := settings(fake)
	p, err := ai.New(s, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		stream = string(b)
		return resp, resp.Body.Close()
	})})
	require.NoError(t, err)
	_, _, _ = ask(t.Context(), p)
	return stream
}

// Over HTTP/2, or with a Content-Length of a proxy, a cut stream may look like one
// that ended cleanly.
func TestAStreamThatEndsCleanlyAtAnyByteBeforeItsEndIsAnError(t *testing.T) {
	for _, vendor := range vendors {
		for _, noise := range []bool{false, true} {
			stream := recorded(t, vendor, aitest.Script{EOL: "\n", Noise: noise})
			part := stream
			p := answered(t, vendor, &part)
			text, _, err := ask(t.Context(), p)
			require.NoError(t, err)
			require.Equal(t, "Hello, world!", text)
			for n := range len(stream) {
				part = stream[:n]
				text, _, err := ask(t.Context(), p)
				require.Error(t, err, "%s: after %q", vendor, part[max(0, n-40):])
				require.True(t, strings.HasPrefix("Hello, world!", text))
			}
		}
	}
}

func TestAnErrorAtTheEndIsSeenHoweverItIsWritten(t *testing.T) {
	bare := `{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`
	for _, end := range []string{bare, bare + "\n", bare + "\n\n", "\n" + bare, "data: " + bare, "data: " + bare + "\n", "data: " + bare + "\n\n", "data: {\"error\":", "<html>"} {
		stream := recorded(t, ai.Gemini, aitest.Script{EOL: "\n"}) + end
		_, _, err := ask(t.Context(), answered(t, ai.Gemini, &stream))
		require.Error(t, err, end)
	}
}

func TestUsageCannotBeNegativeNorOverflow(t *testing.T) {
	for vendor, stream := range map[string]string{
		ai.Anthropic: `data: {"type":"message_start","message":{"usage":{"input_tokens":9223372036854775807,"cache_read_input_tokens":9223372036854775807,"output_tokens":-5}}}` + "\n\n",
		ai.Gemini:    `data: {"usageMetadata":{"promptTokenCount":-9,"candidatesTokenCount":9223372036854775807,"thoughtsTokenCount":1}}` + "\n\n",
		ai.DeepSeek:  `data: {"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":-9223372036854775808}}` + "\n\n",
	} {
		_, result, err := ask(t.Context(), answered(t, vendor, &stream))
		require.Error(t, err)
		assert.GreaterOrEqual(t, result.Usage.Input, int64(0), vendor)
		assert.GreaterOrEqual(t, result.Usage.Output, int64(0), vendor)
		assert.LessOrEqual(t, result.Usage.Input, int64(1)<<40, vendor)
		assert.LessOrEqual(t, result.Usage.Output, int64(1)<<40, vendor)
	}
}

func TestThoughtsThatWereNotBilledYetAreCounted(t *testing.T) {
	long := strings.Repeat("hm ", 1000)
	for vendor, thought := range map[string]string{
		ai.Anthropic: `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"` + long + `"}}`,
		ai.Gemini:    `{"candidates":[{"content":{"parts":[{"text":"` + long + `","thought":true}]}}]}`,
		ai.DeepSeek:  `{"choices":[{"delta":{"reasoning_content":"` + long + `"}}]}`,
	} {
		stream := "data: " + thought + "\n\n"
		text, result, err := ask(t.Context(), answered(t, vendor, &stream))
		require.Error(t, err)
		assert.Empty(t, text)
		assert.EqualValues(t, 1000, result.Usage.Output, vendor)

		stream = recorded(t, vendor, aitest.Script{EOL: "\n", Noise: true})
		_, whole, err := ask(t.Context(), answered(t, vendor, &stream))
		require.NoError(t, err)
		stream = "data: " + thought + "\n\n" + stream
		_, result, err = ask(t.Context(), answered(t, vendor, &stream))
		require.NoError(t, err)
		assert.Equal(t, whole.Usage, result.Usage, "what %s has told counts", vendor)
	}
}

func TestWhatVendorsSayInUnusualWays(t *testing.T) {
	text := `data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}` + "\n\n"
	tests := []struct{ name, vendor, stream, want string }{
		{"a stop reason on every chunk", ai.Gemini, text + text, ""},
		{"text behind the stop reason", ai.Gemini, text + `data: {"candidates":[{"content":{"parts":[{"text":"!"}]}}]}` + "\n\n", "no finishReason"},
		{"usage behind the stop reason", ai.Gemini, text + `data: {"usageMetadata":{"promptTokenCount":1}}` + "\n\n", ""},
		{"an empty part behind the stop reason", ai.Gemini, text + `data: {"candidates":[{"content":{"parts":[{"text":""}]}}]}` + "\n\n", ""},
		{"another candidate's stop reason", ai.Gemini, `data: {"candidates":[{"index":1,"finishReason":"STOP"},{"content":{"parts":[{"text":"Hi"}]}}]}` + "\n\n", "no finishReason"},
		{"a blocked prompt", ai.Gemini, `data: {"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}` + "\n\n", "blocked by policy: prompt blocked: PROHIBITED_CONTENT"},
		{"[DONE] without a finish_reason", ai.DeepSeek, `data: {"choices":[{"delta":{"content":"Hi"}}]}` + "\n\ndata: [DONE]\n\n", "cut"},
		{"[DONE] with a space", ai.DeepSeek, `data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE] \n\n", ""},
		{"usage in a chunk of its own", ai.DeepSeek, `data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}` + "\n\n" + `data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\ndata: [DONE]\n\n", ""},
		{"a numeric code", ai.DeepSeek, `data: {"error":{"message":"m","code":500}}` + "\n\n", "in-band error"},
		{"text in the block's start", ai.Anthropic, `data: {"type":"content_block_start","content_block":{"type":"text","text":"Hi"}}` + "\n\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}` + "\n\n" + `data: {"type":"message_stop"}` + "\n\n", ""},
		{"message_stop without a stop reason", ai.Anthropic, `data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}` + "\n\n" + `data: {"type":"message_stop"}` + "\n\n", "cut"},
		{"the owner's limit is reached", ai.Anthropic, `data: {"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}` + "\n\n", "account refused"},
	}
	for _, tt := range tests {
		_, _, err := ask(t.Context(), answered(t, tt.vendor, &tt.stream))
		if tt.want == "" {
			require.NoError(t, err, tt.name)
		} else {
			require.ErrorContains(t, err, tt.want, tt.name)
		}
	}
}

func TestTheStatusDecidesWhatARefusalIs(t *testing.T) {
	for status, want := range map[int]ai.Kind{
		201: ai.Malformed, 204: ai.Malformed, 301: ai.Malformed, 400: ai.Rejected, 401: ai.Account, 402: ai.Account,
		403: ai.Account, 404: ai.Account, 405: ai.Account, 408: ai.Overloaded, 409: ai.Overloaded, 413: ai.Rejected,
		422: ai.Rejected, 429: ai.RateLimited, 500: ai.Overloaded, 503: ai.Overloaded, 529: ai.Overloaded, 599: ai.Overloaded,
	} {
		for _, vendor := range vendors {
			e := ai.Endpoint{Key: aitest.Key, Model: aitest.Model}
			p, err := ai.New(ai.Settings{Order: []string{vendor}, Anthropic: e, Gemini: e, DeepSeek: e}, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("<html>"))}, nil
			})})
			require.NoError(t, err)
			_, _, err = ask(t.Context(), p)
			var got *ai.Error
			require.ErrorAs(t, err, &got)
			assert.Equal(t, want, got.Kind, "%s %d", vendor, status)
			assert.Equal(t, status, got.Status)
		}
	}
}

// FuzzStream: whatever comes, a success has a stop reason, text, and the vendor's
// terminal event in it; an error is short, on one line and of a known kind.
func FuzzStream(f *testing.F) {
	for i, vendor := range vendors {
		for _, tt := range faults {
			switch tt.fault {
			case aitest.Unanswered, aitest.Silent, aitest.HugeError, aitest.OnlyComments, aitest.OnlyThoughts, aitest.SilentAfterText,
				aitest.EndlessLine, aitest.EndlessText, aitest.MalformedBefore, aitest.MalformedAfter, aitest.CutBeforeText, aitest.CutAfterText, aitest.Redirected:
			default:
				f.Add(uint8(i), recorded(f, vendor, aitest.Script{Fault: tt.fault}))
			}
		}
		f.Add(uint8(i), recorded(f, vendor, aitest.Script{Noise: true}))
	}
	terminal := map[string]string{ai.Anthropic: "message_stop", ai.Gemini: "inishReason", ai.DeepSeek: "[DONE]"}
	f.Fuzz(func(t *testing.T, which uint8, stream string) {
		vendor := vendors[int(which)%len(vendors)]
		text, result, err := ask(t.Context(), answered(t, vendor, &stream))
		if err != nil {
			var e *ai.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Kind)
			require.Less(t, len(err.Error()), 800)
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), aitest.Key)
			return
		}
		require.NotEmpty(t, text)
		require.Contains(t, []string{ai.StopEnd, ai.StopLength}, result.StopReason)
		if !strings.Contains(stream, `\u`) { // JSON can spell it in other ways
			require.Contains(t, strings.ToLower(stream), strings.ToLower(terminal[vendor]))
		}
	})
}

func BenchmarkStream(b *testing.B) {
	for _, vendor := range vendors {
		b.Run(vendor, func(b *testing.B) {
			pieces := make([]string, 1000)
			for i := range pieces {
				pieces[i] = "word "
			}
			stream := recorded(b, vendor, aitest.Script{Pieces: pieces})
			p := answered(b, vendor, &stream)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, _, err := ask(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/piece")
		})
	}
}

// endless is a body that never ends.
type endless struct {
	piece string
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.piece[e.at:])
	e.at = (e.at + n) % len(e.piece)
	return n, nil
}

func TestAnUpstreamCannotMakeUsReadForever(t *testing.T) {
	long := ":" + strings.Repeat(" ", 16<<10) + "\n" // so that 64 MiB are not 64 million lines
	for _, piece := range []string{": comment\n", "\n", "event: ping\ndata: {\"type\":\"ping\"}\n\n", "id: 1\n\n"} {
		piece += long
		e := ai.Endpoint{Key: aitest.Key, Model: aitest.Model}
		p, err := ai.New(ai.Settings{Anthropic: e}, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(&endless{piece: piece})}, nil
		})})
		require.NoError(t, err)
		_, _, err = ask(t.Context(), p)
		require.ErrorContains(t, err, "the answer does not end", piece)
	}
}

func TestMessagesOfVendorsAreShortAndOnOneLine(t *testing.T) {
	stream := `data: {"error":{"type":"x","message":"a\r\n\u001b[31mb\u2028` + strings.Repeat("ü", 500) + `"}}` + "\n\n"
	_, _, err := ask(t.Context(), answered(t, ai.DeepSeek, &stream))
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.True(t, strings.HasPrefix(e.Message, "x: a [31mb ü"), e.Message)
	assert.True(t, strings.HasSuffix(e.Message, "ü..."), e.Message)
	assert.LessOrEqual(t, len(e.Message), 300)
	assert.True(t, utf8.ValidString(e.Message))
}

func TestAModelThatIsGoneIsTheAccountsFault(t *testing.T) {
	p, err := ai.New(ai.Settings{DeepSeek: ai.Endpoint{Key: aitest.Key, Model: aitest.Model}}, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(
			`{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`,
		))}, nil
	})})
	require.NoError(t, err)
	_, _, err = ask(t.Context(), p)
	require.ErrorContains(t, err, "account refused (HTTP 400)")
}
