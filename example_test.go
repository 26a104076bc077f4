package gatehouse_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing/fstest"
	"time"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// All six packages in the recommended order. examples/quickstart is the same
// as a program.
func Example() {
	// must is for start-up, where a mistake in a Config must stop the program.
	ids, err := correlation.New(correlation.Config{Logger: slog.New(slog.DiscardHandler)})
	must(err)
	headers, err := secheaders.New(secheaders.Default())
	must(err)
	hosts, err := trustedhost.New(trustedhost.Config{Hosts: []string{"api.example.com"}})
	must(err)
	cross, err := corsx.New(corsx.Config{Origins: []string{"https://app.example.com"}})
	must(err)
	limiter, err := ratelimit.New(ratelimit.Config{Rules: []ratelimit.Rule{{
		Name:   "all",
		Limits: []ratelimit.Limit{{Requests: 2, Per: time.Hour}},
	}}})
	must(err)
	app, err := spa.New(spa.Config{FS: fstest.MapFS{
		"index.html": {Data: []byte("<!doctype html><title>App</title>")},
	}})
	must(err)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/ping", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "pong")
	})
	handler := gatehouse.Chain(app.Handler(mux),
		ids.Handler, headers.Handler, hosts.Handler, cross.Handler, limiter.Handler)

	ask := func(host, path string) {
		r := httptest.NewRequest(http.MethodGet, "https://"+host+path, nil)
		r.Header.Set("Origin", "https://app.example.com")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
		fmt.Println("  has an ID:", w.Header().Get("X-Correlation-ID") != "",
			"/ HSTS:", w.Header().Get("Strict-Transport-Security") != "",
			"/ readable by the app:", w.Header().Get("Access-Control-Allow-Origin") != "")
	}
	ask("api.example.com", "/api/ping")
	ask("attacker.example", "/api/ping")
	ask("api.example.com", "/settings") // a route of the app
	ask("api.example.com", "/api/ping")
	// Output:
	// 200 text/plain; charset=utf-8
	//   has an ID: true / HSTS: true / readable by the app: true
	// 400 application/problem+json
	//   has an ID: true / HSTS: true / readable by the app: false
	// 200 text/html; charset=utf-8
	//   has an ID: true / HSTS: true / readable by the app: true
	// 429 application/problem+json
	//   has an ID: true / HSTS: true / readable by the app: true
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
