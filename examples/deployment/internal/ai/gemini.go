package ai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

// geminiFormat is models.streamGenerateContent, v1beta. The key goes into a
// header: their examples put it into the URL, from where it gets into access logs
// and error messages.
type geminiFormat struct{ Endpoint }

type geminiPart struct {
	Text    string `json:"text"`
	Thought bool   `json:"thought,omitempty"`
}

type geminiContent struct {
	Role  string       `json:"role,omitempty"`
	Parts []geminiPart `json:"parts"`
}

func (f geminiFormat) request(c conversation, maxTokens int) (string, http.Header, any) {
	header := http.Header{}
	header.Set("X-Goog-Api-Key", string(f.Key))
	var body struct {
		System   *geminiContent  `json:"systemInstruction,omitempty"`
		Contents []geminiContent `json:"contents"`
		Config   struct {
			MaxTokens int `json:"maxOutputTokens"`
		} `json:"generationConfig"`
	}
	body.Config.MaxTokens = maxTokens
	if c.system != "" {
		body.System = &geminiContent{Parts: []geminiPart{{Text: c.system}}}
	}
	for _, m := range c.turns {
		role := "user"
		if m.Role == Assistant {
			role = "model"
		}
		body.Contents = append(body.Contents, geminiContent{role, []geminiPart{{Text: m.Content}}})
	}
	return "/v1beta/models/" + url.PathEscape(f.Model) + ":streamGenerateContent?alt=sse", header, body
}

type geminiChunk struct {
	Candidates []struct {
		Index        int           `json:"index"`
		Content      geminiContent `json:"content"`
		FinishReason string        `json:"finishReason"`
	} `json:"candidates"`
	Feedback struct {
		BlockReason string `json:"blockReason"`
	} `json:"promptFeedback"`
	Usage struct {
		Prompt     int64 `json:"promptTokenCount"`
		Candidates int64 `json:"candidatesTokenCount"`
		Thoughts   int64 `json:"thoughtsTokenCount"`
	} `json:"usageMetadata"`
	Error *geminiError `json:"error"`
}

var geminiStops = map[string]string{
	"STOP": StopEnd, "MAX_TOKENS": StopLength,
	"SAFETY": string(Blocked), "RECITATION": string(Blocked), "BLOCKLIST": string(Blocked),
	"PROHIBITED_CONTENT": string(Blocked), "SPII": string(Blocked), "LANGUAGE": string(Blocked),
}

func (geminiFormat) event(ev sse.Event, a *answer) error {
	var chunk geminiChunk
	if err := json.Unmarshal(ev.Data, &chunk); err != nil {
		return &Error{Kind: Malformed, Err: err}
	}
	if chunk.Error != nil {
		return chunk.Error.kind(http.StatusOK)
	}
	a.spent(chunk.Usage.Prompt, chunk.Usage.Candidates+chunk.Usage.Thoughts)
	if reason := chunk.Feedback.BlockReason; reason != "" {
		return &Error{Kind: Blocked, Message: "prompt blocked: " + reason}
	}
	for _, c := range chunk.Candidates {
		if c.Index != 0 {
			continue
		}
		for _, p := range c.Content.Parts {
			// The stop reason came with each chunk from some models and proxies:
			// what ends the stream is one with no text behind it.
			a.stopped = a.stopped && p.Text == ""
			if p.Thought {
				a.think(p.Text)
			} else if err := a.text(p.Text); err != nil {
				return err
			}
		}
		if c.FinishReason != "" {
			if err := a.stop(c.FinishReason, geminiStops); err != nil {
				return err
			}
		}
	}
	return nil
}

// end: there is no terminal event but the chunk with the stop reason, and then
// the stream ends cleanly.
func (geminiFormat) end(a *answer) error {
	if a.stopped {
		return nil
	}
	return &Error{Kind: Cut, Message: "no finishReason"}
}

type geminiError struct {
	Message string `json:"message"`
	Status  string `json:"status"`
	Details []struct {
		Reason     string `json:"reason"`     // of google.rpc.ErrorInfo
		RetryDelay string `json:"retryDelay"` // of google.rpc.RetryInfo, like "34.07s"
	} `json:"details"`
}

func (geminiFormat) failure(status int, body []byte) *Error {
	type envelope struct {
		Error *geminiError `json:"error"`
	}
	var one envelope
	if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("[")) {
		var many []envelope
		if json.Unmarshal(body, &many) == nil && len(many) > 0 {
			one = many[0]
		}
	} else if json.Unmarshal(body, &one) != nil {
		return nil
	}
	if one.Error == nil {
		return nil
	}
	return one.Error.kind(status)
}

func (e *geminiError) kind(status int) *Error {
	words := []string{e.Status}
	var after time.Duration
	for _, d := range e.Details {
		words = append(words, d.Reason)
		if delay, err := time.ParseDuration(d.RetryDelay); err == nil {
			after = bounded(delay)
		}
	}
	return &Error{Kind: kindOf(status, words...), RetryAfter: after, Message: e.Status + ": " + e.Message}
}
