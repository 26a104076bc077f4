// Package mistakes collects the errors of a Config, so that New can return all
// of them at once.
package mistakes

import (
	"errors"
	"fmt"

	"github.com/gatehouse-go/gatehouse"
)

// List holds the mistakes found so far in one package's Config. Make it with
// [In]. It is not safe for concurrent use.
type List struct {
	pkg  string
	errs []error
}

// In returns an empty list for the named package.
func In(pkg string) *List { return &List{pkg: pkg} }

// Add records a mistake: the field ("Origins[1]"), the value as given ("" for
// none or for a secret) and the reason with the repair in it.
func (l *List) Add(field, value, reason string, args ...any) {
	if len(args) > 0 {
		reason = fmt.Sprintf(reason, args...)
	}
	l.errs = append(l.errs, &gatehouse.ConfigError{Package: l.pkg, Field: field, Value: value, Reason: reason})
}

// Append records errors of another kind (spa's build errors) beside the
// mistakes; nil is ignored.
func (l *List) Append(err error) {
	if err != nil {
		l.errs = append(l.errs, err)
	}
}

// Len tells how many mistakes there are, so that a caller can see whether a
// step added any.
func (l *List) Len() int { return len(l.errs) }

// Err joins all mistakes; nil where there are none.
func (l *List) Err() error { return errors.Join(l.errs...) }
