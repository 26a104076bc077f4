package routers

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// Stack returns the middleware of an API in the recommended order, outermost
// first, with `limit` API requests a minute for each client.
func Stack(log *slog.Logger, limit int64) ([]func(http.Handler) http.Handler, error) {
	ids, err1 := correlation.New(correlation.Config{Logger: log})
	headers, err2 := secheaders.New(secheaders.API())
	hosts, err3 := trustedhost.New(trustedhost.Config{Hosts: []string{"api.example.com"}})
	cross, err4 := corsx.New(corsx.Config{
		Origins: []string{"https://app.example.com"}, Methods: []string{http.MethodPut},
	})
	limiter, err5 := ratelimit.New(ratelimit.Config{Rules: []ratelimit.Rule{{
		Name:   "api",
		Limits: []ratelimit.Limit{{Requests: limit, Per: time.Minute}},
		Match:  func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") },
	}}})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	return []func(http.Handler) http.Handler{
		ids.Handler, headers.Handler, hosts.Handler, cross.Handler, limiter.Handler,
	}, nil
}

// item is the application: the same in every router.
func item(w http.ResponseWriter, id string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "item "+id)
}
