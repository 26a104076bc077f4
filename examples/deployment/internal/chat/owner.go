package chat

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// A job is one answer that this process writes.
type job struct {
	*answer
	question, message data.Message
	request           ai.Request
	budget            *budget
	began             time.Time
}

// run calls the provider and sees the answer to its end, whatever happens: saved,
// paid, its place free, its readers told, in this order. Whoever is told can ask
// the next question at once.
func (h *Hub) run(ctx context.Context, j *job) {
	result, err := h.call(ctx, j)
	end, usage := h.ending(ctx, j, result, err)
	if end.takenBack {
		err = h.Data.CancelAnswer(context.WithoutCancel(ctx), j.question, j.message)
	} else {
		err = h.save(ctx, end.message)
	}
	if err != nil {
		// The row stays as last saved, and is interrupted, or will count as that.
		end.message.State, end.message.Failure = data.Failed, data.Interrupted
		if !errors.Is(err, data.ErrNotFound) { // deleted, or taken over
			h.Log.ErrorContext(ctx, "an answer was not saved", "error", err)
		}
	}
	if err := j.budget.settle(usage.Input + usage.Output); err != nil {
		h.Log.WarnContext(ctx, "an answer was not booked", "error", err, "input_tokens", usage.Input, "output_tokens", usage.Output)
	}
	h.release(j.message.ID, j.answer)
	j.finish(end)
}

// call is the paid call, with the row kept up to date beside it. A panic in it is
// an error of this answer, not the end of the process and of all others.
func (h *Hub) call(ctx context.Context, j *job) (result ai.Result, err error) {
	done := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { h.keep(ctx, j, done) })
	defer keeper.Wait() // what it saves must not come after the end
	defer close(done)
	defer func() {
		if v := recover(); v != nil {
			h.Log.ErrorContext(ctx, "panic in a provider", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = errors.New("panic")
		}
	}()
	return h.Provider.Stream(ctx, j.request, func(text string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if j.len()+len(text) > maxText {
			return errTooLong
		}
		j.add(storable(text))
		return nil
	})
}

// storable replaces what no database keeps; models do say such things.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// keep saves what there is, and does what the row asks for.
func (h *Hub) keep(ctx context.Context, j *job, done <-chan struct{}) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	watched := j.message.WatchedAt
	away := false
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		row, err := h.Data.SaveAnswer(context.WithoutCancel(ctx), j.message.ID, j.String())
		switch {
		case errors.Is(err, data.ErrNotFound):
			j.stop(errLost)
		case err != nil && !away:
			h.Log.WarnContext(ctx, "an answer cannot be saved now", "error", err)
		case err == nil && row.StopAsked:
			j.stop(errStopped)
		case err == nil && !row.WatchedAt.Equal(watched): // by another clock than ours: only that it changes counts
			watched = row.WatchedAt
			j.watchedElsewhere()
		}
		away = err != nil
		if j.unwatched() > grace {
			j.stop(errNobody)
		}
	}
}

// ending decides what has become of the answer and what it has cost.
func (h *Hub) ending(ctx context.Context, j *job, result ai.Result, err error) (*ending, ai.Usage) {
	end := &ending{message: j.message, stopReason: result.StopReason}
	m := &end.message
	m.Content, m.Provider, m.Model = j.String(), result.Provider, result.Model
	ours := ctx.Err() != nil || errors.Is(err, errTooLong)
	usage := spent(result.Usage, j.request, len(m.Content), err == nil, ours)
	if ours && m.Content == "" {
		usage = h.silence(usage, time.Since(j.began))
	}
	m.InputTokens, m.OutputTokens = usage.Input, usage.Output

	m.State, m.Failure = data.Done, ""
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		m.State, m.Failure, end.retryAfter = failureOf(err)
	}
	end.takenBack = m.State == data.Failed && j.takeBack()
	log := []any{
		"state", m.State, "provider", m.Provider, "model", m.Model, "stop_reason", end.stopReason,
		"input_tokens", usage.Input, "output_tokens", usage.Output, "duration", time.Since(j.began).Round(time.Millisecond).String(),
	}
	if m.State == data.Failed {
		h.Log.WarnContext(ctx, "answer", append(log, "error", err)...)
	} else {
		h.Log.InfoContext(ctx, "answer", log...)
	}
	return end, usage
}

// save tries for as long as the row counts as ours: the text was paid for.
func (h *Hub) save(ctx context.Context, m data.Message) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), data.Abandoned)
	defer cancel()
	for {
		err := h.Data.EndAnswer(ctx, m)
		if !data.Unavailable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(saveEvery):
		}
	}
}
