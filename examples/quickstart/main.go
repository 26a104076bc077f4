// Quickstart is all six packages around a small API, a stream and a built
// single-page app: one file, no configuration needed.
//
//	go run ./examples/quickstart
//
// Environment: PORT (8000), ALLOWED_HOSTS (localhost,127.0.0.1,[::1]), CORS_ORIGINS,
// RATE_LIMIT (100/minute), PLATFORM (none, railway, render, ...).
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/forwarded"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

//go:embed all:dist
var dist embed.FS

func main() {
	slog.SetDefault(slog.New(correlation.NewLogHandler(slog.NewJSONHandler(os.Stderr, nil))))
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	handler, err := newHandler(stop, os.Getenv)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "8000")) // every interface: a platform's proxy comes from outside
	if err != nil {
		return err
	}
	fmt.Printf("http://localhost:%d/\n", ln.Addr().(*net.TCPAddr).Port)
	srv := &http.Server{Handler: handler, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	drained := make(chan error, 1)
	// Requests finish, WriteTimeout at the latest; streams watch stop themselves.
	context.AfterFunc(stop, func() { drained <- srv.Shutdown(context.Background()) })
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}

// newHandler builds the stack; its error lists every mistake, by the variable's name.
func newHandler(stop context.Context, env func(string) string) (http.Handler, error) {
	var errs []error
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, errors.New(name+": "+strings.ReplaceAll(err.Error(), "\n", "\n"+name+": ")))
		}
	}
	_, err := strconv.ParseUint(cmp.Or(env("PORT"), "8000"), 10, 16)
	check("PORT", err)
	proxies, err := forwarded.Platform(cmp.Or(env("PLATFORM"), "none"))
	check("PLATFORM", err)
	client, err := forwarded.New(proxies)
	check("PLATFORM", err)
	ids, err := correlation.New(correlation.Config{ClientIP: client.ClientIP})
	check("correlation", err)
	headers, err := secheaders.New(secheaders.Config{HTTPS: client.HTTPS})
	check("secheaders", err)
	hosts, err := trustedhost.New(trustedhost.Config{
		Hosts:       strings.Split(cmp.Or(env("ALLOWED_HOSTS"), "localhost,127.0.0.1,[::1]"), ","),
		ExemptPaths: []string{"/health"}, // probed by address, or by the platform's own name
	})
	check("ALLOWED_HOSTS", err)
	origins, err := corsx.ParseOrigins(env("CORS_ORIGINS"))
	check("CORS_ORIGINS", err)
	cross, err := corsx.New(corsx.Config{Origins: origins, ExposedHeaders: append(ratelimit.ExposedHeaders(), "X-Correlation-ID")})
	check("CORS_ORIGINS", err)
	limits, err := ratelimit.Parse(cmp.Or(env("RATE_LIMIT"), "100/minute"))
	check("RATE_LIMIT", err)
	wider := slices.Clone(limits)
	for i := range wider { // a page is many files
		wider[i].Requests *= 10
	}
	isAPI := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }
	isFile := func(r *http.Request) bool { return !isAPI(r) && r.URL.Path != "/health" } // probes are free
	limiter, err := ratelimit.New(ratelimit.Config{
		Rules:    []ratelimit.Rule{{Name: "api", Limits: limits, Match: isAPI}, {Name: "files", Limits: wider, Match: isFile}},
		ClientIP: client.ClientIP,
	})
	check("RATE_LIMIT", err)
	build, _ := fs.Sub(dist, "dist") // fails only for an invalid name
	app, err := spa.New(spa.Config{FS: build})
	check("spa", err)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return gatehouse.Chain(app.Handler(routes(stop)), // a route wins over the app
		ids.Handler,     // every answer below has an ID and a log line, rejected ones too
		headers.Handler, // every answer below carries the headers, rejected ones too
		hosts.Handler,   // nothing below sees a forged host
		cross.Handler,   // preflights cost no token; a 429 is readable by the browser
		limiter.Handler, // only requests that could be served spend tokens
	), nil
}

func routes(stop context.Context) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /api/ping", func(w http.ResponseWriter, r *http.Request) {
		slog.InfoContext(r.Context(), "pong") // this line carries the correlation ID
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"pong":true}`)
	})
	mux.HandleFunc("GET /api/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; i < 5 && r.Context().Err() == nil; i++ {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprintf(w, "id: %d\ndata: tick %d\n\n", i, i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done(): // the client left
			case <-stop.Done():
				return
			}
		}
	})
	return mux
}
