package ai

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

// What a hostile or broken upstream can make us hold or read.
const (
	maxEvent = 1 << 20  // one event of the stream
	maxText  = 1 << 20  // the text of an answer, some 250 000 tokens
	maxBody  = 64 << 20 // everything that is read of one answer
	maxError = 64 << 10 // the body of an answer that is an error
)

// format is what differs between the vendors.
type format interface {
	// request returns the path below the base URL, the headers with the key, and
	// the body to be marshalled.
	request(c conversation, maxTokens int) (path string, header http.Header, body any)
	// event takes one event of the stream into the answer.
	event(ev sse.Event, a *answer) error
	// end is asked when the stream ended without an error; nil if that is the
	// terminal event.
	end(a *answer) error
	// failure reads the body of an error.
	failure(status int, body []byte) *Error
}

// answer is what has come of a stream.
type answer struct {
	Result
	emit    func(string) error
	started func() // the model works: text or thoughts came
	done    bool   // the terminal event came
	stopped bool   // a stop reason came
	bytes   int
	thought int // bytes of thoughts, which are paid for too
}

// text passes a piece on.
func (a *answer) text(s string) error {
	if s == "" {
		return nil
	}
	a.started()
	if a.bytes += len(s); a.bytes > maxText {
		return &Error{Kind: Malformed, Message: "more text than any answer has"}
	}
	if err := a.emit(s); err != nil {
		return emitError{err}
	}
	return nil
}

// think takes note of thoughts, which nobody is shown.
func (a *answer) think(s string) {
	a.started()
	a.thought += len(s)
}

// unsaid is for a call whose vendor has not told what it cost: most tell at the
// end. Who asks for long thoughts and leaves before the first word would think for
// nothing. A token has some three bytes or more.
func (a *answer) unsaid(err error) {
	if a.thought > 0 && (err != nil || a.Usage.Output == 0) {
		a.spent(0, int64(a.thought+a.bytes+2)/3)
	}
}

// stop takes the vendor's reason through a table of those that this package
// knows. An unknown one is an error: it may mean that the text is not whole.
func (a *answer) stop(reason string, known map[string]string) error {
	a.stopped = true
	switch word := known[reason]; word {
	case StopEnd, StopLength:
		a.StopReason = word
		return nil
	case "":
		return &Error{Kind: InBand, Message: "stopped for the reason " + reason}
	default:
		return &Error{Kind: Kind(word), Message: "stopped for the reason " + reason}
	}
}

// emitError marks what the caller's emit returned.
type emitError struct{ error }

// The causes with which a call's context ends by itself.
var (
	errFirstByte = errors.New("no text within FirstByte")
	errIdle      = errors.New("silent for Idle")
	errTotal     = errors.New("not over within Total")
)

// vendor makes calls in one format.
type vendor struct {
	name     string
	endpoint Endpoint
	settings Settings
	client   *http.Client
	format   format
}

func (v *vendor) Name() string { return v.name }

func (v *vendor) Stream(parent context.Context, req Request, emit func(string) error) (Result, error) {
	a := &answer{Result: Result{Provider: v.name, Model: v.endpoint.Model}, emit: emit}
	c, err := converse(req)
	if err != nil {
		return a.Result, &Error{Provider: v.name, Kind: Rejected, Message: err.Error()}
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	total := time.AfterFunc(v.settings.Total, func() { cancel(errTotal) })
	defer total.Stop()
	first := time.AfterFunc(v.settings.FirstByte, func() { cancel(errFirstByte) })
	defer first.Stop()
	a.started = func() { first.Stop() }

	status, err := v.call(ctx, cancel, c, cmp.Or(req.MaxTokens, v.settings.MaxTokens), a)
	a.unsaid(err)
	return a.Result, v.explain(parent, ctx, status, err)
}

// call makes the request and reads its answer.
func (v *vendor) call(ctx context.Context, cancel context.CancelCauseFunc, c conversation, maxTokens int, a *answer) (status int, err error) {
	r, err := v.request(ctx, c, maxTokens)
	if err != nil {
		return 0, err
	}
	resp, err := v.client.Do(r)
	if err != nil {
		return 0, &Error{Kind: Unreachable, Err: err}
	}
	// Closing a body that was not read to its end closes the connection, or the
	// HTTP/2 stream: the vendor learns that nobody listens.
	defer resp.Body.Close()
	body := &watched{src: resp.Body, idle: v.settings.Idle, left: maxBody}
	body.timer = time.AfterFunc(v.settings.Idle, func() { cancel(errIdle) })
	defer body.timer.Stop()
	if err := v.refused(resp, body); err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, v.read(body, a)
}

// read takes events until the terminal one.
func (v *vendor) read(body io.Reader, a *answer) error {
	events := sse.NewReader(body, maxEvent)
	for !a.done {
		ev, err := events.Next()
		switch {
		case err == nil:
			err = v.format.event(ev, a)
		case err == io.EOF: //nolint:errorlint // that of Next itself: a clean end
			if err = v.ended(events.Rest(), a); err == nil {
				a.done = true
			}
		case errors.Is(err, sse.ErrTooLong), errors.Is(err, errEndless):
			err = &Error{Kind: Malformed, Err: err}
		default:
			err = &Error{Kind: Cut, Err: err}
		}
		if err != nil {
			return err
		}
	}
	if a.bytes == 0 {
		return &Error{Kind: InBand, Message: "an answer without text, stopped for the reason " + a.StopReason}
	}
	return nil
}

// ended looks at a stream that ended cleanly.
func (v *vendor) ended(rest []byte, a *answer) error {
	if len(rest) > 0 {
		if e := v.format.failure(http.StatusOK, rest); e != nil {
			return e
		}
		return &Error{Kind: Cut, Message: "ended with something that is no event"}
	}
	return v.format.end(a)
}

// explain puts the true reason in place of what the closed connection said.
func (v *vendor) explain(parent, ctx context.Context, status int, err error) error {
	if err == nil {
		return nil
	}
	var own emitError
	if errors.As(err, &own) {
		return own.error
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: Malformed, Err: err}
	}
	broken := e.Kind == Unreachable || e.Kind == Cut
	switch cause := context.Cause(ctx); {
	case broken && parent.Err() != nil:
		return context.Cause(parent)
	case broken && cause != nil:
		e = &Error{Kind: TimedOut, Err: cause}
	}
	e.Provider, e.Status = v.name, status
	e.Message = clean(e.Message, v.endpoint.Key)
	if e.Err != nil {
		e.Err = cleanError{e.Err, clean(e.Err.Error(), v.endpoint.Key)}
	}
	return e
}

var errEndless = errors.New("the answer does not end")

// watched is a body that must not be silent for long, nor endless.
type watched struct {
	src   io.Reader
	timer *time.Timer
	idle  time.Duration
	left  int64
}

func (w *watched) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, errEndless
	}
	w.timer.Reset(w.idle) // and not while emit works
	n, err := w.src.Read(p[:min(int64(len(p)), w.left)])
	w.timer.Stop()
	w.left -= int64(n)
	return n, err
}

// spent keeps the highest count that was told: vendors send totals, some in every
// event, and a count below zero would be a gift to whoever pays by it.
func (a *answer) spent(input, output int64) {
	const most = 1 << 40
	a.Usage.Input = max(a.Usage.Input, min(input, most))
	a.Usage.Output = max(a.Usage.Output, min(output, most))
}
