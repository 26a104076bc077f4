package trustedhost_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// What net/http makes of a request is not what a client's library would send:
// these tests write the bytes and frames themselves, to a real server. An answer
// is told as
//
//	the host that next saw
//	the reason of the refusal
//	"server 400": net/http refused it before the middleware
//	"reset": net/http reset the HTTP/2 stream

// wire starts a server; what next or the refusal says comes back in X-Saw.
func wire(t *testing.T, c trustedhost.Config, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	c.OnReject = func(w http.ResponseWriter, _ *http.Request, e *trustedhost.RejectError) {
		w.Header().Set("X-Saw", string(e.Reason))
	}
	srv := httptest.NewUnstartedServer(mustNew(t, c).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", r.Host)
		if hosts := r.Header["Host"]; c.Host != nil && hosts != nil {
			w.Header().Set("X-Saw", fmt.Sprintf("%q", hosts))
		}
	})))
	srv.Config.DisableGeneralOptionsHandler = true
	start(srv)
	t.Cleanup(srv.Close)
	return srv
}

func saw(status string, h http.Header) string {
	switch saw := h.Get("X-Saw"); {
	case saw != "":
		return saw
	case h.Get("Location") != "":
		return status + " " + h.Get("Location")
	}
	return "server " + status
}

// http1 sends the bytes as they are.
func http1(t *testing.T, srv *httptest.Server, raw string) string {
	t.Helper()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(c, raw)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	return saw(fmt.Sprint(resp.StatusCode), resp.Header)
}

// http2Fields sends one HEADERS frame with these names and values.
func http2Fields(t *testing.T, srv *httptest.Server, fields ...string) string {
	t.Helper()
	c, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, framer.WriteSettings())
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true,
	}))
	for {
		frame, err := framer.ReadFrame()
		require.NoError(t, err)
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			h := http.Header{}
			for _, field := range f.RegularFields() {
				h.Add(field.Name, field.Value)
			}
			return saw(f.PseudoValue("status"), h)
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		}
	}
}

var wireConfig = trustedhost.Config{
	Hosts: []string{"example.com", "*.example.com", "[::1]", "tunnel.example:443"}, ExemptPaths: []string{"/health"},
	Redirects: map[string]string{"old.example": "example.com"},
}

func TestHTTP1OnTheWire(t *testing.T) {
	srv := wire(t, wireConfig, (*httptest.Server).Start)
	for raw, want := range map[string]string{
		"GET / HTTP/1.1\nHost: example.com":                         "example.com",
		"GET / HTTP/1.1\nHost: EXAMPLE.com.:8080":                   "EXAMPLE.com.:8080",
		"GET / HTTP/1.1\nhost:\t example.com\t":                     "example.com",
		"GET / HTTP/1.1\nHost: [::1]:8080":                          "[::1]:8080",
		"GET / HTTP/1.0\nHost: example.com":                         "example.com",
		"GET / HTTP/1.1\nHost: attacker.example":                    "not allowed",
		"GET / HTTP/1.1\nHost: *":                                   "malformed",
		"GET / HTTP/1.1\nHost: *.example.com":                       "malformed",
		"GET / HTTP/1.1\nHost: example.com:99999":                   "malformed",
		"GET / HTTP/1.1\nHost: example.com:80:80":                   "malformed",
		"GET / HTTP/1.1\nHost: example.com:abc":                     "malformed",
		"GET / HTTP/1.1\nHost: a..example.com":                      "malformed",
		"GET / HTTP/1.1\nHost: .example.com":                        "malformed",
		"GET / HTTP/1.1\nHost: [::1":                                "malformed",
		"GET / HTTP/1.1\nHost: [::1%25lo]":                          "malformed",
		"GET / HTTP/1.1\nHost: ex%61mple.com":                       "malformed",
		"GET / HTTP/1.1\nHost: 127.1":                               "malformed",
		"GET / HTTP/1.1\nHost: a,example.com":                       "malformed",
		"GET / HTTP/1.1\nHost:":                                     "missing",
		"GET / HTTP/1.1\nX-Host: example.com":                       "server 400",
		"GET / HTTP/1.1\nHost: example.com\nHost: example.com":      "server 400",
		"GET / HTTP/1.1\nHost: example.com\nHost: attacker.example": "server 400",
		"GET / HTTP/1.0\nHost: example.com\nHost: attacker.example": "server 400",
		"GET / HTTP/1.1\nHost : example.com":                        "server 400",
		"GET / HTTP/1.1\nHost: example.com\n attacker.example":      "server 400",
		"GET / HTTP/1.1\nHost: attacker.example/.example.com":       "server 400",
		"GET / HTTP/1.1\nHost: user@example.com":                    "server 400",

		// HTTP/1.0 knows no Host.
		"GET / HTTP/1.0":                             "missing",
		"GET /health HTTP/1.0":                       "server 200",
		"HEAD /health HTTP/1.0":                      "server 200",
		"POST /health HTTP/1.0\nContent-Length: 0":   "missing",
		"GET /health HTTP/1.1\nHost:":                "missing",
		"GET /health HTTP/1.1\nHost: 10.0.3.7:8080":  "10.0.3.7:8080",
		"GET /health HTTP/1.1\nHost: 10.0.3.7:80:80": "malformed",

		// Absolute-form wins over Host (RFC 9112, section 3.2.2).
		"GET http://example.com/ HTTP/1.1\nHost: attacker.example":    "example.com",
		"GET http://attacker.example/ HTTP/1.1\nHost: example.com":    "not allowed",
		"GET HTTPS://A.example.com:8443/ HTTP/1.1\nHost: example.com": "A.example.com:8443",
		"GET http://example.com HTTP/1.1\nHost: x":                    "example.com",
		"GET http://example.com?q HTTP/1.1\nHost: x":                  "example.com",
		"GET http://probe.example/health HTTP/1.1\nHost: x":           "probe.example",
		"GET http://user@example.com/ HTTP/1.1\nHost: example.com":    "malformed",
		"GET http://@example.com/ HTTP/1.1\nHost: example.com":        "malformed",
		"GET http://user:pw@example.com/health HTTP/1.1\nHost: x":     "malformed",
		"GET ftp://example.com/ HTTP/1.1\nHost: example.com":          "malformed",
		"GET foo://example.com/health HTTP/1.1\nHost: example.com":    "malformed",
		"GET http:example.com HTTP/1.1\nHost: example.com":            "malformed",
		"GET example.com:80 HTTP/1.1\nHost: example.com":              "malformed",
		"GET http:///health HTTP/1.1\nHost: example.com":              "malformed",
		"GET http:/x HTTP/1.1\nHost: example.com":                     "malformed",
		"GET http://b%c3%bc.example.com/ HTTP/1.1\nHost: example.com": "malformed",
		"GET http://[::1%25lo]/ HTTP/1.1\nHost: example.com":          "malformed",
		"GET http://example.com:x/ HTTP/1.1\nHost: example.com":       "server 400",
		"GET http://a%2f.example.com/ HTTP/1.1\nHost: example.com":    "server 400",
		"GET //attacker.example/ HTTP/1.1\nHost: example.com":         "example.com", // a path
		"GET /http://attacker.example/ HTTP/1.1\nHost: example.com":   "example.com",
		"GET http://attacker.example/ HTTP/1.0":                       "not allowed",
		"GET http://example.com/ HTTP/1.0":                            "example.com",

		// Asterisk-form, authority-form, and the preface of HTTP/2.
		"OPTIONS * HTTP/1.1\nHost: example.com":                           "example.com",
		"OPTIONS * HTTP/1.1\nHost: attacker.example":                      "not allowed",
		"OPTIONS * HTTP/1.1\nHost: old.example:81":                        "308 http://example.com:81",
		"GET http://old.example HTTP/1.1\nHost: x":                        "308 http://example.com",
		"GET * HTTP/1.1\nHost: old.example":                               "308 http://example.com",
		"CONNECT tunnel.example:443 HTTP/1.1\nHost: x":                    "tunnel.example:443",
		"CONNECT tunnel.example:444 HTTP/1.1\nHost: x":                    "not allowed",
		"CONNECT attacker.example:443 HTTP/1.1\nHost: tunnel.example:443": "not allowed",
		"CONNECT example.com HTTP/1.1\nHost: x":                           "malformed", // RFC 9110, section 9.3.6: the port must be there
		"CONNECT example.com: HTTP/1.1\nHost: x":                          "malformed",
		"CONNECT user@example.com:443 HTTP/1.1\nHost: x":                  "malformed",
		"CONNECT example.com:443/ HTTP/1.1\nHost: x":                      "malformed",
		"CONNECT example.com:443?x HTTP/1.1\nHost: x":                     "malformed",
		"CONNECT example.com:443? HTTP/1.1\nHost: x":                      "malformed",
		"CONNECT http://example.com:443/ HTTP/1.1\nHost: x":               "malformed",
		"CONNECT /rpc HTTP/1.1\nHost: example.com":                        "example.com", // net/rpc
		"CONNECT /rpc HTTP/1.1":                                           "missing",
		"CONNECT old.example:443 HTTP/1.1\nHost: old.example":             "not allowed", // a tunnel is not redirected
		"PRI * HTTP/2.0": "missing",
	} {
		assert.Equal(t, want, http1(t, srv, strings.ReplaceAll(raw, "\n", "\r\n")+"\r\n\r\n"), "%q", raw)
	}
}

func TestHTTP2OnTheWire(t *testing.T) {
	srv := wire(t, wireConfig, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	get := func(authority, path string, more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":authority", authority, ":path", path}, more...)
	}
	noAuthority := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":path", "/"}, more...)
	}
	for _, c := range []struct {
		want   string
		fields []string
	}{
		{"example.com", get("example.com", "/")},
		{"A.Example.com.:8443", get("A.Example.com.:8443", "/")},
		{"not allowed", get("attacker.example", "/")},
		// :authority may hold any byte that a field may (its syntax is not checked).
		{"malformed", get("attacker.example/.example.com", "/")},
		{"malformed", get("attacker.example#.example.com", "/")},
		{"malformed", get("attacker.example?.example.com", "/")},
		{"malformed", get(`attacker.example\.example.com`, "/")},
		{"malformed", get("attacker.example .example.com", "/")},
		{"malformed", get("example.com\t", "/")},
		{"malformed", get("b\u00fccher.example.com", "/")},
		{"malformed", get("a\xff.example.com", "/")},
		{"malformed", get("example.com:443:80", "/")},
		{"malformed", get("attacker.example/.example.com", "/health")},
		{"reset", get("a\x00.example.com", "/")},
		{"reset", get("a\r\n.example.com", "/")},
		{"reset", get("user@example.com", "/")},
		{"reset", get("example.com:@attacker.example", "/")},
		{"reset", get("example.com", "/", ":authority", "attacker.example")},

		// No :authority: Host takes its place (RFC 9113, section 8.3.1).
		{"missing", noAuthority()},
		{"missing", get("", "/")},
		{"example.com", noAuthority("host", "example.com")},
		{"example.com", get("", "/", "host", "example.com")},
		{"not allowed", noAuthority("host", "attacker.example")},
		{"malformed", noAuthority("host", "attacker.example/.example.com")},
		{"conflict", noAuthority("host", "example.com", "host", "attacker.example")},
		{"reset", noAuthority("host", "user@example.com")},

		// Both must be the same, after normalisation.
		{"example.com", get("example.com", "/", "host", "example.com")},
		{"EXAMPLE.com", get("EXAMPLE.com", "/", "host", "example.COM.")},
		{"[0::1]:080", get("[0::1]:080", "/", "host", "[::1]:80")},
		{"conflict", get("example.com", "/", "host", "attacker.example")},
		{"conflict", get("example.com", "/", "host", "a.example.com")},
		{"conflict", get("attacker.example", "/", "host", "example.com")},
		{"conflict", get("example.com", "/", "host", "example.com:8443")},
		{"conflict", get("example.com", "/", "host", "example.com:443")}, // the scheme's port is a port here too
		{"conflict", get("[::1]", "/", "host", "example.com")},
		{"conflict", get("[::1]", "/", "host", "[::2]")},
		{"conflict", get("[::1]", "/", "host", "[::ffff:0.0.0.1]")},
		{"conflict", get("example.com", "/health", "host", "probe.example")},
		{"conflict", get("example.com", "/", "host", "example.com", "host", "example.com")},
		{"malformed", get("example.com", "/", "host", "")},
		{"malformed", get("example.com", "/", "host", "example.com,attacker.example")},
		{"malformed", get("example.com", "/", "host", "user@example.com")},
		{"malformed", get("a b", "/", "host", "example.com")},

		// :path may be absolute for net/http, which then fills URL.Host from it.
		{"example.com", get("example.com", "http://example.com/x")},
		{"Example.com", get("Example.com", "https://example.com./x")},
		{"conflict", get("example.com", "http://attacker.example/x")},
		{"conflict", get("attacker.example", "http://example.com/x")},
		{"conflict", get("example.com", "http://example.com:80/x")},
		{"conflict", get("probe.example", "http://example.com/health")},
		{"malformed", get("example.com", "http://user@example.com/x")},
		{"malformed", get("example.com", "http://user@attacker.example/x")},
		{"malformed", get("example.com", "ftp://example.com/x")},
		{"malformed", get("example.com", "foo:bar")},
		{"malformed", get("example.com", "http:///x")},
		{"example.com", get("example.com", "//attacker.example/x")}, // a path
		{"example.com", get("example.com", "*")},
		{"reset", get("example.com", "attacker.example/x")},
		{"conflict", get("example.com", "http://example.com/x", "host", "attacker.example")},

		{"tunnel.example:443", []string{":method", "CONNECT", ":authority", "tunnel.example:443"}},
		{"not allowed", []string{":method", "CONNECT", ":authority", "attacker.example:443"}},
		{"malformed", []string{":method", "CONNECT", ":authority", "example.com"}},
		{"conflict", []string{":method", "CONNECT", ":authority", "tunnel.example:443", "host", "example.com"}},
		{"308 https://example.com/a?b", get("old.example", "/a?b")},
		{"308 https://example.com/%20%C3%BC?b%20%80%23c", get("old.example", "/ \u00fc?b \x80#c")},
		{"308 https://example.com//attacker.example/", get("old.example", "//attacker.example/")},
		{"308 https://example.com", get("old.example", "*")},
		// :scheme is the client's word; the connection's is what counts.
		{"308 https://example.com/", []string{":method", "GET", ":scheme", "http", ":authority", "old.example", ":path", "/"}},
	} {
		assert.Equal(t, c.want, http2Fields(t, srv, c.fields...), "%q", c.fields)
	}
}

func TestAHostFunctionSeesAgreementOfTheRestToo(t *testing.T) {
	c := trustedhost.Config{
		Hosts: []string{"example.com"},
		Host:  func(r *http.Request) string { return r.Header.Get("X-Forwarded-Host") },
	}
	srv := wire(t, c, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	get := func(more ...string) string {
		return http2Fields(t, srv, append([]string{":method", "GET", ":scheme", "https", ":authority", "upstream", ":path", "/"}, more...)...)
	}
	assert.Equal(t, "example.com", get("x-forwarded-host", "EXAMPLE.com"))
	assert.Equal(t, "example.com", get("x-forwarded-host", "example.com", "host", "UPSTREAM"), "no other host is left in the header")
	assert.Equal(t, "conflict", get("x-forwarded-host", "example.com", "host", "example.com"))
	assert.Equal(t, "missing", get())
}

// A request made by a program, not by a server, must not crash a check either.
func TestARequestWithoutItsParts(t *testing.T) {
	m := mustNew(t, trustedhost.Config{Hosts: []string{"example.com"}, Redirects: map[string]string{"old.example": "example.com"}})
	assert.Equal(t, trustedhost.Malformed, reason(m.Check(&http.Request{Host: "old.example"})))
	assert.NoError(t, m.Check(&http.Request{Host: "example.com", URL: &url.URL{}}))
	assert.NoError(t, m.Check(&http.Request{Host: "old.example", URL: &url.URL{}}))
	assert.Equal(t, trustedhost.Missing, reason(m.Check(&http.Request{URL: &url.URL{}})))
}
