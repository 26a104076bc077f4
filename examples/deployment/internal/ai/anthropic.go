package ai

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

// anthropicFormat is the Messages API, version 2023-06-01.
type anthropicFormat struct{ Endpoint }

// turn is a message of Anthropic and DeepSeek.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func (f anthropicFormat) request(c conversation, maxTokens int) (string, http.Header, any) {
	header := http.Header{}
	header.Set("X-Api-Key", string(f.Key))
	header.Set("Anthropic-Version", "2023-06-01")
	return "/v1/messages", header, struct {
		Model     string `json:"model"`
		MaxTokens int    `json:"max_tokens"`
		System    string `json:"system,omitempty"`
		Messages  []turn `json:"messages"`
		Stream    bool   `json:"stream"`
	}{f.Model, maxTokens, c.system, turns(c), true}
}

func turns(c conversation) []turn {
	all := make([]turn, len(c.turns))
	for i, m := range c.turns {
		all[i] = turn(m)
	}
	return all
}

type anthropicUsage struct {
	Input      int64 `json:"input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	Output     int64 `json:"output_tokens"` // cumulative
}

type anthropicEvent struct {
	Type    string `json:"type"`
	Message struct {
		Usage anthropicUsage `json:"usage"`
	} `json:"message"`
	Block struct {
		Text string `json:"text"`
	} `json:"content_block"`
	Delta struct {
		Type       string `json:"type"`
		Text       string `json:"text"`
		Thinking   string `json:"thinking"`
		StopReason string `json:"stop_reason"`
	} `json:"delta"`
	Usage anthropicUsage `json:"usage"`
	Error anthropicError `json:"error"`
}

type anthropicError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Details struct {
		Code string `json:"error_code"`
	} `json:"details"`
}

var anthropicStops = map[string]string{
	"end_turn": StopEnd, "stop_sequence": StopEnd,
	"max_tokens": StopLength, "model_context_window_exceeded": StopLength,
	"refusal": string(Blocked),
}

func (f anthropicFormat) event(ev sse.Event, a *answer) error {
	var e anthropicEvent
	if err := json.Unmarshal(ev.Data, &e); err != nil {
		return &Error{Kind: Malformed, Err: err}
	}
	switch e.Type { // the event's name says the same
	case "message_start":
		a.spent(e.Message.Usage.Input+e.Message.Usage.CacheWrite+e.Message.Usage.CacheRead, e.Message.Usage.Output)
	case "content_block_start":
		return a.text(e.Block.Text) // empty, as far as is known
	case "content_block_delta":
		if e.Delta.Type == "text_delta" {
			return a.text(e.Delta.Text)
		}
		a.think(e.Delta.Thinking)
	case "message_delta":
		a.spent(e.Usage.Input+e.Usage.CacheWrite+e.Usage.CacheRead, e.Usage.Output)
		if e.Delta.StopReason != "" {
			return a.stop(e.Delta.StopReason, anthropicStops)
		}
	case "message_stop":
		a.done = a.stopped
		return f.end(a)
	case "error":
		return e.Error.kind(http.StatusOK)
	}
	return nil // ping, content_block_stop, and what comes in years to come
}

func (anthropicFormat) end(a *answer) error {
	if a.done {
		return nil
	}
	return &Error{Kind: Cut, Message: "no message_stop with a stop reason"}
}

func (anthropicFormat) failure(status int, body []byte) *Error {
	var e struct {
		Error anthropicError `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error.Type == "" {
		return nil
	}
	return e.Error.kind(status)
}

// noMoney are the ways to say that the account is empty or at the limit that its
// owner set. They come as invalid_request_error (400) and rate_limit_error (429),
// but to wait does not help, and the request is in order.
var noMoney = []string{"credit balance", "API usage limits", "enforced_spend_limit_reached"}

func (e anthropicError) kind(status int) *Error {
	kind := kindOf(status, e.Type)
	for _, words := range noMoney {
		if strings.Contains(e.Message, words) || e.Details.Code == words {
			kind = Account
		}
	}
	return &Error{Kind: kind, Message: e.Type + ": " + e.Message}
}
