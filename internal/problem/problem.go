// Package problem writes constant RFC 9457 problem details. An answer is built
// once, at start-up, from constants: nothing a client sent can appear in it.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ContentType is the media type of RFC 9457, section 3.
const ContentType = "application/problem+json"

// A Problem is an answer ready to be written. It is immutable and safe for
// concurrent use.
type Problem struct {
	status int
	body   []byte
	length string
}

// New builds the answer from its members. An empty typ is left out, which
// RFC 9457 (section 3.1.1) reads as "about:blank"; an empty detail is left out
// too. Members of ext are added at the top level, in the order of their names.
func New(status int, typ, title, detail string, ext map[string]any) *Problem {
	head, err := json.Marshal(struct {
		Type   string `json:"type,omitempty"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{typ, title, status, detail})
	if err != nil {
		panic("problem: " + err.Error()) // strings and ints only: cannot fail
	}
	if len(ext) > 0 {
		tail, err := json.Marshal(ext)
		if err != nil {
			panic("problem: " + err.Error())
		}
		head = append(append(head[:len(head)-1], ','), tail[1:]...)
	}
	body := append(head, '\n')
	return &Problem{status: status, body: body, length: strconv.Itoa(len(body))}
}

// Write answers with the problem. The answer is not to be cached or sniffed; a
// HEAD request gets the headers alone. Headers that others have already set
// (security headers, CORS, IDs) stay; entity headers of an earlier answer do not.
func (p *Problem) Write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	DropEntity(h)
	v := []string{ContentType, p.length, "nosniff", "no-store"} // one fresh array for all four
	h["Content-Type"] = v[0:1:1]
	h["Content-Length"] = v[1:2:2]
	h["X-Content-Type-Options"] = v[2:3:3]
	h["Cache-Control"] = v[3:4:4]
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(p.body) // a client that left is no error of ours
	}
}

// DropEntity removes the headers that describe a body which will not be sent
// (RFC 9110, section 8), and the validators and caching rules that go with it.
func DropEntity(h http.Header) {
	if len(h) == 0 {
		return
	}
	delete(h, "Content-Encoding")
	delete(h, "Content-Language")
	delete(h, "Content-Length")
	delete(h, "Content-Location")
	delete(h, "Content-Range")
	delete(h, "Content-Disposition")
	delete(h, "Accept-Ranges")
	delete(h, "Etag")
	delete(h, "Last-Modified")
	delete(h, "Expires")
	delete(h, "Cache-Control")
	delete(h, "Trailer")
	delete(h, "Transfer-Encoding")
}
