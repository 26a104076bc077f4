package trustedhost

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

func parse(s string) (hostport.Authority, bool) {
	a, err := hostport.Parse(s)
	return a, err == nil
}

// hasOneHost tells whether r.Host is the only place where the request names a
// host: origin-form on HTTP/1, an HTTP/2 request with :authority alone.
func hasOneHost(r *http.Request) bool {
	u := r.URL
	return u != nil && u.Scheme == "" && u.Host == "" && len(hostLines(r)) == 0
}

// hostLines are the Host lines beside :authority. On HTTP/1 there are none: the
// one line has become r.Host and left the header (see http.Request), which saves
// a lookup that would cost as much as that of the host.
func hostLines(r *http.Request) []string {
	if r.ProtoMajor == 1 {
		return nil
	}
	return r.Header["Host"]
}

// agree refuses a request whose target no origin server is sent, and one whose
// places for a host do not name the same: r.Host, the request target (RFC 9112,
// section 3.2.2: net/http makes it r.Host on HTTP/1, but keeps both on HTTP/2),
// and on HTTP/2 a Host field beside :authority (RFC 9113, section 8.3.1).
// Otherwise one handler would see this host and the next one that.
func agree(r *http.Request) Reason {
	u := r.URL
	if u == nil {
		return Malformed // no server makes such a request
	}
	if u.Scheme != "" || u.Host != "" {
		if !servable(r.Method, u) {
			return Malformed
		}
		if reason := same(u.Host, r.Host); reason != "" {
			return reason
		}
	}
	switch lines := hostLines(r); len(lines) {
	case 0:
		return ""
	case 1:
		return same(lines[0], r.Host)
	}
	return Conflict // HTTP/1 forbids a second line too (RFC 9112, section 3.2)
}

// servable tells whether a target that is not in origin-form is one that an
// origin server may be sent: the absolute-form of an http or https URI with a
// host and without user information (RFC 9110, section 4.2.4), or for CONNECT
// a host with a port and nothing else (section 9.3.6).
func servable(method string, u *url.URL) bool {
	if u.User != nil {
		return false
	}
	if method == http.MethodConnect && u.Scheme == "" {
		a, _ := parse(u.Host)
		return a.HasPort && u.Path == "" && u.RawQuery == "" && !u.ForceQuery
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" // "http:x" has none
}

// same compares two authorities by what they mean.
func same(x, y string) Reason {
	if x == y {
		return "" // whether it is well-formed is seen later
	}
	a, ok := parse(x)
	b, ok2 := parse(y)
	switch {
	case !ok || !ok2:
		return Malformed
	case a.Addr != b.Addr || a.Port != b.Port || !strings.EqualFold(a.Name, b.Name):
		return Conflict
	}
	return ""
}

// An exemption is the compiled form of ExemptPaths and ExemptPeers.
type exemption struct {
	paths map[string]bool
	peers []netip.Prefix
}

func (e *exemption) covers(r *http.Request) bool {
	if len(e.paths) == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead ||
		!e.paths[r.URL.Path] {
		return false
	}
	if len(e.peers) == 0 {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	for _, p := range e.peers {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// serveAs calls next with a copy of the request in which host is the only host
// there is. What net/http and the middleware outside read from the request
// afterwards is copied back: the route, and the form whose temporary files the
// server removes.
func serveAs(next http.Handler, w http.ResponseWriter, r *http.Request, host string) {
	r2 := r.WithContext(r.Context())
	r2.Host = host
	if r.URL.Host != "" {
		u := *r.URL
		u.Host = host
		r2.URL = &u
	}
	if _, ok := r.Header["Host"]; ok {
		r2.Header = maps.Clone(r.Header)
		delete(r2.Header, "Host")
	}
	defer func() { r.Pattern, r.MultipartForm = r2.Pattern, r2.MultipartForm }()
	next.ServeHTTP(w, r2)
}
