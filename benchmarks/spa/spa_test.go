// Package spabench measures spa beside net/http's FileServerFS and
// github.com/vearutop/statigz, and beside a bare handler that writes the same
// headers and bytes and decides nothing:
//
//	go test ./spa -run '^$' -bench InProcess -benchtime 200ms -count 5
//	go test ./spa -run '^$' -bench Loopback -benchtime 5s
//
// In process, compare the fastest of the runs of one command: on a busy machine
// the others measure it. Over loopback the handlers take turns.
package spabench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/vearutop/statigz"

	"github.com/gatehouse-go/gatehouse/spa"
)

// ballast is the live heap of a small service. Without it the collector, in a
// heap of nothing else, would run all the time, and a service does not.
var ballast = make([]byte, 64<<20)

const (
	page  = `<!doctype html><html><head><script type="module" src="/assets/app-BxYz12_-.js"></script></head><body></body></html>`
	asset = "/assets/app-BxYz12_-.js"
)

// build is an app with one asset of 100 KiB and its gzip.
func build() fstest.MapFS {
	var js, zipped bytes.Buffer
	for i := 0; js.Len() < 100<<10; i++ {
		fmt.Fprintf(&js, "export const name%d = (a, b) => a * %d + b;\n", i, i*i)
	}
	js.Truncate(100 << 10)
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write(js.Bytes())
	_ = w.Close()
	return fstest.MapFS{
		"index.html": {Data: []byte(page)},
		asset[1:]:    {Data: js.Bytes()}, asset[1:] + ".gz": {Data: zipped.Bytes()},
	}
}

// bare answers as h does to r, from memory.
func bare(h http.Handler, r *http.Request) http.Handler {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body, header, status := rec.Body.Bytes(), rec.Header(), rec.Code
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		own := w.Header()
		for name, values := range header {
			own[name] = []string{values[0]}
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

type handler struct {
	name string
	h    http.Handler
}

// peers are the handlers that give the wanted answer to a request.
func peers(b *testing.B, r *http.Request, status int) []handler {
	b.Helper()
	app, err := spa.New(spa.Config{FS: build()})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, p := range []string{"GET /api/ping", "POST /api/items", "GET /api/items/{id}", "GET /health"} {
		mux.HandleFunc(p, func(http.ResponseWriter, *http.Request) {})
	}
	all := []handler{
		{"bare", bare(app, r)},
		{"spa", app},
		{"spa around a mux", app.Handler(mux)},
		{"FileServerFS", http.FileServerFS(build())},
		{"statigz", statigz.FileServer(build(), statigz.EncodeOnInit)},
	}
	able := all[:0]
	for _, p := range all {
		rec := httptest.NewRecorder()
		p.h.ServeHTTP(rec, r.Clone(r.Context()))
		if rec.Code == status && rec.Header().Get("Content-Encoding") == r.Header.Get("Accept-Encoding") {
			able = append(able, p)
		}
	}
	return able
}

// requests are what a browser asks of an app.
func requests(b *testing.B) []struct {
	name   string
	r      *http.Request
	status int
} {
	b.Helper()
	ask := func(target string, header ...string) *http.Request {
		r := httptest.NewRequest("GET", target, nil)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	var rows []struct {
		name   string
		r      *http.Request
		status int
	}
	add := func(name string, r *http.Request, status int) {
		rows = append(rows, struct {
			name   string
			r      *http.Request
			status int
		}{name, r, status})
	}
	add("index", ask("/"), 200)
	add("asset 100 KiB", ask(asset), 200)
	add("asset gzip", ask(asset, "Accept-Encoding", "gzip"), 200)
	add("304", ask(asset, "If-None-Match", "*"), 304)
	add("fallback", ask("/projects/42", "Sec-Fetch-Dest", "document"), 200)
	add("miss", ask("/assets/gone-BxYz12_-.js"), 404)
	return rows
}

// discard is a ResponseWriter that costs nothing itself.
type discard struct{ header http.Header }

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) Write(p []byte) (int, error) { return len(p), nil }
func (w *discard) WriteHeader(int)             {}

func BenchmarkInProcess(b *testing.B) {
	_ = ballast
	for _, c := range requests(b) {
		for _, p := range peers(b, c.r, c.status) {
			b.Run(c.name+"/"+p.name, func(b *testing.B) {
				w := &discard{header: http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.header)
					p.h.ServeHTTP(w, c.r)
				}
			})
		}
	}
}

// BenchmarkLoopback sends, in turns, a hundred requests to each handler over a
// connection of its own, and reports the median of the turns' speed relative to
// the bare handler of the same turn: a busy machine slows both.
func BenchmarkLoopback(b *testing.B) {
	for _, c := range requests(b) {
		b.Run(c.name, func(b *testing.B) {
			ends := make([]end, 0, 5)
			for _, p := range peers(b, c.r, c.status) {
				ends = append(ends, dial(b, p, rawRequest(c.r), c.status))
			}
			for b.Loop() {
				for i := range ends {
					ends[i].turn(b)
				}
			}
			for _, e := range ends[1:] {
				b.ReportMetric(e.relativeTo(ends[0]), strings.ReplaceAll(e.name, " ", "-")+"/bare")
			}
		})
	}
}

// end is the client of one handler.
type end struct {
	name   string
	conn   net.Conn
	in     *bufio.Reader
	raw    []byte
	status int
	turns  []time.Duration
}

func dial(b *testing.B, p handler, raw []byte, status int) end {
	b.Helper()
	srv := httptest.NewServer(p.h)
	b.Cleanup(srv.Close)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return end{name: p.name, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), raw: raw, status: status}
}

func (e *end) turn(b *testing.B) {
	b.Helper()
	start := time.Now()
	for range 100 {
		if err := exchange(e.conn, e.in, e.raw, e.status); err != nil {
			b.Fatal(err)
		}
	}
	e.turns = append(e.turns, time.Since(start))
}

// relativeTo is how fast e is, where 1 is as fast as the other.
func (e *end) relativeTo(other end) float64 {
	ratios := make([]float64, len(e.turns))
	for i := range ratios {
		ratios[i] = float64(other.turns[i]) / float64(e.turns[i])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func rawRequest(r *http.Request) []byte {
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "GET %s HTTP/1.1\r\nHost: app.example\r\n", r.URL.RequestURI())
	_ = r.Header.Write(&raw)
	raw.WriteString("\r\n")
	return raw.Bytes()
}

// exchange sends one request and reads its answer. Every answer here but a 304
// has a Content-Length.
func exchange(conn net.Conn, in *bufio.Reader, raw []byte, status int) error {
	if _, err := conn.Write(raw); err != nil {
		return err
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if got := string(line[9:12]); got != strconv.Itoa(status) {
		return fmt.Errorf("status %s, want %d", got, status)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return err
}
