package trustedhost

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/internal/hostport"
	"github.com/gatehouse-go/gatehouse/internal/problem"
)

// location builds the target of a redirect. Scheme and host come from the
// Config and from what it accepted, never from the raw request; the rest is a
// port that is a number, a path that begins with a slash, and a query.
func (m *Middleware) location(r *http.Request, to Host, from *hostport.Authority) string {
	wasHTTPS := m.https(r)
	scheme := "http://"
	if m.redirectHTTPS || wasHTTPS {
		scheme = "https://"
	}
	to.Port, to.HasPort = from.Port, from.HasPort
	if m.redirectHTTPS && !wasHTTPS && to.Port == 80 {
		to.Port, to.HasPort = 0, false // no https is spoken there
	}
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		path = "" // OPTIONS *, whose URI has no path (RFC 9112, section 3.2.4)
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		path += "?" + headervalue.EscapeQuery(r.URL.RawQuery)
	}
	return scheme + to.String() + path
}

// writeRedirect answers 308, which keeps method and body (RFC 9110, section 15.4.9).
// Browsers keep a 308 without a lifetime for as long as they like, and with it
// a mistake in the Config: an hour is enough. No shared cache may keep it: one
// whose key lacks the scheme, or the host that a proxy reports, would send
// everybody from https to https, round and round, after one visit over http.
func writeRedirect(w http.ResponseWriter, location string) {
	h := w.Header()
	problem.DropEntity(h)
	v := []string{location, "0", "private, max-age=3600"} // one fresh array for all three
	h["Location"] = v[0:1:1]
	h["Content-Length"] = v[1:2:2]
	h["Cache-Control"] = v[2:3:3]
	w.WriteHeader(http.StatusPermanentRedirect)
}

// authority is the host as the parser would give it.
func (h Host) authority() *hostport.Authority {
	return &hostport.Authority{
		Name: h.Name, Addr: h.Addr, Port: h.Port, HasPort: h.HasPort,
		Underscore: strings.Contains(h.Name, "_"),
	}
}

func compareHosts(a, b Host) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr))
}
