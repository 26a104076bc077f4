package ai

import (
	"context"
	"errors"
	"strings"
)

// fallback asks its providers in order until one emits text.
type fallback []Provider

func (f fallback) Name() string {
	names := make([]string, len(f))
	for i, p := range f {
		names[i] = p.Name()
	}
	return strings.Join(names, ",")
}

func (f fallback) Stream(ctx context.Context, req Request, emit func(string) error) (Result, error) {
	var result Result
	var spent Usage
	var failed []*Error
	for _, p := range f {
		emitted := false
		var err error
		result, err = p.Stream(ctx, req, func(text string) error {
			emitted = true
			return emit(text)
		})
		spent.Input += result.Usage.Input
		spent.Output += result.Usage.Output
		result.Usage = spent
		var e *Error
		if emitted || !errors.As(err, &e) {
			return result, err // a success, the caller's own error, or too late to change
		}
		failed = append(failed, e)
		if !e.Kind.elsewhere() {
			break
		}
	}
	return result, joined(failed)
}

// joined is the one error of all that were tried: the last, unless an earlier one
// gives more hope.
func joined(failed []*Error) error {
	last := failed[len(failed)-1]
	if len(failed) == 1 || !last.Kind.elsewhere() {
		return last
	}
	one := &Error{Kind: last.Kind, Status: last.Status}
	names := make([]string, len(failed))
	all := make([]error, len(failed))
	for i, e := range failed {
		names[i], all[i] = e.Provider, e
		if e.Kind.Temporary() && !one.Kind.Temporary() {
			one.Kind, one.Status = e.Kind, e.Status
		}
		if e.RetryAfter > 0 && (one.RetryAfter == 0 || e.RetryAfter < one.RetryAfter) {
			one.RetryAfter = e.RetryAfter
		}
	}
	one.Provider, one.Err = strings.Join(names, ","), errors.Join(all...)
	return one
}
