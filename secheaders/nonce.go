package secheaders

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/respwriter"
)

const (
	nonceBytes = 16 // 128 bits, as CSP Level 3 asks (section 7.1)
	nonceLen   = 22 // in base64 without padding
)

// nonced is a value with the nonce cut out.
type nonced struct {
	name  string   // of the header
	at    int      // index in set.values
	parts []string // the nonce stands between each two
}

type nonceKey struct{}

// Nonce is the nonce of the answer to the request with this context, for the
// nonce attribute of the page's own <script> and <style>. It is "" outside a
// Middleware whose policy has [NonceSource]. It needs no escaping in HTML. Never
// put it on what a user wrote, and never cache a page that holds one.
func Nonce(ctx context.Context) string {
	if s, _ := ctx.Value(nonceKey{}).(*answer); s != nil {
		return s.nonce
	}
	return ""
}

// answer is the state of one answer under a nonce policy: its writer and its
// context in one allocation. It is not pooled: a handler's goroutine may hold
// either for longer than the request lasts.
type answer struct {
	context.Context
	w     respwriter.Writer
	nonce string
	set   *set
	// noStore backs Cache-Control, to save an allocation of its own.
	noStore [1]string
}

// Value adds the nonce to the request's context.
func (a *answer) Value(key any) any {
	if _, ok := key.(nonceKey); ok {
		return a
	}
	return a.Context.Value(key)
}

// nonceHandler is the path for policies with a nonce. The headers stand in the
// map before next runs, as on the other path; the thin writer is there because
// only the status tells whether the nonce may be sent.
func (m *Middleware) nonceHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{Context: r.Context(), set: m.set(r)}
		a.w.Init(w, a)
		v := a.set.fresh()
		a.nonce = a.set.draw(v)
		a.set.assign(w.Header(), v)
		inner := r.WithContext(a)
		defer a.finish(r, inner)
		next.ServeHTTP(a.w.View(), inner)
	})
}

// draw makes a nonce and writes it into the values that need it. All of them are
// parts of one string.
func (s *set) draw(v []string) string {
	var raw [nonceBytes]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	var text [nonceLen]byte
	base64.RawURLEncoding.Encode(text[:], raw[:])

	size := nonceLen
	for _, n := range s.nonces {
		size += len(s.values[n.at]) + (len(n.parts)-1)*(nonceLen-len(noncePlace))
	}
	var b strings.Builder
	b.Grow(size)
	b.Write(text[:])
	for _, n := range s.nonces {
		begin := b.Len()
		for i, part := range n.parts {
			if i > 0 {
				b.Write(text[:])
			}
			b.WriteString(part)
		}
		v[n.at] = b.String()[begin:]
	}
	return b.String()[:nonceLen]
}

// finish stands in a defer: it also runs where next panics, so that an answer
// which an outer layer then writes is not cached either. It copies back what
// inner handlers note in their copy of the request: the route, and the temporary
// files of an upload, which net/http removes by the original.
func (a *answer) finish(outer, inner *http.Request) {
	outer.Pattern = inner.Pattern
	outer.MultipartForm = inner.MultipartForm
	if a.w.Status() == 0 && !a.w.Hijacked() {
		a.Commit(http.StatusOK)
	}
}

// Commit is called right before the header goes out. A page with a nonce must not
// be stored: its scripts are allowed only as long as the header and the body come
// together. So the answer becomes no-store unless somebody has decided on
// caching, and a 304 carries no nonce: it would replace the stored policy, and
// the stored page's nonce would no longer match (RFC 9111, section 4.3.4).
func (a *answer) Commit(status int) {
	h, found := a.w.Header(), false
	for _, n := range a.set.nonces {
		v := h[n.name]
		if !slices.ContainsFunc(v, a.hasNonce) {
			continue // a handler, or a variant further in, has its own policy
		}
		found = true
		if status == http.StatusNotModified {
			if v = slices.DeleteFunc(slices.Clone(v), a.hasNonce); len(v) == 0 {
				delete(h, n.name)
			} else {
				h[n.name] = slices.Clip(v)
			}
		}
	}
	if _, decided := h["Cache-Control"]; found && !decided && status != http.StatusNotModified {
		a.noStore[0] = "no-store"
		h["Cache-Control"] = a.noStore[:]
	}
}

func (a *answer) hasNonce(v string) bool { return strings.Contains(v, a.nonce) }

// withoutNonce hides an outer policy's nonce where an inner variant has replaced
// that policy: a nonce that no header has would only mislead.
func withoutNonce(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.WithContext(context.WithValue(r.Context(), nonceKey{}, (*answer)(nil)))
		defer func() { r.Pattern, r.MultipartForm = inner.Pattern, inner.MultipartForm }()
		next.ServeHTTP(w, inner)
	})
}
