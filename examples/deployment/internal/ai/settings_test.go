package ai_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

// For require.Eventually.
const (
	testWait = 10 * time.Second
	testTick = 2 * time.Millisecond
)

func TestMistakesInTheSettingsComeAtOnce(t *testing.T) {
	_, err := ai.New(ai.Settings{
		Order:     []string{"anthropic", "openai", "gemini", "anthropic", "deepseek"},
		Anthropic: ai.Endpoint{BaseURL: "http://vendor.example"},
		Gemini:    ai.Endpoint{Key: "k\n", Model: "../../x", BaseURL: "vendor.example"},
		DeepSeek:  ai.Endpoint{Key: "k", Model: "m", BaseURL: "https://vendor.example/?key=k"},
		MaxTokens: -1,
	}, nil)
	require.Error(t, err)
	for _, words := range []string{
		"anthropic: is in the order but has no key",
		"anthropic: the model is required",
		`anthropic: the base URL "http://vendor.example" must be https`,
		`"openai" is none of`,
		"gemini: the key has a space",
		`gemini: the model "../../x" is no model's name`,
		"gemini: the base URL is no URL like",
		`Order[3] "anthropic" is there twice`,
		"deepseek: the base URL must be without user, query and fragment",
		"must not be negative",
	} {
		assert.ErrorContains(t, err, words)
	}
}

func TestHTTPIsForLoopbackOnly(t *testing.T) {
	for base, ok := range map[string]bool{
		"":                                  true,
		"https://gateway.example/v2/":       true,
		"http://127.0.0.1:8080":             true,
		"http://localhost:8080":             true,
		"http://[::1]:8080":                 true,
		"http://10.0.0.7":                   false,
		"http://localhost.attacker.example": false,
		"http://127.0.0.1.attacker.example": false,
		"ftp://127.0.0.1":                   false,
		"//127.0.0.1":                       false,
		"https:///x":                        false,
		"https://:443":                      false,
		"https://user@vendor.example":       false,
		"https://vendor.example#x":          false,
	} {
		_, err := ai.New(ai.Settings{DeepSeek: ai.Endpoint{Key: "k", Model: "m", BaseURL: base}}, nil)
		assert.Equal(t, ok, err == nil, base)
	}
}

func TestTheOrderIsThoseWithAKey(t *testing.T) {
	key := ai.Endpoint{Key: "k", Model: "m"}
	assert.Equal(t, []string{"echo"}, ai.Settings{}.Names())
	assert.Equal(t, []string{"gemini"}, ai.Settings{Gemini: key}.Names())
	assert.Equal(t, []string{"anthropic", "gemini", "deepseek"}, ai.Settings{Anthropic: key, Gemini: key, DeepSeek: key}.Names())
	s := ai.Settings{Order: []string{"deepseek", "anthropic"}, Anthropic: key, Gemini: key, DeepSeek: key}
	assert.Equal(t, []string{"deepseek", "anthropic"}, s.Names())
	p, err := ai.New(s, nil)
	require.NoError(t, err)
	assert.Equal(t, "deepseek,anthropic", p.Name())
}

func TestTheEchoStopsAtMaxTokensAndWithItsContext(t *testing.T) {
	p, err := ai.New(ai.Settings{EchoDelay: time.Microsecond}, nil)
	require.NoError(t, err)
	var b strings.Builder
	emit := func(s string) error { b.WriteString(s); return t.Context().Err() }
	messages := []ai.Message{{ai.User, "one two three four"}}
	result, err := p.Stream(t.Context(), ai.Request{Messages: messages, MaxTokens: 2}, emit)
	require.NoError(t, err)
	assert.Equal(t, "one two ", b.String())
	assert.Equal(t, ai.StopLength, result.StopReason)
	_, err = p.Stream(t.Context(), ai.Request{}, emit)
	require.ErrorContains(t, err, "the last message must be the user's")
}

func TestTheDefaultTimesLetASlowAnswerThrough(t *testing.T) {
	fake := aitest.New(t, ai.Anthropic)
	fake.Set(aitest.Script{Delay: 50 * time.Millisecond})
	text, _, err := ask(t.Context(), provider(t, ai.Settings{Anthropic: fake.Endpoint()}))
	require.NoError(t, err)
	assert.Equal(t, "Hello, world!", text)
	assert.Contains(t, string(fake.Requests()[0].Body), `"max_tokens":4096`)
}
