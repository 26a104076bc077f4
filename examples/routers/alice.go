package routers

import (
	"net/http"

	"github.com/justinas/alice"
)

// Alice is another chain, around the standard mux.
func Alice(stack ...func(http.Handler) http.Handler) http.Handler {
	chain := alice.New()
	for _, mw := range stack {
		chain = chain.Append(alice.Constructor(mw))
	}
	return chain.Then(Std())
}
