package correlation

import (
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-go/gatehouse/internal/hostport"
)

// Transport wraps rt (nil: http.DefaultTransport) for outbound requests: one
// that is made with the context of a request or job and goes to a host of
// PropagateTo carries that ID in Header. Redirects are judged one by one, by the
// host that is really connected to. An ID that the caller set himself stays, and
// to hosts not listed nothing is added.
//
//	client := &http.Client{Transport: ids.Transport(nil)}
//	req, err := http.NewRequestWithContext(r.Context(), "GET", "http://api.internal/x", nil)
//
// The request is copied, never changed. It works inside and outside of
// otelhttp.NewTransport and other RoundTrippers. Safe for concurrent use if rt is.
func (m *Middleware) Transport(rt http.RoundTripper) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	return &transport{mw: m, next: rt}
}

type transport struct {
	mw   *Middleware
	next http.RoundTripper
}

// RoundTrip adds the ID where it may go.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	id := ID(r.Context())
	if id == "" || len(r.Header[t.mw.header]) > 0 || !t.mw.propagates(r) {
		return t.next.RoundTrip(r)
	}
	out := r.WithContext(r.Context()) // a shallow copy
	out.Header = maps.Clone(r.Header)
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header[t.mw.header] = []string{id}
	return t.next.RoundTrip(out)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// destination is a host of PropagateTo; port 0 is any.
type destination struct {
	name string // in lower case, without the dot of the root
	addr netip.Addr
	port uint16
}

func destinationOf(a hostport.Authority) destination {
	return destination{name: strings.ToLower(a.Name), addr: a.Addr, port: a.Port}
}

// propagates looks at the host that is connected to, which is the URL's; r.Host
// is only what the other side is told.
func (m *Middleware) propagates(r *http.Request) bool {
	if len(m.hosts) == 0 || r.URL == nil {
		return false
	}
	a, err := hostport.Parse(r.URL.Host)
	if err != nil {
		return false
	}
	d := destinationOf(a)
	switch {
	case d.port != 0:
	case r.URL.Scheme == "https":
		d.port = 443
	case r.URL.Scheme == "http":
		d.port = 80
	}
	if m.hosts[d] {
		return true
	}
	d.port = 0
	return m.hosts[d]
}
