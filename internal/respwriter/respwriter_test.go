package respwriter_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

// state is what an owner of a Writer is: it notes every announcement.
type state struct {
	respwriter.Writer
	commits []int
	answer  func(w http.ResponseWriter) // of the hook itself, may be nil
}

func (s *state) Commit(status int) {
	s.commits = append(s.commits, status)
	if s.answer != nil {
		s.answer(&s.Writer)
	}
}

func wrap(rw http.ResponseWriter) (*state, http.ResponseWriter) {
	s := &state{}
	s.Init(rw, s)
	return s, s.View()
}

// exchange serves one request over a real socket. When it returns, the handler has
// returned too.
func exchange(t *testing.T, ctx context.Context, h http.HandlerFunc) (resp *http.Response, body string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // for the misuse that tests commit on purpose
	srv.Start()
	defer srv.Close()
	defer srv.CloseClientConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	resp, err = srv.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols { // whose body is the connection
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		body = string(b)
	}
	return resp, body
}

// The eight kinds of writers that there are below.
type (
	plain struct{ rw http.ResponseWriter }
	canF  struct{}
	canH  struct{}
	canR  struct{}
)

func (p plain) Header() http.Header              { return p.rw.Header() }
func (p plain) Write(b []byte) (int, error)      { return p.rw.Write(b) }
func (p plain) WriteHeader(status int)           { p.rw.WriteHeader(status) }
func (canF) Flush()                              {}
func (canR) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
func (canH) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, nil
}

func TestAViewCanDoExactlyWhatTheWriterBelowCan(t *testing.T) {
	rec := plain{httptest.NewRecorder()}
	for name, below := range map[string]http.ResponseWriter{
		"": rec,
		"F": struct {
			plain
			canF
		}{plain: rec},
		"H": struct {
			plain
			canH
		}{plain: rec},
		"R": struct {
			plain
			canR
		}{plain: rec},
		"FH": struct {
			plain
			canF
			canH
		}{plain: rec},
		"FR": struct {
			plain
			canF
			canR
		}{plain: rec},
		"HR": struct {
			plain
			canH
			canR
		}{plain: rec},
		"FHR": struct {
			plain
			canF
			canH
			canR
		}{plain: rec},
	} {
		t.Run(name, func(t *testing.T) {
			_, view := wrap(below)
			got := ""
			if _, ok := view.(http.Flusher); ok {
				got += "F"
			}
			if _, ok := view.(http.Hijacker); ok {
				got += "H"
			}
			if _, ok := view.(io.ReaderFrom); ok {
				got += "R"
			}
			assert.Equal(t, name, got)
			assert.Equal(t, below, view.(interface{ Unwrap() http.ResponseWriter }).Unwrap())
			err := http.NewResponseController(view).Flush()
			if strings.Contains(name, "F") {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, http.ErrNotSupported)
			}
		})
	}
}

func TestTheFinalHeaderIsAnnouncedOnceBeforeItGoesOut(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(w http.ResponseWriter)
		commits []int
		status  int
		bytes   int64
	}{
		"nothing":              {func(http.ResponseWriter) {}, nil, 0, 0},
		"WriteHeader":          {func(w http.ResponseWriter) { w.WriteHeader(404) }, []int{404}, 404, 0},
		"twice":                {func(w http.ResponseWriter) { w.WriteHeader(404); w.WriteHeader(500) }, []int{404}, 404, 0},
		"Write":                {func(w http.ResponseWriter) { _, _ = w.Write([]byte("abc")); _, _ = w.Write([]byte("d")) }, []int{200}, 200, 4},
		"Write of nothing":     {func(w http.ResponseWriter) { _, _ = w.Write(nil) }, []int{200}, 200, 0},
		"WriteString":          {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "abc") }, []int{200}, 200, 3},
		"WriteHeader, Write":   {func(w http.ResponseWriter) { w.WriteHeader(201); _, _ = w.Write([]byte("abc")) }, []int{201}, 201, 3},
		"Flush":                {func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, []int{200}, 200, 0},
		"Flush by controller":  {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, []int{200}, 200, 0},
		"informational, final": {func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(204) }, []int{204}, 204, 0},
		"informational alone":  {func(w http.ResponseWriter) { w.WriteHeader(100); w.WriteHeader(103) }, nil, 0, 0},
		"switching protocols":  {func(w http.ResponseWriter) { w.WriteHeader(101) }, []int{101}, 101, 0},
		"ReadFrom":             {func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 5000))) }, []int{200}, 200, 5000},
		"short ReadFrom":       {func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("abc")) }, []int{200}, 200, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var s *state
			resp, _ := exchange(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
				var view http.ResponseWriter
				s, view = wrap(w)
				s.answer = func(w http.ResponseWriter) { w.Header().Set("X-Late", "set in the hook") }
				c.handler(view)
			})
			assert.Equal(t, c.commits, s.commits)
			assert.Equal(t, c.status, s.Status())
			assert.Equal(t, c.bytes, s.Bytes())
			assert.NoError(t, s.Err())
			if len(c.commits) > 0 {
				assert.Equal(t, "set in the hook", resp.Header.Get("X-Late"), "the hook comes before the header is sent")
				assert.Equal(t, c.status, resp.StatusCode)
			}
		})
	}
}

func TestInformationalAnswersPassUnannounced(t *testing.T) {
	var s *state
	var hints []int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hints = append(hints, code); return nil },
	})
	exchange(t, ctx, func(w http.ResponseWriter, _ *http.Request) {
		var view http.ResponseWriter
		s, view = wrap(w)
		view.Header().Set("Link", "</style.css>; rel=preload")
		view.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(view, "ok")
	})
	assert.Equal(t, []int{103}, hints)
	assert.Equal(t, []int{200}, s.commits)
}

func TestAnImpossibleStatusPanicsUnannounced(t *testing.T) {
	for _, status := range []int{0, 99, 1000, -1} {
		rec := httptest.NewRecorder()
		s, view := wrap(rec)
		assert.Panics(t, func() { view.WriteHeader(status) })
		assert.Empty(t, s.commits)
		view.WriteHeader(http.StatusInternalServerError) // the answer to the panic
		assert.Equal(t, []int{500}, s.commits, strconv.Itoa(status))
		assert.Equal(t, 500, rec.Code)
	}
}

func TestAHookMayAnswerItselfAndIsNotAskedAgain(t *testing.T) {
	rec := httptest.NewRecorder()
	s, view := wrap(rec)
	s.answer = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "hook.")
	}
	_, _ = io.WriteString(view, "handler")
	assert.Equal(t, []int{200}, s.commits)
	assert.Equal(t, 502, s.Status())
	assert.Equal(t, 502, rec.Code)
	assert.Equal(t, "hook.handler", rec.Body.String())
	assert.Equal(t, int64(12), s.Bytes())
}

func TestAHijackedConnectionIsTheHandlers(t *testing.T) {
	var s *state
	resp, _ := exchange(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		var view http.ResponseWriter
		s, view = wrap(w)
		conn, _, err := http.NewResponseController(view).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 299 Mine\r\nContent-Length: 0\r\n\r\n")
		_, err = view.Write([]byte("too late"))
		assert.ErrorIs(t, err, http.ErrHijacked)
	})
	assert.Equal(t, 299, resp.StatusCode)
	assert.True(t, s.Hijacked())
	assert.Empty(t, s.commits)
	assert.Zero(t, s.Status())
	assert.Zero(t, s.Bytes())
	assert.NoError(t, s.Err())
}

func TestAHijackBelowAnotherWrapperIsSeen(t *testing.T) {
	below := unwraps{plain{httptest.NewRecorder()}, struct {
		plain
		canH
	}{}}
	s, view := wrap(below)
	_, _, err := http.NewResponseController(view).Hijack()
	assert.NoError(t, err)
	assert.True(t, s.Hijacked())
}

// unwraps is a foreign wrapper with nothing but Unwrap.
type unwraps struct {
	plain
	below http.ResponseWriter
}

func (u unwraps) Unwrap() http.ResponseWriter { return u.below }

func TestOneWriterInAnotherAsksBoth(t *testing.T) {
	rec := httptest.NewRecorder()
	outer, view := wrap(rec)
	inner, view := wrap(view)
	require.NoError(t, http.NewResponseController(view).Flush())
	assert.Equal(t, []int{200}, outer.commits)
	assert.Equal(t, []int{200}, inner.commits)

	outer, view = wrap(plain{rec}) // cannot flush
	inner, view = wrap(view)
	_, can := view.(http.Flusher)
	assert.False(t, can)
	assert.ErrorIs(t, http.NewResponseController(view).Flush(), http.ErrNotSupported)
	assert.Empty(t, outer.commits)
	assert.Empty(t, inner.commits, "nothing was sent")
}

func TestASourceThatFailsBeforeItsFirstByteLeavesTheAnswerOpen(t *testing.T) {
	broken := errors.New("upstream failed")
	var s *state
	resp, _ := exchange(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		var view http.ResponseWriter
		s, view = wrap(w)
		_, err := io.Copy(view, failing{broken})
		assert.ErrorIs(t, err, broken)
		view.WriteHeader(http.StatusBadGateway)
	})
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	assert.Equal(t, []int{502}, s.commits)
	assert.NoError(t, s.Err(), "the failure was the source's")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAFileArrivesWholeAndIsCounted(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	var s *state
	_, body := exchange(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		var view http.ResponseWriter
		s, view = wrap(w)
		http.ServeFile(view, r, name)
	})
	assert.True(t, body == content)
	assert.Equal(t, int64(len(content)), s.Bytes())
}

func TestAnErrorOfTheConnectionIsKeptAndOneOfTheHandlerIsNot(t *testing.T) {
	gone := errors.New("connection reset")
	s, view := wrap(&failingWriter{ResponseRecorder: httptest.NewRecorder(), errs: []error{
		http.ErrBodyNotAllowed, http.ErrContentLength, http.ErrHijacked, gone, errors.New("again"),
	}})
	for range 3 {
		_, err := view.Write([]byte("x"))
		assert.Error(t, err)
		assert.NoError(t, s.Err())
	}
	_, _ = view.Write([]byte("x"))
	_, _ = view.Write([]byte("x"))
	assert.Same(t, gone, s.Err())
	assert.Zero(t, s.Bytes())
}

type failingWriter struct {
	*httptest.ResponseRecorder
	errs []error
}

func (f *failingWriter) Write([]byte) (int, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return 0, err
}

func (f *failingWriter) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

func TestDeadlinesStayReachable(t *testing.T) {
	exchange(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		_, view := wrap(w)
		rc := http.NewResponseController(view)
		assert.NoError(t, rc.SetReadDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, rc.SetWriteDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, rc.EnableFullDuplex())
	})
}

func TestWrappingCostsTheOneAllocationOfTheState(t *testing.T) {
	rec := struct {
		plain
		canF
		canH
		canR
	}{plain: plain{httptest.NewRecorder()}}
	var rw http.ResponseWriter = rec
	assert.Equal(t, 1.0, testing.AllocsPerRun(100, func() {
		s := &state{}
		s.Init(rw, s)
		sink = s.View()
	}))
}

var sink http.ResponseWriter
