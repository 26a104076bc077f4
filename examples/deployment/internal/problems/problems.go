// Package problems writes the application's errors as problem details
// (RFC 9457). Details are constants of the program, never a client's words.
package problems

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Write answers with the status and what the client can do about it.
func Write(w http.ResponseWriter, r *http.Request, status int, detail string) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{http.StatusText(status), status, detail})
	if err != nil {
		panic(err) // strings and ints only
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that left is no error of ours
	}
}

// Unauthorized asks for a token (RFC 6750, section 3). code is "" where none was
// sent, else "invalid_token".
func Unauthorized(w http.ResponseWriter, r *http.Request, code string) {
	challenge := `Bearer realm="api"`
	if code != "" {
		challenge += `, error="` + code + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	Write(w, r, http.StatusUnauthorized, "Log in first.")
}

// Unavailable says that something behind the service is away, and when to try
// again.
func Unavailable(w http.ResponseWriter, r *http.Request, after time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	Write(w, r, http.StatusServiceUnavailable, "A service behind this one does not answer. Try again shortly.")
}

// Fallback is for the pattern "/api/" of a mux: JSON instead of the mux's own
// plain text. A path that has routes for other methods is a 405 with Allow (RFC
// 9110, section 15.5.6), every other one a 404.
func Fallback(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		probe := *r
		allow := ""
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
			probe.Method = m
			if _, pattern := mux.Handler(&probe); pattern != "" && pattern != r.Pattern {
				if allow != "" {
					allow += ", "
				}
				allow += m
			}
		}
		if allow == "" {
			Write(w, r, http.StatusNotFound, "There is no such resource.")
			return
		}
		w.Header().Set("Allow", allow)
		Write(w, r, http.StatusMethodNotAllowed, "This resource has other methods, named in Allow.")
	})
}
