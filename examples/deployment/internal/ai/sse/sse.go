// Package sse reads event streams as the HTML standard defines them (section
// 9.2.6, "Interpreting an event stream"), from streams that may be hostile.
//
// The field "retry" is ignored: nobody reconnects by himself here.
package sse

import (
	"bytes"
	"errors"
	"io"
)

// Event is one dispatched event. Its slices are valid until the next call of Next.
// Bytes that are not UTF-8 are left as they are; encoding/json replaces them, as
// the standard wants.
type Event struct {
	// Type is what the field "event" said; empty means "message".
	Type []byte
	// Data of all lines, joined by \n; it may be empty.
	Data []byte
	// ID is the last event ID, which stays until another one comes.
	ID []byte
}

// ErrTooLong is returned for a line, or an event's data, beyond the limit.
var ErrTooLong = errors.New("sse: line or event too long")

// Reader reads events. It is not safe for concurrent use.
type Reader struct {
	src io.Reader
	max int

	buf        []byte // buf[start:end] is unread, buf[start:scan] has no line end
	start      int
	scan, end  int
	begun      bool // the byte order mark was looked for
	afterCR    bool // the next byte belongs to a CR LF if it is LF
	hasData    bool
	typ, data  []byte
	id         []byte
	rest       []byte
	emptyReads int
}

// NewReader reads from src. A line, and the data of an event, may have maxBytes;
// there is no limit to how many comments and empty events src sends.
func NewReader(src io.Reader, maxBytes int) *Reader {
	return &Reader{src: src, max: maxBytes, buf: make([]byte, 4096)}
}

// Next returns the next event as soon as its empty line ended, be it by CR alone.
// At the end of the stream it returns io.EOF, and what came after the last empty
// line is dropped: it may be half an event.
func (r *Reader) Next() (Event, error) {
	r.typ, r.data, r.rest, r.hasData = r.typ[:0], r.data[:0], r.rest[:0], false
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return Event{}, err
		case len(line) > 0:
			if err := r.field(line); err != nil {
				return Event{}, err
			}
		case r.hasData:
			return Event{Type: r.typ, Data: r.data[:len(r.data)-1], ID: r.id}, nil
		default:
			r.typ = r.typ[:0]
		}
	}
}

// Rest returns, after io.EOF, what has come since the last event and became none,
// up to 4 KiB: lines that are no field of the standard, the data of an event whose
// empty line is missing, half a line. Comments and retry are left out. By the
// standard all of it is invisible, but Gemini has ended streams with the bare JSON
// of an error.
func (r *Reader) Rest() []byte {
	rest := r.rest
	if r.hasData {
		rest = keep(rest, r.data)
	}
	if half := r.buf[r.start:r.end]; len(half) > 0 && half[0] != ':' {
		rest = keep(rest, half)
	}
	return rest
}

func keep(rest, line []byte) []byte {
	if room := 4096 - len(rest); len(line) > room {
		line = line[:room]
	}
	return append(rest, line...)
}

// field takes one line that is not empty.
func (r *Reader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":")) // a comment has the empty name
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		if len(r.data)+len(value) > r.max {
			return ErrTooLong
		}
		r.data = append(append(r.data, value...), '\n')
		r.hasData = true
	case "event":
		r.typ = append(r.typ[:0], value...)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.id = append(r.id[:0], value...)
		}
	case "", "retry": // a comment; a time that is of no use here
	default:
		r.rest = keep(r.rest, line)
	}
	return nil
}

// line returns the next line without its end, which is CR, LF or CR LF. A CR ends
// the line at once: whether LF follows is looked at when it comes.
func (r *Reader) line() ([]byte, error) {
	for {
		for ; r.scan < r.end; r.scan++ {
			c := r.buf[r.scan]
			if r.afterCR {
				r.afterCR = false
				if c == '\n' {
					r.start = r.scan + 1
					continue
				}
			}
			if c != '\n' && c != '\r' {
				continue
			}
			r.afterCR = c == '\r'
			line := r.buf[r.start:r.scan]
			r.scan++
			r.start = r.scan
			if len(line) > r.max {
				return nil, ErrTooLong
			}
			if !r.begun {
				r.begun = true
				line = bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF"))
			}
			return line, nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more, after making room for it.
func (r *Reader) fill() error {
	if r.end-r.start > r.max {
		return ErrTooLong
	}
	if r.start > 0 { // at most once per line: afterwards start is 0
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.scan, r.end = 0, r.scan-r.start, r.end-r.start
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		r.emptyReads = 0
		return nil // an error comes again
	}
	if r.emptyReads++; err == nil && r.emptyReads > 100 {
		return io.ErrNoProgress
	}
	return err
}
