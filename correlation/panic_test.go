package correlation_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/correlation"
)

const internalErrorBody = `{"title":"Internal Server Error","status":500}` + "\n"

// halfDone has set everything a page sets before it fails.
func halfDone(w http.ResponseWriter, _ *http.Request) {
	for name, value := range map[string]string{
		"Content-Type": "text/html", "Content-Length": "12345", "Content-Encoding": "gzip", "Content-Language": "de",
		"Content-Range": "bytes 0-1/2", "Content-Location": "/x", "Content-Disposition": "attachment", "Accept-Ranges": "bytes",
		"Etag": `"v1"`, "Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT", "Expires": "0", "Cache-Control": "public, max-age=3600",
		"CDN-Cache-Control": "max-age=3600", "Cloudflare-CDN-Cache-Control": "max-age=3600", "Surrogate-Control": "max-age=3600",
		"Set-Cookie": "session=secret", "Trailer": "X-T", "Location": "/account", "Refresh": "0; url=/account",
		"Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "https://app.example", "Vary": "Origin",
		"Retry-After": "3",
	} {
		w.Header().Set(name, value)
	}
	panic(errBoom)
}

func TestAPanicIsAnsweredWithTheIDAndWithoutTheHalfSetAnswer(t *testing.T) {
	rec, line := serve(t, correlation.Config{}, get("/"), halfDone)
	id := line["correlation_id"].(string)
	assert.Equal(t, 500, rec.Code)
	assert.Equal(t, internalErrorBody, rec.Body.String())
	assert.Equal(t, http.Header{
		"Content-Type": {"application/problem+json"}, "Content-Length": {fmt.Sprint(len(internalErrorBody))},
		"Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Correlation-Id": {id},
		"Strict-Transport-Security": {"max-age=1"}, "Access-Control-Allow-Origin": {"https://app.example"}, "Vary": {"Origin"},
		"Retry-After": {"3"},
	}, rec.Header())

	assert.Equal(t, "ERROR", line["level"])
	assert.Equal(t, "panic", line["error.type"])
	assert.EqualValues(t, 500, line["http.response.status_code"])
	assert.Equal(t, "*errors.errorString", line["exception.type"])
	assert.Equal(t, "boom", line["exception.message"])
	assert.Contains(t, line["exception.stacktrace"], "correlation_test.halfDone")
}

func TestAPanicAfterTheHeaderBreaksTheConnection(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"buffered": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "half"); panic("boom") },
		"copied": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("half")})
			panic("boom")
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic("boom")
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, l := server(t, correlation.Config{}, h)
			var noise strings.Builder
			srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(&noise, nil), slog.LevelInfo)
			srv.Start()
			answer := raw(t, srv.Listener.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			assert.NotContains(t, answer, "\r\n0\r\n", "half a body must not look whole")
			assert.NotContains(t, answer, "Internal Server Error")
			line := l.wait(t, 1)[0]
			assert.EqualValues(t, 200, line["http.response.status_code"])
			assert.EqualValues(t, 4, line["http.response.body.size"])
			assert.Equal(t, "panic", line["error.type"])
			assert.Equal(t, "ERROR", line["level"])
			assert.Contains(t, line["exception.stacktrace"], "TestAPanicAfterTheHeader")
			srv.Close()
			assert.Empty(t, noise.String(), "the stack is logged once, by us")
		})
	}
}

// recovered serves and returns what was panicked.
func recovered(h http.Handler, w http.ResponseWriter) (v any) {
	defer func() { v = recover() }()
	h.ServeHTTP(w, get("/"))
	return nil
}

func TestAbortsArePassedOnAndLogged(t *testing.T) {
	for _, mode := range []correlation.PanicMode{correlation.PanicsTo500, correlation.PanicsRepanic} {
		for _, write := range []bool{false, true} {
			l, logger := newLogs()
			rec := httptest.NewRecorder()
			v := recovered(build(t, correlation.Config{Logger: logger, Panics: mode}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if write {
					_, _ = io.WriteString(w, "half")
				}
				panic(http.ErrAbortHandler)
			})), rec)
			assert.Equal(t, http.ErrAbortHandler, v)
			line := l.one(t)
			assert.Equal(t, "aborted", line["error.type"])
			assert.Equal(t, "INFO", line["level"])
			assert.NotContains(t, line, "exception.stacktrace")
			if write {
				assert.EqualValues(t, 200, line["http.response.status_code"])
				assert.EqualValues(t, 4, line["http.response.body.size"])
			} else {
				assert.NotContains(t, line, "http.response.status_code", "the client got none")
				assert.NotContains(t, line, "ttfb")
			}
		}
	}
}

func TestPanicsRepanic(t *testing.T) {
	l, logger := newLogs()
	rec := httptest.NewRecorder()
	v := recovered(build(t, correlation.Config{Logger: logger, Panics: correlation.PanicsRepanic}).Handler(http.HandlerFunc(halfDone)), rec)
	assert.Equal(t, errBoom, v)
	line := l.one(t)
	assert.Equal(t, "panic", line["error.type"])
	assert.Equal(t, "ERROR", line["level"])
	assert.Contains(t, line["exception.stacktrace"], "halfDone")
	assert.NotContains(t, line, "http.response.status_code", "a recoverer outside decides about it")
	assert.Equal(t, "gzip", rec.Header().Get("Content-Encoding"), "the answer is left alone")
}

type nasty struct{}

func (nasty) Error() string { panic("again") }

func TestOddPanicValues(t *testing.T) {
	for name, value := range map[string]any{
		"nil": nil, "uncomparable": []int{1}, "an error that panics": nasty{}, "a map": map[string]int{"a": 1},
		"a nil pointer's error": (*http.MaxBytesError)(nil), "1 MB": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			rec, line := serve(t, correlation.Config{}, get("/"), func(http.ResponseWriter, *http.Request) { panic(value) })
			assert.Equal(t, 500, rec.Code)
			assert.Equal(t, "panic", line["error.type"])
			assert.LessOrEqual(t, len(line["exception.message"].(string)), 1027)
		})
	}
}

func TestAPanicInTheConfigIsAnsweredToo(t *testing.T) {
	crash := func(*http.Request) bool { panic("boom") }
	for name, cfg := range map[string]correlation.Config{
		"Trust":    {Trust: crash},
		"ClientIP": {ClientIP: func(*http.Request) netip.Addr { panic("boom") }},
	} {
		r := get("/")
		r.Header.Set("X-Correlation-ID", "abc")
		rec, line := serve(t, cfg, r, func(http.ResponseWriter, *http.Request) { t.Error("next was called") })
		assert.Equal(t, 500, rec.Code, name)
		assert.Equal(t, []string{line["correlation_id"].(string)}, rec.Header()["X-Correlation-Id"])
		assert.Regexp(t, uuidV4, line["request_id"])
	}
}

func TestGoexitIsLoggedAsAborted(t *testing.T) {
	l, logger := newLogs()
	h := build(t, correlation.Config{Logger: logger}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }))
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), get("/"))
	}()
	<-done
	assert.Equal(t, "aborted", l.one(t)["error.type"])
}

func TestAPanickingUploadLeavesNoFileAndTheRoute(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /x/{id}", func(http.ResponseWriter, *http.Request) { panic("boom") })
	r := httptest.NewRequest(http.MethodPost, "/x/1", nil)
	_, line := serve(t, correlation.Config{}, r, mux.ServeHTTP)
	assert.Equal(t, "/x/{id}", line["http.route"])
	require.Equal(t, "POST /x/{id}", r.Pattern)
}
