package auth

import (
	"context"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// WithUser puts a user into the context as Authenticate does: for tests of what
// stands behind it, and jobs that act for a user.
func WithUser(ctx context.Context, u data.User) context.Context {
	return context.WithValue(ctx, userKey{}, u)
}
