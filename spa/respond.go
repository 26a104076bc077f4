package spa

import (
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// serve answers a GET or HEAD with a file.
func (m *Middleware) serve(w http.ResponseWriter, r *http.Request, f *file, on vary) {
	if f.redirect != "" {
		sendRedirect(w, r, f.redirect)
		return
	}
	v := f.choose(r.Header["Accept-Encoding"])
	if v == nil {
		refusals[http.StatusNotAcceptable].write(w, r, on)
		return
	}
	var content fs.File
	if v.source != nil {
		// Opened before anything is answered: a 304 for a file that changed
		// would be as wrong as its bytes under the old ETag.
		var err error
		if content, err = v.source.open(); err != nil {
			m.opts.log(slog.LevelError, "spa: a file is no longer what it was at start; restart after a deploy",
				"file", v.source.name, "error", err)
			refusals[http.StatusServiceUnavailable].write(w, r, vary{})
			return
		}
		defer closeFile(content)
	}
	switch precondition(r.Header, v.etag) {
	case http.StatusNotModified:
		setHeaders(w.Header(), f, v, on, true)
		w.WriteHeader(http.StatusNotModified)
		return
	case http.StatusPreconditionFailed:
		refusals[http.StatusPreconditionFailed].write(w, r, on)
		return
	}
	if rng := r.Header["Range"]; rng != nil && r.Method == http.MethodGet && canSeek(v, content) && rangeHolds(r.Header, v.etag) {
		var room [maxRanges]byteRange
		if ranges, ok := parseRanges(room[:0], rng, v.size); ok {
			sendRanges(w, f, v, on, content, ranges)
			return
		}
	}
	setHeaders(w.Header(), f, v, on, false)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		v.send(w, content, byteRange{0, v.size})
	}
}

// vary is a list of request headers that an answer depends on.
type vary struct {
	names []string
	line  string
}

// navigationVary decides between the page and a 404.
var navigationVary = varyOn("Accept", "Sec-Fetch-Dest")

func varyOn(names ...string) vary { return vary{names, strings.Join(names, ", ")} }

// set adds the names to those that others have set, or, where there are none,
// sets line, a fresh slice of v.line.
func (v vary) set(h http.Header, line []string) {
	switch {
	case v.line == "":
	case len(h["Vary"]) == 0:
		h["Vary"] = line
	default:
		headervalue.AddVary(h, v.names...)
	}
}

// setHeaders sets the headers of a 200, or the part of them that a 304 repeats
// (RFC 9110, section 15.4.5). The values are one fresh array: the one allocation
// of an answer.
func setHeaders(h http.Header, f *file, v *variant, on vary, notModified bool) {
	vals := [...]string{v.etag, f.cache, f.ctype, v.length, "bytes", v.coding.String(), on.line}
	fresh := make([]string, len(vals))
	copy(fresh, vals[:])
	h["Etag"] = fresh[0:1:1]
	h["Cache-Control"] = fresh[1:2:2]
	if !notModified {
		h["Content-Type"] = fresh[2:3:3]
		h["Content-Length"] = fresh[3:4:4]
		h["Accept-Ranges"] = fresh[4:5:5]
		if v.coding != identity {
			h["Content-Encoding"] = fresh[5:6:6]
		}
	}
	on.set(h, fresh[6:7:7])
}

// canSeek tells whether a part can be sent; an fs.File need not be able to.
func canSeek(v *variant, content fs.File) bool {
	if v.source == nil {
		return true
	}
	_, ok := content.(io.Seeker)
	return ok
}

// send writes a part of the variant. An error means that the client left or
// that the file became shorter: the server then closes the connection, because
// fewer bytes than Content-Length were written.
func (v *variant) send(w io.Writer, content fs.File, part byteRange) {
	if v.source == nil {
		_, _ = w.Write(v.body[part.start : part.start+part.length])
		return
	}
	if part.start > 0 || part.length < v.size {
		if _, err := content.(io.Seeker).Seek(part.start, io.SeekStart); err != nil {
			return
		}
	}
	// io.CopyN hands the writer an io.LimitedReader of the file, for which
	// net/http uses sendfile.
	_, _ = io.CopyN(w, content, part.length)
}

// sendRanges answers with 206, or 416 where no range is inside the file.
func sendRanges(w http.ResponseWriter, f *file, v *variant, on vary, content fs.File, ranges []byteRange) {
	h := w.Header()
	setHeaders(h, f, v, on, false)
	switch len(ranges) {
	case 0:
		delete(h, "Etag")
		delete(h, "Cache-Control")
		delete(h, "Content-Encoding")
		h["Content-Range"] = []string{"bytes */" + v.length}
		h["Content-Type"] = []string{typeText}
		h["Content-Length"] = []string{"0"}
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	case 1:
		h["Content-Range"] = []string{ranges[0].contentRange(v.size)}
		h["Content-Length"] = []string{strconv.FormatInt(ranges[0].length, 10)}
		w.WriteHeader(http.StatusPartialContent)
		v.send(w, content, ranges[0])
	default:
		sendMultipart(w, f, v, content, ranges)
	}
}

// sendMultipart writes several ranges as multipart/byteranges (RFC 9110,
// section 14.6). The boundary is the hash of the content, which the content
// cannot contain but by breaking SHA-256.
func sendMultipart(w http.ResponseWriter, f *file, v *variant, content fs.File, ranges []byteRange) {
	boundary := strings.Trim(v.etag, `"`)
	heads := make([]string, len(ranges))
	end := "\r\n--" + boundary + "--\r\n"
	total := int64(len(end))
	for i, r := range ranges {
		heads[i] = "\r\n--" + boundary + "\r\nContent-Type: " + f.ctype + "\r\nContent-Range: " + r.contentRange(v.size) + "\r\n\r\n"
		if i == 0 {
			heads[i] = heads[i][2:]
		}
		total += int64(len(heads[i])) + r.length
	}
	h := w.Header()
	h["Content-Type"] = []string{"multipart/byteranges; boundary=" + boundary}
	h["Content-Length"] = []string{strconv.FormatInt(total, 10)}
	w.WriteHeader(http.StatusPartialContent)
	for i, r := range ranges {
		if _, err := io.WriteString(w, heads[i]); err != nil {
			return
		}
		v.send(w, content, r)
	}
	_, _ = io.WriteString(w, end)
}

// sendRedirect sends a directory's path to the one with a slash. The location
// is a path of the index, so it cannot lead to another host, and the query that
// follows it cannot end.
func sendRedirect(w http.ResponseWriter, r *http.Request, to string) {
	if r.URL.RawQuery != "" {
		to += "?" + headervalue.EscapeQuery(r.URL.RawQuery)
	}
	w.Header()["Location"] = []string{to}
	refusals[http.StatusTemporaryRedirect].write(w, r, vary{})
}

// notFound is the app's 404. It carries nothing that lets a cache keep it: after
// the next deploy the file may be there. Vary says that a navigation may get
// another answer.
func notFound(w http.ResponseWriter, r *http.Request) {
	refusals[http.StatusNotFound].write(w, r, navigationVary)
}

// refusal is an answer that is not a file: its status and the status's text.
// Nothing of the request is in it.
type refusal struct {
	status int
	body   []byte
	length string
}

// refusals are read only.
var refusals = func() map[int]*refusal {
	all := map[int]*refusal{}
	for _, status := range []int{
		http.StatusTemporaryRedirect, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusPreconditionFailed, http.StatusServiceUnavailable,
	} {
		body := http.StatusText(status) + "\n"
		all[status] = &refusal{status, []byte(body), strconv.Itoa(len(body))}
	}
	return all
}()

func (a *refusal) write(w http.ResponseWriter, r *http.Request, on vary) {
	h := w.Header()
	problem.DropEntity(h)
	v := []string{typeText, a.length, "nosniff", on.line}
	h["Content-Type"] = v[0:1:1]
	h["Content-Length"] = v[1:2:2]
	h["X-Content-Type-Options"] = v[2:3:3]
	on.set(h, v[3:4:4])
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}
