package gatehouse_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
)

func TestConfigErrorReadsPackageFieldValueReason(t *testing.T) {
	for _, c := range []struct {
		err  gatehouse.ConfigError
		want string
	}{
		{
			gatehouse.ConfigError{Package: "corsx", Field: "Origins[1]", Value: "https://x/", Reason: `has a path; did you mean "https://x"?`},
			`corsx: Origins[1] "https://x/": has a path; did you mean "https://x"?`,
		},
		{gatehouse.ConfigError{Package: "ratelimit", Field: "KeySecret", Reason: "is shorter than 16 bytes"}, `ratelimit: KeySecret: is shorter than 16 bytes`},
		{gatehouse.ConfigError{Package: "spa", Value: "dist", Reason: "is no directory"}, `spa: "dist": is no directory`},
		{gatehouse.ConfigError{Package: "spa", Reason: "needs a file system"}, `spa: needs a file system`},
		{
			gatehouse.ConfigError{Package: "p", Field: "F", Value: "a\"b\x00\nc\u202ed\xff", Reason: "r"},
			`p: F "a\"b\x00\nc\u202ed\xff": r`, // nothing of a value can write into a terminal or a log
		},
	} {
		assert.Equal(t, c.want, c.err.Error())
	}
}

func TestConfigErrorCutsALongValueBetweenCharacters(t *testing.T) {
	exact := (&gatehouse.ConfigError{Package: "p", Field: "F", Value: strings.Repeat("x", 128), Reason: "r"}).Error()
	assert.Equal(t, `p: F "`+strings.Repeat("x", 128)+`": r`, exact)
	long := (&gatehouse.ConfigError{Package: "p", Field: "F", Value: strings.Repeat("x", 127) + "é" + strings.Repeat("y", 1<<20), Reason: "r"}).Error()
	assert.Equal(t, `p: F "`+strings.Repeat("x", 127)+`...": r`, long)
	assert.True(t, utf8.ValidString(long))
}

func TestConfigErrorIsFoundInAJoinedError(t *testing.T) {
	joined := fmt.Errorf("start: %w", errors.Join(errors.New("other"), &gatehouse.ConfigError{Package: "p", Field: "F", Reason: "r"}))
	var ce *gatehouse.ConfigError
	require.ErrorAs(t, joined, &ce)
	assert.Equal(t, "F", ce.Field)
}

// mark notes that a request went in and its answer came out.
func mark(name string, log *[]string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			*log = append(*log, name)
			next.ServeHTTP(w, r)
			*log = append(*log, "/"+name)
		})
	}
}

func TestChainPutsTheFirstOutermost(t *testing.T) {
	var log []string
	h := gatehouse.Chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { log = append(log, "handler") }),
		mark("a", &log), mark("b", &log), mark("c", &log))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Equal(t, "a b c handler /c /b /a", strings.Join(log, " "))
}

func TestChainWithoutMiddlewareIsTheHandler(t *testing.T) {
	mux := http.NewServeMux()
	assert.Same(t, mux, gatehouse.Chain(mux))
}

func TestChainWrapsOnceAndKeepsNothingOfTheSlice(t *testing.T) {
	var log []string
	wrapped := 0
	count := func(next http.Handler) http.Handler { wrapped++; return next }
	mw := []func(http.Handler) http.Handler{count, mark("a", &log)}
	h := gatehouse.Chain(http.NotFoundHandler(), mw...)
	mw[0], mw[1] = nil, nil
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}
	assert.Equal(t, 1, wrapped)
	assert.Len(t, log, 6)
}

func TestChainPanicsAtStartUpOnNil(t *testing.T) {
	var log []string
	assert.PanicsWithValue(t, "gatehouse: Chain: the handler is nil; for the default mux pass http.DefaultServeMux",
		func() { gatehouse.Chain(nil, mark("a", &log)) })
	assert.PanicsWithValue(t, "gatehouse: Chain: middleware 1 is nil",
		func() { gatehouse.Chain(http.NotFoundHandler(), mark("a", &log), nil, mark("c", &log)) })
	assert.PanicsWithValue(t, "gatehouse: Chain: middleware 1 returned a nil handler",
		func() {
			gatehouse.Chain(http.NotFoundHandler(), mark("a", &log), func(http.Handler) http.Handler { return nil })
		})
}

func ExampleChain() {
	stamp := func(name string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Println(name, "sees the request")
				next.ServeHTTP(w, r)
			})
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(http.ResponseWriter, *http.Request) { fmt.Println("the route answers") })

	h := gatehouse.Chain(mux, stamp("outer"), stamp("inner"))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output:
	// outer sees the request
	// inner sees the request
	// the route answers
}
