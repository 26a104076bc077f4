package corsx

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
)

// The response headers that decide whether an answer is shared.
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowMethods     = "Access-Control-Allow-Methods"
	exposeHeaders    = "Access-Control-Expose-Headers"
)

// What answers depend on.
const (
	varyActual    = "Origin"
	varyEnforced  = "Origin, Sec-Fetch-Site"
	varyPreflight = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
)

// engine asks rs/cors what to answer. It is asked in New, once for each kind of
// answer, about requests that this package makes up: an answer to an allowed
// origin is the same for all of them but for the origin in it. So nothing that
// a client sends reaches rs/cors, and none of the slices that rs/cors shares
// between its answers reaches a response.
type engine struct {
	cors     *cors.Cors
	methods  []string
	reqNames string
}

// sample stands for an allowed origin in the requests that rs/cors is asked
// about. It is no origin that New accepts.
const sample = "https://origin.invalid."

func newEngine(cfg Config, methods, reqNames, exposed []string) engine {
	o := cors.Options{
		AllowOriginVaryRequestFunc: func(*http.Request, string) (bool, []string) { return true, nil },
		AllowedMethods:             methods,
		AllowedHeaders:             reqNames,
		ExposedHeaders:             exposed,
		MaxAge:                     int(cfg.MaxAge / time.Second),
		AllowCredentials:           cfg.Credentials,
	}
	if cfg.MaxAge < 0 {
		o.MaxAge = -1
	}
	return engine{cors.New(o), methods, strings.Join(reqNames, ",")}
}

// ask returns the headers that rs/cors sets for a request.
func (e engine) ask(method string, request http.Header) http.Header {
	w := headerWriter{}
	request["Origin"] = []string{sample}
	e.cors.HandlerFunc(w, &http.Request{Method: method, Header: request})
	return http.Header(w)
}

// actual is the answer to a request from an allowed origin.
func (e engine) actual() answer {
	return newAnswer(e.ask(http.MethodGet, http.Header{}))
}

// preflight is the answer to a preflight that is granted. It names everything
// that the Config allows, not only what the preflight asked for: browsers
// remember each method and header by itself, so the next request with another
// one needs no preflight of its own.
func (e engine) preflight() answer {
	var h http.Header
	var granted []string
	for _, m := range e.methods {
		request := http.Header{"Access-Control-Request-Method": {m}}
		if e.reqNames != "" {
			request["Access-Control-Request-Headers"] = []string{e.reqNames}
		}
		h = e.ask(http.MethodOptions, request)
		granted = append(granted, h[allowMethods]...)
	}
	h[allowMethods] = []string{strings.Join(granted, ", ")}
	return newAnswer(h)
}

// headerWriter is a response of which only the headers matter.
type headerWriter http.Header

func (w headerWriter) Header() http.Header         { return http.Header(w) }
func (w headerWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w headerWriter) WriteHeader(int)             {}

// answer is a set of response headers. Its first is Vary and its second
// Access-Control-Allow-Origin; their values come with the request.
type answer struct {
	names  []string
	values []string
}

func newAnswer(h http.Header) answer {
	delete(h, "Vary")
	delete(h, allowOrigin)
	a := answer{names: []string{"Vary", allowOrigin}, values: []string{"", ""}}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		a.names = append(a.names, name)
		a.values = append(a.values, h[name][0])
	}
	return a
}

// write puts the answer into h: values in an array made for this response,
// each in a slice of its own without room behind it, so that whatever a handler
// does to one of them stays in this response.
func (a *answer) write(h http.Header, vary, origin string) {
	v := append([]string(nil), a.values...)
	v[0], v[1] = vary, origin
	first := 0
	if len(h) > 0 && len(h["Vary"]) > 0 {
		first = 1
		addVary(h, vary)
	}
	for i := first; i < len(v); i++ {
		h[a.names[i]] = v[i : i+1 : i+1]
	}
}

// size is the length of the answer on HTTP/1 with an origin of n bytes.
func (a *answer) size(n int) int {
	n += len("HTTP/1.1 204 No Content\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n" + varyPreflight)
	for i, name := range a.names {
		n += len(name) + len(": \r\n") + len(a.values[i])
	}
	return n
}

// strip removes what a layer outside this one has set: only the Config decides
// who reads the answer.
func strip(h http.Header) {
	if len(h) == 0 {
		return
	}
	delete(h, allowOrigin)
	delete(h, allowCredentials)
	delete(h, exposeHeaders)
}

// addVary merges the names, if any, into Vary.
func addVary(h http.Header, names string) {
	switch {
	case names == "":
	case len(h) == 0 || len(h["Vary"]) == 0:
		h["Vary"] = []string{names}
	case names == varyActual:
		headervalue.AddVary(h, varyActual)
	default:
		headervalue.AddVary(h, strings.Split(names, ", ")...)
	}
}
