package routers

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
)

// Gorilla stands inside the stack: its own Use would leave out the requests that
// match no route.
func Gorilla(stack ...func(http.Handler) http.Handler) http.Handler {
	r := mux.NewRouter()
	r.Use(gorillaRoute)
	r.HandleFunc("/api/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		item(w, mux.Vars(r)["id"])
	}).Methods(http.MethodGet)
	return gatehouse.Chain(r, stack...)
}

// gorillaRoute tells the log line which route it was.
func gorillaRoute(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if template, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
			correlation.SetRoute(r.Context(), template)
		}
		next.ServeHTTP(w, r)
	})
}
