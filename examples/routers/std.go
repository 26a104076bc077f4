package routers

import (
	"net/http"

	"github.com/gatehouse-go/gatehouse"
)

// Std is the standard mux.
func Std(stack ...func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		item(w, r.PathValue("id"))
	})
	return gatehouse.Chain(mux, stack...)
}
