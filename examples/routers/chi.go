package routers

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// Chi takes the middleware as it is; it runs for unknown routes too.
func Chi(stack ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(stack...)
	r.Get("/api/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		item(w, chi.URLParam(r, "id"))
	})
	return r
}
