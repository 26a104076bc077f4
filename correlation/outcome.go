package correlation

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Outcome is how a request ended, for Config.Level.
type Outcome struct {
	// Status is the status that was written: 200 where the handler wrote none.
	// 0 where the client got no status from us: a hijacked connection, an abort
	// or a panic that is passed on before the header.
	Status int
	// Bytes of the body that net/http took; 0 for HEAD.
	Bytes int64
	// TTFB is the time to the header, 0 where there was none.
	TTFB time.Duration
	// Duration is the time until the handler returned: of a stream, all of it.
	Duration time.Duration
	// Error is what the line calls error.type: one of the Error constants, else
	// the status from 500 on ("503"), else "".
	Error string
	// Slow tells that Duration exceeded SlowAfter and that this is no stream.
	Slow bool
}

// The values of error.type beside the statuses from 500 on.
const (
	// ErrorPanic is a panic of the handler.
	ErrorPanic = "panic"
	// ErrorAborted is http.ErrAbortHandler, which httputil.ReverseProxy panics
	// with when its backend breaks off, or runtime.Goexit.
	ErrorAborted = "aborted"
	// ErrorTimeout is a request whose context passed its deadline before the
	// answer was complete, or a write beyond the server's WriteTimeout.
	ErrorTimeout = "timeout"
	// ErrorClientGone is a request whose context was cancelled before the answer
	// was complete: the client left, or the server is being closed. A status from
	// 500 on is that of a handler which was cancelled; one that was sent before
	// the client left stays what it is.
	ErrorClientGone = "client_gone"
)

func (x *exchange) outcome(c *crash) Outcome {
	o := Outcome{Status: x.w.Status(), Bytes: x.w.Bytes(), TTFB: x.ttfb, Duration: time.Since(x.start)}
	if o.Status == 0 && x.returned && !x.w.Hijacked() {
		o.Status = http.StatusOK
	}
	if x.method == http.MethodHead {
		o.Bytes = 0 // net/http takes them and sends none
	}
	o.Error = x.errorType(c, o)
	after := x.mw.slowAfter
	o.Slow = after > 0 && o.Duration > after && !x.stream && !x.w.Hijacked()
	return o
}

func (x *exchange) errorType(c *crash, o Outcome) string {
	switch {
	case c != nil:
		return ErrorPanic
	case !x.returned:
		return ErrorAborted
	case x.w.Hijacked():
		return ""
	case errors.Is(x.w.Err(), os.ErrDeadlineExceeded):
		return ErrorTimeout
	case x.Err() != nil && !x.complete(o) && errors.Is(context.Cause(x.Context), context.DeadlineExceeded):
		return ErrorTimeout
	case x.Err() != nil && !x.complete(o) && (x.gone || o.Status < 500):
		return ErrorClientGone
	case o.Status >= 500:
		return strconv.Itoa(o.Status)
	}
	return ""
}

// complete tells whether the client may have had all of the answer before the
// context ended: many close the connection as soon as they have it, while the
// handler still tidies up. They know its end by its Content-Length only.
func (x *exchange) complete(o Outcome) bool {
	if x.gone {
		return false
	}
	if x.method == http.MethodHead || o.Status == http.StatusNoContent || o.Status == http.StatusNotModified {
		return true
	}
	n, err := strconv.ParseInt(x.w.Header().Get("Content-Length"), 10, 64)
	return err == nil && o.Bytes >= n
}

func defaultLevel(o Outcome) slog.Level {
	switch {
	case o.Error == ErrorPanic || o.Status >= 500 && o.Error != ErrorClientGone:
		return slog.LevelError
	case o.Slow:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
