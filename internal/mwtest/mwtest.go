// Package mwtest is the behaviour suite that every middleware of the module
// passes: what a handler and a server may expect of something that stands
// between them.
package mwtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Middleware is the shape of every Handler method.
type Middleware = func(http.Handler) http.Handler

// Suite describes a middleware under test.
type Suite struct {
	// New builds it with a Config that lets Pass through. Mutate, which may be
	// nil, then changes everything of that Config that can be changed from
	// outside: slices, maps, pointers.
	New func(t testing.TB) (mw Middleware, mutate func())
	// Pass makes a request that must reach the next handler, with this URL and
	// method GET; nil adds nothing to a plain one. It is also sent over real
	// sockets, so it must work with the URL of a test server on loopback.
	Pass func(method, url string) *http.Request
	// Reject makes a request that the middleware answers itself; nil where it
	// answers none.
	Reject func() *http.Request
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Pass == nil {
		s.Pass = func(method, url string) *http.Request {
			return httptest.NewRequest(method, url, nil)
		}
	}
	t.Run("next is called once, and never for a rejected request", s.nextOnce)
	t.Run("status, body and headers of next arrive unchanged", s.transparent)
	t.Run("a real server's flush, hijack, sendfile and deadlines stay reachable", s.controller)
	t.Run("no header slice is shared between requests", s.noSharedSlices)
	t.Run("Vary is added to, never replaced", s.vary)
	t.Run("http.ErrAbortHandler passes through", s.abort)
	t.Run("a changed Config changes nothing", s.configCopied)
	t.Run("64 goroutines", s.concurrent)
}

func (s Suite) build(t testing.TB) Middleware {
	t.Helper()
	mw, _ := s.New(t)
	return mw
}

func (s Suite) get() *http.Request { return s.Pass(http.MethodGet, "http://127.0.0.1/") }

func (s Suite) nextOnce(t *testing.T) {
	calls := 0
	h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusTeapot)
	}))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, s.get())
	if calls != 1 || rec.Code != http.StatusTeapot {
		t.Errorf("accepted: next called %d times, status %d; want once and 418", calls, rec.Code)
	}
	if s.Reject == nil {
		return
	}
	calls = 0
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, s.Reject())
	if calls != 0 || rec.Code == http.StatusTeapot {
		t.Errorf("rejected: next called %d times, status %d", calls, rec.Code)
	}
}

func (s Suite) transparent(t *testing.T) {
	h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Handler", "its own")
		w.Header().Set("Etag", `"v1"`)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
	}))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, s.Pass(method, "http://127.0.0.1/a/b"))
		if rec.Code != http.StatusAccepted || rec.Body.String() != method+" /a/b" ||
			rec.Header().Get("X-Handler") != "its own" || rec.Header().Get("Etag") != `"v1"` {
			t.Errorf("%s: got %d %q %v", method, rec.Code, rec.Body, rec.Header())
		}
	}
}

// abilities lists what a writer can do.
func abilities(w http.ResponseWriter) string {
	var can []string
	if _, ok := w.(http.Flusher); ok {
		can = append(can, "Flusher")
	}
	if _, ok := w.(http.Hijacker); ok {
		can = append(can, "Hijacker")
	}
	if _, ok := w.(io.ReaderFrom); ok {
		can = append(can, "ReaderFrom")
	}
	rc := http.NewResponseController(w)
	if rc.SetReadDeadline(time.Now().Add(time.Minute)) == nil {
		can = append(can, "SetReadDeadline")
	}
	if rc.SetWriteDeadline(time.Now().Add(time.Minute)) == nil {
		can = append(can, "SetWriteDeadline")
	}
	if rc.Flush() == nil {
		can = append(can, "Flush")
	}
	return strings.Join(can, " ")
}

func (s Suite) controller(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			var got string
			probe := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = abilities(w) })
			bare := s.ask(t, probe, proto, &got)
			if wrapped := s.ask(t, s.build(t)(probe), proto, &got); wrapped != bare {
				t.Errorf("behind the middleware a handler can %q, without it %q", wrapped, bare)
			}
		})
	}
	t.Run("hijack", func(t *testing.T) {
		h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Errorf("Hijack: %v", err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 299 Mine\r\nContent-Length: 2\r\n\r\nok")
		}))
		var serving sync.WaitGroup // Server.Close does not wait for hijacked connections
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			serving.Add(1)
			defer serving.Done()
			h.ServeHTTP(w, r)
		}))
		defer srv.Close()
		resp := s.send(t, srv.Client(), srv.URL)
		serving.Wait()
		if resp.StatusCode != 299 || len(resp.Header) != 1 {
			t.Errorf("a hijacked connection must carry only what the handler wrote: %d %v", resp.StatusCode, resp.Header)
		}
	})
}

// ask serves h on a real socket and returns what the probe saw.
func (s Suite) ask(t *testing.T, h http.Handler, proto string, got *string) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = proto == "HTTP/2.0"
	srv.StartTLS()
	defer srv.Close()
	*got = "(next was not called)"
	if resp := s.send(t, srv.Client(), srv.URL); resp.Proto != proto {
		t.Fatalf("spoke %s, want %s", resp.Proto, proto)
	}
	return *got
}

func (s Suite) send(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	req := s.Pass(http.MethodGet, url+"/")
	req.RequestURI = ""
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func (s Suite) noSharedSlices(t *testing.T) {
	h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range w.Header() {
			if cap(v) != len(v) {
				t.Errorf("%s: cap %d, len %d: a handler's Add would write into the next value", name, cap(v), len(v))
			}
		}
	}))
	makers := []func() *http.Request{s.get}
	if s.Reject != nil {
		makers = append(makers, s.Reject)
	}
	for _, mk := range makers {
		first, second := httptest.NewRecorder(), httptest.NewRecorder()
		h.ServeHTTP(first, mk())
		want := first.Header().Clone()
		h.ServeHTTP(second, mk())
		for name, v := range first.Header() {
			if o := second.Header()[name]; len(v) > 0 && len(o) > 0 && &v[0] == &o[0] {
				t.Errorf("%s: two responses share one slice", name)
			}
			for i := range v {
				v[i] = "overwritten by a handler"
			}
		}
		third := httptest.NewRecorder()
		h.ServeHTTP(third, mk())
		for name := range want {
			if slices.Contains(third.Header()[name], "overwritten by a handler") {
				t.Errorf("%s: a handler that writes into its headers changes a later response", name)
			}
		}
	}
}

func (s Suite) vary(t *testing.T) {
	h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Vary", "X-Inner")
	}))
	rec := httptest.NewRecorder()
	rec.Header()["Vary"] = []string{"X-Outer"}
	h.ServeHTTP(rec, s.get())
	all := strings.Join(rec.Header()["Vary"], ",")
	if !strings.Contains(all, "X-Outer") || !strings.Contains(all, "X-Inner") {
		t.Errorf("Vary is %q, want X-Outer and X-Inner kept", all)
	}
	if s.Reject == nil {
		return
	}
	rec = httptest.NewRecorder()
	rec.Header()["Vary"] = []string{"X-Outer"}
	h.ServeHTTP(rec, s.Reject())
	if all := strings.Join(rec.Header()["Vary"], ","); !strings.Contains(all, "X-Outer") {
		t.Errorf("rejected: Vary is %q, want X-Outer kept", all)
	}
}

func (s Suite) abort(t *testing.T) {
	h := s.build(t)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler", v)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), s.get())
}

// outcome is what a client would see of a request. Headers that are random per
// request are told apart by their number only.
func (s Suite) outcome(h http.Handler, r *http.Request) string {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	names := make([]string, 0, len(rec.Header()))
	for name, v := range rec.Header() {
		names = append(names, fmt.Sprintf("%s*%d", name, len(v)))
	}
	slices.Sort(names)
	return fmt.Sprintf("%d %v %s", rec.Code, names, rec.Body)
}

func (s Suite) configCopied(t *testing.T) {
	mw, mutate := s.New(t)
	h := mw(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	before := s.outcome(h, s.get())
	if mutate != nil {
		mutate()
	}
	if after := s.outcome(h, s.get()); after != before {
		t.Errorf("before the change: %s\nafter it: %s", before, after)
	}
	if s.Reject == nil {
		return
	}
	mw, mutate = s.New(t)
	h = mw(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if mutate != nil {
		mutate()
	}
	if after := s.outcome(h, s.Reject()); strings.HasPrefix(after, "418") {
		t.Errorf("after the change a request passes that must be rejected: %s", after)
	}
}

func (s Suite) concurrent(t *testing.T) {
	h := s.build(t)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, v := range w.Header() {
			for i := range v {
				v[i] += " (changed)"
			}
		}
		for name := range w.Header() {
			w.Header().Add(name, "added")
		}
	}))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 20 {
				h.ServeHTTP(httptest.NewRecorder(), s.get())
				if s.Reject != nil {
					h.ServeHTTP(httptest.NewRecorder(), s.Reject())
				}
			}
		})
	}
	wg.Wait()
}
