package ai

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

// deepseekFormat is chat completions as DeepSeek speaks it, which many others do.
type deepseekFormat struct{ Endpoint }

func (f deepseekFormat) request(c conversation, maxTokens int) (string, http.Header, any) {
	header := http.Header{}
	header.Set("Authorization", "Bearer "+string(f.Key))
	messages := turns(c)
	if c.system != "" {
		messages = append([]turn{{System, c.system}}, messages...)
	}
	return "/chat/completions", header, struct {
		Model     string          `json:"model"`
		MaxTokens int             `json:"max_tokens"`
		Messages  []turn          `json:"messages"`
		Stream    bool            `json:"stream"`
		Options   map[string]bool `json:"stream_options"`
	}{f.Model, maxTokens, messages, true, map[string]bool{"include_usage": true}}
}

type deepseekChunk struct {
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	} `json:"usage"`
	Error *deepseekError `json:"error"`
}

var deepseekStops = map[string]string{
	"stop": StopEnd, "length": StopLength,
	"content_filter":               string(Blocked),
	"insufficient_system_resource": string(Overloaded),
}

func (f deepseekFormat) event(ev sse.Event, a *answer) error {
	if string(bytes.TrimSpace(ev.Data)) == "[DONE]" {
		a.done = a.stopped
		return f.end(a)
	}
	var chunk deepseekChunk
	if err := json.Unmarshal(ev.Data, &chunk); err != nil {
		return &Error{Kind: Malformed, Err: err}
	}
	if chunk.Error != nil {
		return chunk.Error.kind(http.StatusOK)
	}
	a.spent(chunk.Usage.Prompt, chunk.Usage.Completion) // in the last chunk or one of its own
	for _, c := range chunk.Choices {
		if c.Index != 0 {
			continue
		}
		if c.Delta.Reasoning != "" {
			a.think(c.Delta.Reasoning)
		}
		if err := a.text(c.Delta.Content); err != nil {
			return err
		}
		if c.FinishReason != "" {
			if err := a.stop(c.FinishReason, deepseekStops); err != nil {
				return err
			}
		}
	}
	return nil
}

func (deepseekFormat) end(a *answer) error {
	if a.done {
		return nil
	}
	return &Error{Kind: Cut, Message: "no [DONE] with a finish_reason"}
}

type deepseekError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    any    `json:"code"` // a word, a number or null
}

func (deepseekFormat) failure(status int, body []byte) *Error {
	var e struct {
		Error *deepseekError `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == nil {
		return nil
	}
	return e.Error.kind(status)
}

func (e *deepseekError) kind(status int) *Error {
	words := []string{e.Type}
	if code, ok := e.Code.(string); ok {
		words = append(words, code)
	}
	if e.Message == "Model Not Exist" { // with status 400
		words = append(words, "not_found_error")
	}
	return &Error{Kind: kindOf(status, words...), Message: e.Type + ": " + e.Message}
}
