// Package respwriter is the one http.ResponseWriter wrapper of the module: it
// tells its owner when the final header is about to go out, counts what was
// sent, and keeps exactly the interfaces of the writer below it.
//
// It is used only where a feature is impossible without (the access log, a
// nonce policy); the other packages never wrap.
package respwriter

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// Hooks is told about a response.
type Hooks interface {
	// Commit is called once, right before the final header is written: not for
	// 103 and other informational answers, not for a hijacked connection, and
	// not where the handler returns without writing (the owner sees that in
	// Status() == 0). The header map may still be changed.
	Commit(status int)
}

// Writer counts and announces. Embed it by value in the state of one request,
// call Init, and pass on View: then wrapping costs the one allocation of that
// state. It must not be pooled: a handler's goroutine may hold it for longer
// than the request lasts. Like every ResponseWriter it is not safe for
// concurrent use.
type Writer struct {
	rw       http.ResponseWriter
	hooks    Hooks
	status   int
	bytes    int64
	err      error
	hijacked bool
	calling  bool
}

// Init binds the Writer to the writer below it.
func (w *Writer) Init(rw http.ResponseWriter, hooks Hooks) { w.rw, w.hooks = rw, hooks }

// Status is the final status that was written, 0 while there is none.
func (w *Writer) Status() int { return w.status }

// Bytes is the number of body bytes that the writer below accepted.
func (w *Writer) Bytes() int64 { return w.bytes }

// Err is the first error by which a write or a flush told that the connection
// failed: the client left, or a deadline passed. Errors that are the handler's
// (a body for 304, more bytes than declared, a write after Hijack) are not kept,
// nor those of ReadFrom, which may be the source's.
func (w *Writer) Err() error { return w.err }

// Hijacked tells whether the connection was taken over.
func (w *Writer) Hijacked() bool { return w.hijacked }

// Header is that of the writer below.
func (w *Writer) Header() http.Header { return w.rw.Header() }

// Unwrap is for http.ResponseController: deadlines and full duplex.
func (w *Writer) Unwrap() http.ResponseWriter { return w.rw }

// commit announces the final header, once. A hook that writes itself does not
// announce again.
func (w *Writer) commit(status int) {
	if w.status != 0 || w.hijacked || w.calling {
		return
	}
	w.calling = true
	w.hooks.Commit(status)
	w.calling = false
}

// WriteHeader announces every status but the informational ones. 101 is final:
// net/http treats it so. An impossible status, at which net/http panics, is not
// announced: the answer to that panic will be. A second final status goes
// through to net/http, which logs it as superfluous.
func (w *Writer) WriteHeader(status int) {
	final := status == http.StatusSwitchingProtocols || status >= 200 && status <= 999
	if final {
		w.commit(status)
	}
	w.rw.WriteHeader(status)
	if final && w.status == 0 && !w.hijacked {
		w.status = status
	}
}

// begin is the implicit 200 of the first byte or flush.
func (w *Writer) begin() {
	if w.status != 0 || w.hijacked {
		return
	}
	w.commit(http.StatusOK)
	if w.status == 0 { // a hook may have answered with something else
		w.status = http.StatusOK
	}
}

// Write counts what the writer below accepted.
func (w *Writer) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.rw.Write(p)
	w.bytes += int64(n)
	w.note(err)
	return n, err
}

// WriteString saves the copy where the writer below can.
func (w *Writer) WriteString(s string) (int, error) {
	w.begin()
	n, err := io.WriteString(w.rw, s)
	w.bytes += int64(n)
	w.note(err)
	return n, err
}

func (w *Writer) note(err error) {
	if err == nil || w.err != nil || errors.Is(err, http.ErrBodyNotAllowed) ||
		errors.Is(err, http.ErrContentLength) || errors.Is(err, http.ErrHijacked) {
		return
	}
	w.err = err
}

// FlushError is what http.ResponseController.Flush calls. It is there even where
// the writer below cannot flush, so that no flush can pass by the announcement;
// it then returns http.ErrNotSupported, announces nothing since nothing is sent,
// and http.Flusher is not implemented.
func (w *Writer) FlushError() error {
	if !canFlush(w.rw) {
		return http.ErrNotSupported
	}
	w.begin()
	err := http.NewResponseController(w.rw).Flush()
	w.note(err)
	return err
}

func (w *Writer) flush() { _ = w.FlushError() } // http.Flusher cannot tell

func (w *Writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, b, err := http.NewResponseController(w.rw).Hijack()
	if err == nil {
		w.hijacked = true
	}
	return c, b, err
}

// sniffLen is what net/http copies by hand before it turns to sendfile.
const sniffLen = 512

// readFrom copies by sendfile where the writer below can. A source that ends or
// fails before its first byte commits nothing, as in net/http: the handler may
// still answer 502. So while there is no header yet, the first bytes go through
// Write; the source itself then goes on unwrapped, or sendfile would be lost.
func (w *Writer) readFrom(src io.Reader) (int64, error) {
	var first int64
	if w.status == 0 && !w.hijacked {
		n, err := io.CopyBuffer(writeOnly{w}, &io.LimitedReader{R: src, N: sniffLen}, make([]byte, sniffLen))
		if err != nil || n < sniffLen {
			return n, err
		}
		first = n
	}
	n, err := w.rw.(io.ReaderFrom).ReadFrom(src)
	w.bytes += n
	return first + n, err
}

type writeOnly struct{ io.Writer }

// View returns the Writer with exactly those of http.Flusher, http.Hijacker and
// io.ReaderFrom (sendfile) that the writer below has; Hijacker also where only
// Unwrap leads to it, since http.ResponseController would take the connection
// from there without our knowing. The views are single pointers, so none of
// them allocates.
func (w *Writer) View() http.ResponseWriter {
	_, f := w.rw.(http.Flusher)
	h := canHijack(w.rw)
	_, r := w.rw.(io.ReaderFrom)
	switch {
	case f && h && r:
		return viewFHR{w}
	case f && h:
		return viewFH{w}
	case f && r:
		return viewFR{w}
	case h && r:
		return viewHR{w}
	case f:
		return viewF{w}
	case h:
		return viewH{w}
	case r:
		return viewR{w}
	}
	return w
}

type unwrapper interface{ Unwrap() http.ResponseWriter }

// canHijack goes down the writers as http.ResponseController does.
func canHijack(rw http.ResponseWriter) bool {
	for {
		switch t := rw.(type) {
		case http.Hijacker:
			return true
		case unwrapper:
			rw = t.Unwrap()
		default:
			return false
		}
	}
}

// canFlush goes down the writers as http.ResponseController does, past those of
// our own kind, whose FlushError says nothing about what is below them.
func canFlush(rw http.ResponseWriter) bool {
	for {
		switch t := rw.(type) {
		case interface{ self() *Writer }:
			rw = t.self().rw
		case interface{ FlushError() error }, http.Flusher:
			return true
		case unwrapper:
			rw = t.Unwrap()
		default:
			return false
		}
	}
}

func (w *Writer) self() *Writer { return w }

type (
	viewF   struct{ *Writer }
	viewH   struct{ *Writer }
	viewR   struct{ *Writer }
	viewFH  struct{ *Writer }
	viewFR  struct{ *Writer }
	viewHR  struct{ *Writer }
	viewFHR struct{ *Writer }
)

func (v viewF) Flush()   { v.flush() }
func (v viewFH) Flush()  { v.flush() }
func (v viewFR) Flush()  { v.flush() }
func (v viewFHR) Flush() { v.flush() }

func (v viewH) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return v.hijack() }
func (v viewFH) Hijack() (net.Conn, *bufio.ReadWriter, error)  { return v.hijack() }
func (v viewHR) Hijack() (net.Conn, *bufio.ReadWriter, error)  { return v.hijack() }
func (v viewFHR) Hijack() (net.Conn, *bufio.ReadWriter, error) { return v.hijack() }

func (v viewR) ReadFrom(src io.Reader) (int64, error)   { return v.readFrom(src) }
func (v viewFR) ReadFrom(src io.Reader) (int64, error)  { return v.readFrom(src) }
func (v viewHR) ReadFrom(src io.Reader) (int64, error)  { return v.readFrom(src) }
func (v viewFHR) ReadFrom(src io.Reader) (int64, error) { return v.readFrom(src) }
