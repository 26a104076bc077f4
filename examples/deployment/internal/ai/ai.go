package ai

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The roles of a Message.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct{ Role, Content string }

// Request is a conversation that ends with the user's turn.
//
// Turns without text (an answer that failed before its first word) are left out,
// turns of one role in a row are joined, and answers before the user's first turn
// are dropped: each vendor refuses one of these.
type Request struct {
	Messages []Message
	// MaxTokens of the answer; 0: Settings.MaxTokens.
	MaxTokens int
}

// Usage is what a call cost, in tokens.
type Usage struct{ Input, Output int64 }

// The stop reasons of an answer that is whole, in the words of this package. Every
// other end is an Error.
const (
	StopEnd    = "end"        // the model had said everything
	StopLength = "max_tokens" // the answer was cut at MaxTokens or the model's window
)

// Result says who answered, why the answer ended and what it cost. Beside an error
// it holds what was known until then: a call that failed was often paid for.
type Result struct {
	Provider, Model, StopReason string
	// Usage of all attempts, those that failed before a fallback answered too.
	Usage Usage
}

// Provider answers requests. Implementations are safe for concurrent use.
type Provider interface {
	// Name is "anthropic", "gemini", "deepseek", "echo", or several with commas.
	Name() string
	// Stream makes one paid call, gives emit each piece of text in order and
	// returns nil only after the terminal event of a stream that held text. It is
	// never retried. An error of emit ends the call and is returned as it is; the
	// end of ctx closes the connection at once and its cause is returned. All other
	// errors are of type *Error.
	//
	// The correlation ID is that of ctx: see New.
	Stream(ctx context.Context, req Request, emit func(text string) error) (Result, error)
}

// Kind is what went wrong, as far as it decides what to do next.
type Kind string

// The kinds. All but Rejected and Blocked let the next provider try, as long as no
// text was emitted.
const (
	// RateLimited is a 429: RetryAfter says how long to wait, if the vendor did.
	RateLimited Kind = "rate limited"
	// Overloaded is any 5xx (529 too) and its in-band forms.
	Overloaded Kind = "overloaded"
	// Unreachable: no answer came, because of DNS, TLS or a broken connection.
	Unreachable Kind = "unreachable"
	// TimedOut: one of the times of Settings was over.
	TimedOut Kind = "timed out"
	// Cut: the stream ended without its terminal event.
	Cut Kind = "cut"
	// Malformed: the answer is not what the vendor documents, or is too large.
	Malformed Kind = "malformed"
	// InBand is an error within the stream that is none of the other kinds.
	InBand Kind = "in-band error"
	// Account: the key, the balance, the model's name or the region was refused.
	// The operator has to act; another vendor's account may be in order.
	Account Kind = "account refused"
	// Rejected: the request itself (too long, malformed). The next vendor would
	// say the same.
	Rejected Kind = "request rejected"
	// Blocked: a vendor's policy stopped the question or the answer. Asking the
	// next one would be shopping for the laxest.
	Blocked Kind = "blocked by policy"
)

// elsewhere tells whether another vendor could help.
func (k Kind) elsewhere() bool { return k != Rejected && k != Blocked }

// Temporary tells whether the same request may succeed later: 503 with
// Retry-After, where 502 or 422 would be right for the others.
func (k Kind) Temporary() bool {
	switch k {
	case RateLimited, Overloaded, Unreachable, TimedOut, Cut, InBand:
		return true
	}
	return false
}

// Error is why a call failed. It never holds a key, and holds nothing of what
// users wrote unless the vendor quoted it: it is for the log, not for users.
type Error struct {
	// Provider is whose error it is; several with commas if all of them failed,
	// with their own errors in Err.
	Provider string
	Kind     Kind
	// Status of the HTTP answer: 200 for an error within the stream, 0 where there
	// was no answer.
	Status int
	// RetryAfter as the vendor told it, at most 24 hours; 0: not told.
	RetryAfter time.Duration
	// Message is the vendor's text: foreign, printable, at most 300 bytes.
	Message string
	Err     error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ai: %s: %s", e.Provider, e.Kind)
	if e.Status != 0 && e.Status != http.StatusOK {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Key is an API key that no log, error or dump prints.
type Key string

// String is "[redacted]", or "" where there is none.
func (k Key) String() string {
	if k == "" {
		return ""
	}
	return "[redacted]"
}

// GoString keeps %#v from printing it.
func (k Key) GoString() string { return `"` + k.String() + `"` }

// LogValue keeps slog from printing it.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps JSON from printing it.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
