package chat

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/api"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// Failures beside the kinds of package ai.
const (
	failureTooLong = "too_long"
	failureDeleted = "deleted"
	failureOther   = "error"
)

// A problem is the event "failed", and what a client gets in place of an answer:
// RFC 9457 with the time to wait and the message as it is saved.
type problem struct {
	Title      string       `json:"title"`
	Status     int          `json:"status"`
	Detail     string       `json:"detail"`
	RetryAfter int64        `json:"retry_after,omitempty"` // seconds
	Message    *api.Message `json:"message,omitempty"`
}

// failures are the words of a row's failure and what users are told. Nothing of
// what a provider said goes to them: it is in the log.
var failures = map[string]struct {
	status int
	detail string
}{
	word(ai.RateLimited): {503, "The AI service has too much to do. Try again shortly."},
	word(ai.Overloaded):  {503, "The AI service has too much to do. Try again shortly."},
	word(ai.Unreachable): {503, "The AI service cannot be reached. Try again shortly."},
	word(ai.TimedOut):    {504, "The AI service took too long. Try again."},
	word(ai.Cut):         {502, "The AI service broke off. Try again."},
	word(ai.Malformed):   {502, "The AI service gave an answer that cannot be read."},
	word(ai.InBand):      {502, "The AI service failed. Try again."},
	word(ai.Account):     {502, "The AI service refused this application. Its operator has to look into it."},
	word(ai.Rejected):    {422, "The AI service does not take this conversation. It may be too long."},
	word(ai.Blocked):     {422, "The AI service does not answer this."},
	data.Interrupted:     {503, "The answer was interrupted. Ask again."},
	failureTooLong:       {502, "The answer became too long and was ended."},
	failureDeleted:       {410, "The message was deleted."},
	failureOther:         {500, "Something went wrong. Try again."},
}

func word(k ai.Kind) string { return strings.ReplaceAll(string(k), " ", "_") }

// failureOf says what an error of the call, or the cause of its end, makes of the
// answer.
func failureOf(err error) (state, failure string, retryAfter time.Duration) {
	var e *ai.Error
	switch {
	case errors.Is(err, errStopped), errors.Is(err, errNobody):
		return data.Stopped, "", 0
	case errors.Is(err, errDraining), errors.Is(err, errLost):
		return data.Failed, data.Interrupted, 0
	case errors.Is(err, errTooLong):
		return data.Failed, failureTooLong, 0
	case errors.As(err, &e):
		if e.Kind.Temporary() && e.RetryAfter == 0 {
			return data.Failed, word(e.Kind), 5 * time.Second
		}
		return data.Failed, word(e.Kind), e.RetryAfter
	}
	return data.Failed, failureOther, 0
}

// problemOf is for an answer that has failed.
func problemOf(e *ending) problem {
	f, ok := failures[e.message.Failure]
	if !ok { // of another release
		f = failures[failureOther]
	}
	p := problem{
		Title: http.StatusText(f.status), Status: f.status, Detail: f.detail,
		RetryAfter: int64((e.retryAfter + time.Second - 1) / time.Second),
	}
	if !e.takenBack {
		m := api.MessageOf(e.message)
		p.Message = &m
	}
	return p
}
