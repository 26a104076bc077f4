// Package gatehouse is the ground floor of a set of small, independent
// net/http middleware packages that harden a web service on a PaaS.
//
// # The packages
//
//   - [github.com/gatehouse-go/gatehouse/correlation]: IDs, the access log, panics
//   - [github.com/gatehouse-go/gatehouse/secheaders]: HSTS, CSP and the rest
//   - [github.com/gatehouse-go/gatehouse/trustedhost]: host validation
//   - [github.com/gatehouse-go/gatehouse/corsx]: CORS that cannot be misconfigured
//   - [github.com/gatehouse-go/gatehouse/ratelimit]: token buckets, in memory or in Redis
//   - [github.com/gatehouse-go/gatehouse/spa]: single-page-app serving
//   - [github.com/gatehouse-go/gatehouse/forwarded]: the client's address, scheme
//     and host behind trusted proxies
//
// # One convention
//
// Every middleware package has the same face:
//
//	mw, err := trustedhost.New(trustedhost.Config{Hosts: []string{"api.example.com"}})
//	if err != nil { ... }          // every mistake in the Config, at once
//	handler := mw.Handler(next)    // func(http.Handler) http.Handler
//
// Config is a plain struct, passed by value and compiled by New; changing it
// afterwards changes nothing. New returns every mistake at once, as [ConfigError]
// values under [errors.Join], and repairs nothing silently. Fields that weaken
// security begin with Insecure and their comment names the attack. A Middleware
// is safe for concurrent use.
//
// The packages do not import each other. They meet through plain function types:
// a limiter takes func(*http.Request) netip.Addr, the headers take
// func(*http.Request) bool, and a forwarded.Resolver has methods of these shapes.
//
// # The order
//
// Outermost first, and why each stands where it does:
//
//	correlation   every answer has an ID and a log line, rejected ones too; a panic becomes a 500
//	secheaders    every answer carries the headers, rejected ones too
//	trustedhost   the first check that can refuse: nothing behind it sees a forged host
//	corsx         preflights cost no token, and a 429 is readable by the browser
//	ratelimit     only requests that could be served spend tokens
//	mux, spa      API routes, then the app: a route always wins over the fallback
//
// Each package is correct in any position. This order is the one in which a
// refusal by one of them is still logged, hardened and readable; the tests of
// this package prove each of the reasons.
package gatehouse

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Chain wraps h in the given middleware, the first outermost: it sees a request
// first and its answer last.
//
//	handler := gatehouse.Chain(mux, ids.Handler, headers.Handler, hosts.Handler)
//
// Chain does its work once; what it returns is h wrapped by plain function
// calls. A nil handler, a nil middleware or one that returns nil is a mistake in
// the program and panics here, at start-up, rather than at the first request.
func Chain(h http.Handler, mw ...func(http.Handler) http.Handler) http.Handler {
	if h == nil {
		panic("gatehouse: Chain: the handler is nil; for the default mux pass http.DefaultServeMux")
	}
	for i := len(mw) - 1; i >= 0; i-- {
		if mw[i] == nil {
			panic(fmt.Sprintf("gatehouse: Chain: middleware %d is nil", i))
		}
		if h = mw[i](h); h == nil {
			panic(fmt.Sprintf("gatehouse: Chain: middleware %d returned a nil handler", i))
		}
	}
	return h
}

// ConfigError is one mistake in a Config. New of every package returns all
// mistakes at once under [errors.Join]; reach them with [errors.As], or with
// Unwrap() []error for each.
type ConfigError struct {
	// Package is the package whose Config is wrong: "corsx".
	Package string
	// Field names the field, with its index or key: "Origins[1]". Empty where
	// the mistake is in no single field.
	Field string
	// Value is the offending value. Error quotes it and cuts it after 128 bytes.
	// Empty for secrets and where there is none to show.
	Value string
	// Reason says what is wrong and how to repair it.
	Reason string
}

// maxShown bounds the part of a value that Error repeats.
const maxShown = 128

// Error reads like
//
//	corsx: Origins[1] "https://x/": has a path; did you mean "https://x"?
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString(e.Package)
	b.WriteString(": ")
	if e.Field != "" {
		b.WriteString(e.Field)
		if e.Value != "" {
			b.WriteByte(' ')
		}
	}
	if e.Value != "" {
		v := e.Value
		if len(v) > maxShown {
			v = strings.ToValidUTF8(v[:maxShown], "") + "..."
		}
		b.WriteString(strconv.Quote(v))
	}
	if e.Field != "" || e.Value != "" {
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}
