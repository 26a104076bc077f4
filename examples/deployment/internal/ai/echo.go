package ai

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// echo says the user's last words again, one by one. It costs nothing, needs no
// key and no network: for development and for tests of what is around it.
type echo struct {
	delay     time.Duration
	maxTokens int
}

func (echo) Name() string { return Echo }

func (p echo) Stream(ctx context.Context, req Request, emit func(string) error) (Result, error) {
	result := Result{Provider: Echo, Model: Echo}
	c, err := converse(req)
	if err != nil {
		return result, &Error{Provider: Echo, Kind: Rejected, Message: err.Error()}
	}
	for _, t := range c.turns {
		result.Usage.Input += int64(len(strings.Fields(t.Content))) // a word is a token here
	}
	for word := range strings.SplitAfterSeq(c.turns[len(c.turns)-1].Content, " ") {
		if err := sleep(ctx, p.delay); err != nil {
			return result, err
		}
		if result.Usage.Output >= int64(cmp.Or(req.MaxTokens, p.maxTokens)) {
			result.StopReason = StopLength
			return result, nil
		}
		if word == "" {
			continue // after a space at the end
		}
		if err := emit(word); err != nil {
			return result, err
		}
		result.Usage.Output++
	}
	result.StopReason = StopEnd
	return result, nil
}

// sleep returns early, with the cause, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
