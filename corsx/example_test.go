package corsx_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/corsx"
)

func Example() {
	cors, err := corsx.New(corsx.Config{
		Origins:        []string{"https://app.example.com"},
		Methods:        []string{"PUT", "DELETE"},
		RequestHeaders: []string{"Authorization", "Content-Type"},
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	api := http.NewServeMux()
	api.HandleFunc("PUT /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "saved", r.PathValue("id"))
	})
	handler := cors.Handler(api) // around the mux, not around single routes

	preflight := httptest.NewRequest("OPTIONS", "/items/7", nil)
	preflight.Header.Set("Origin", "https://app.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "PUT")
	preflight.Header.Set("Access-Control-Request-Headers", "authorization")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, preflight)
	fmt.Println(w.Code, w.Header().Get("Access-Control-Allow-Origin"), w.Header().Get("Access-Control-Allow-Headers"))

	foreign := httptest.NewRequest("GET", "/items/7", nil) // this path knows PUT only
	foreign.Header.Set("Origin", "https://attacker.example")
	w = httptest.NewRecorder()
	handler.ServeHTTP(w, foreign)
	fmt.Println(w.Code, w.Header().Get("Vary"), w.Header()["Access-Control-Allow-Origin"])
	// Output:
	// 204 https://app.example.com authorization,content-type
	// 405 Origin []
}

// Every mistake comes at once, each with the right spelling.
func ExampleNew() {
	_, err := corsx.New(corsx.Config{
		Origins:        []string{"https://App.example.com/", "http://example.com", "*"},
		Subdomains:     []string{"https://*.up.railway.app"},
		Methods:        []string{"patch"},
		RequestHeaders: []string{"Cookie"},
		MaxAge:         600,
	})
	fmt.Println(err)
	var mistake *gatehouse.ConfigError
	fmt.Println(errors.As(err, &mistake), mistake.Field)
	// Output:
	// corsx: Origins[0] "https://App.example.com/": ends in a slash; did you mean "https://app.example.com"?
	// corsx: Origins[1] "http://example.com": is http outside loopback: whoever is on the path can speak in its name; did you mean "https://example.com"?
	// corsx: Origins[2] "*": would let every site read the answers; list each origin, like "https://app.example.com"
	// corsx: Subdomains[0] "https://*.up.railway.app": is a public suffix: anybody can register a name below it; list your own names
	// corsx: Methods[0] "patch": is not in upper case, and methods are case-sensitive; did you mean "PATCH"?
	// corsx: RequestHeaders[0] "Cookie": is a header that no page can set (Fetch standard, "forbidden request-header"); leave it out, for cookies set Credentials
	// corsx: MaxAge "600ns": is less than a second; did you mean 600 * time.Second?
	// true Origins[0]
}

func ExampleParseOrigins() {
	origins, err := corsx.ParseOrigins("https://app.example.com, http://localhost:5173")
	fmt.Printf("%q %v\n", origins, err)
	_, err = corsx.ParseOrigins("app.example.com,")
	fmt.Println(err)
	// Output:
	// ["https://app.example.com" "http://localhost:5173"] <nil>
	// corsx: Origins[0] "app.example.com": has no scheme; did you mean "https://app.example.com"?
	// corsx: Origins[1]: is empty; leave it out, an empty list allows no cross-origin caller
}

// The classic mistake: around one route, the middleware never sees OPTIONS.
func ExampleMiddleware_Handler_incorrect() {
	cors, _ := corsx.New(corsx.Config{Origins: []string{"https://app.example.com"}, Methods: []string{"PUT"}})
	mux := http.NewServeMux()
	mux.Handle("PUT /items", cors.Handler(http.NotFoundHandler())) // wrong: wrap the mux

	preflight := httptest.NewRequest("OPTIONS", "/items", nil)
	preflight.Header.Set("Origin", "https://app.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "PUT")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, preflight)
	fmt.Println("wrong:", w.Code, w.Header()["Access-Control-Allow-Origin"])

	w = httptest.NewRecorder()
	cors.Handler(mux).ServeHTTP(w, preflight)
	fmt.Println("right:", w.Code, w.Header()["Access-Control-Allow-Origin"])
	// Output:
	// wrong: 405 []
	// right: 204 [https://app.example.com]
}

// Enforce also refuses what CORS does not cover: the request itself, and
// WebSockets. OnDecision tells a log or a metric why.
func ExampleConfig_enforce() {
	cors, err := corsx.New(corsx.Config{
		Origins: []string{"https://app.example.com"},
		Enforce: true,
		OnDecision: func(r *http.Request, d corsx.Decision) {
			fmt.Println(d.Kind, d.Reason, d.Origin)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	upgrade := httptest.NewRequest("GET", "https://api.example.com/socket", nil)
	upgrade.Header.Set("Connection", "Upgrade")
	upgrade.Header.Set("Upgrade", "websocket")
	upgrade.Header.Set("Origin", "https://attacker.example")
	w := httptest.NewRecorder()
	cors.Handler(http.NotFoundHandler()).ServeHTTP(w, upgrade)
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output:
	// actual origin-denied https://attacker.example
	// 403 application/problem+json
}
