package trustedhost_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/trustedhost"
)

func TestRedirects(t *testing.T) {
	aliases := trustedhost.Config{
		Hosts:       []string{"example.com", "*.example.com", "[fd00::1]", "both.example"},
		ExemptPaths: []string{"/health"},
		Redirects: map[string]string{
			"www.example.com": "example.com", "old.example": "example.com", "both.example": "example.com",
			"192.0.2.1": "example.com", "[2001:db8::1]": "[fd00::1]",
		},
	}
	upgrade := aliases
	upgrade.RedirectHTTPS = true
	for _, c := range []struct {
		config            trustedhost.Config
		tls               bool
		method, host, uri string
		want              string // "" is: next is called
	}{
		{aliases, false, "GET", "example.com", "/", ""},
		{aliases, false, "GET", "a.example.com", "/", ""},
		{aliases, false, "GET", "www.example.com", "/a/b?c=d&e", "http://example.com/a/b?c=d&e"},
		{aliases, true, "GET", "www.example.com", "/a/b?c=d&e", "https://example.com/a/b?c=d&e"},
		{aliases, true, "POST", "WWW.Example.com.", "/", "https://example.com/"},
		{aliases, true, "GET", "old.example:8443", "/x?", "https://example.com:8443/x?"},
		{aliases, true, "GET", "old.example:08443", "/", "https://example.com:8443/"},
		{aliases, false, "GET", "old.example:80", "/", "http://example.com:80/"},
		{aliases, true, "GET", "192.0.2.1", "/", "https://example.com/"},
		{aliases, true, "GET", "[2001:DB8:0::1]:81", "/", "https://[fd00::1]:81/"},
		{aliases, true, "GET", "x.old.example", "/", "refused"},
		{aliases, true, "GET", "www.example.com", "/health", ""},
		{aliases, true, "POST", "www.example.com", "/health", "https://example.com/health"},
		{aliases, true, "OPTIONS", "www.example.com", "*", "https://example.com"},

		{upgrade, true, "GET", "example.com", "/", ""},
		{upgrade, false, "CONNECT", "example.com", "/rpc", ""}, // a tunnel is not redirected
		{upgrade, false, "CONNECT", "old.example", "/rpc", "refused"},
		{aliases, true, "GET", "both.example", "/", "https://example.com/"}, // listed, and an alias all the same
		{upgrade, false, "GET", "example.com", "/a?b", "https://example.com/a?b"},
		{upgrade, false, "GET", "EXAMPLE.com.:80", "/", "https://example.com/"},
		{upgrade, false, "GET", "example.com:8080", "/", "https://example.com:8080/"},
		{upgrade, false, "GET", "[fd00:0::1]", "/", "https://[fd00::1]/"},
		{upgrade, false, "GET", "www.example.com", "/", "https://example.com/"}, // one step, not two
		{upgrade, true, "GET", "www.example.com:80", "/", "https://example.com:80/"},
		{upgrade, false, "GET", "attacker.example", "/", "refused"},
		{upgrade, false, "GET", "a b", "/", "refused"},
		{upgrade, false, "GET", "example.com", "/health", ""},
		{upgrade, false, "HEAD", "10.0.0.7:8080", "/health", ""},

		// What the client may choose of Location is behind the host, and no byte of
		// it can end the header line, the path or the query.
		{upgrade, false, "GET", "example.com", "//attacker.example/x", "https://example.com//attacker.example/x"},
		{upgrade, false, "GET", "example.com", "/@attacker.example", "https://example.com/@attacker.example"},
		{upgrade, false, "GET", "example.com", `/\attacker.example`, "https://example.com/%5Cattacker.example"},
		{upgrade, false, "GET", "example.com", "/%0d%0aSet-Cookie:x", "https://example.com/%0d%0aSet-Cookie:x"},
		{upgrade, false, "GET", "example.com", "/a%2fb%20c", "https://example.com/a%2fb%20c"},
		{upgrade, false, "GET", "example.com", "/a b\u00fc", "https://example.com/a%20b%C3%BC"},
		{upgrade, false, "GET", "example.com", "/?a b\u00fc#f\"<>", "https://example.com/?a%20b%C3%BC%23f%22%3C%3E"},
		{upgrade, false, "GET", "example.com", "/?q=%0d%0a%zz", "https://example.com/?q=%0d%0a%zz"},
		{upgrade, false, "GET", "example.com", "/#/route", "https://example.com/%23/route"},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.Host, r.RequestURI = c.host, c.uri
		u, err := url.ParseRequestURI(c.uri)
		if !assert.NoError(t, err) {
			continue
		}
		r.URL = u
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		m, called := mustNew(t, c.config), false
		w := serve(m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })), r)
		switch c.want {
		case "":
			assert.True(t, called, "%v", c)
			assert.NoError(t, m.Check(r))
		case "refused":
			assert.Equal(t, 400, w.Code, "%v", c)
			assert.Error(t, m.Check(r))
		default:
			assert.False(t, called, "%v", c)
			assert.Equal(t, 308, w.Code, "%v", c)
			assert.Equal(t, http.Header{
				"Location": {c.want}, "Content-Length": {"0"}, "Cache-Control": {"private, max-age=3600"},
			}, w.Header(), "these headers and nothing more")
			assert.Empty(t, w.Body.String())
			assert.NoError(t, m.Check(r), "a redirected request is not rejected")
			u, err := url.Parse(w.Header().Get("Location"))
			assert.NoError(t, err)
			assert.True(t, m.Allowed(u.Host), "the target is accepted: %s", u.Host)
		}
	}
}

func TestTheSchemeComesFromHTTPS(t *testing.T) {
	h := mustNew(t, trustedhost.Config{
		Hosts: []string{"example.com"}, RedirectHTTPS: true,
		HTTPS: func(r *http.Request) bool { return r.Header.Get("X-Forwarded-Proto") == "https" },
	}).Handler(nop)
	r := request("example.com")
	assert.Equal(t, 308, serve(h, r).Code)
	r.Header.Set("X-Forwarded-Proto", "https")
	assert.Equal(t, 200, serve(h, r).Code)
}

func TestAnAllowedNameIsUpgradedToo(t *testing.T) {
	h := mustNew(t, trustedhost.Config{
		Allow:         func(_ context.Context, name string) bool { return strings.HasSuffix(name, ".customer.example") },
		RedirectHTTPS: true,
	}).Handler(nop)
	assert.Equal(t, "https://shop.customer.example/", serve(h, request("SHOP.customer.example")).Header().Get("Location"))
	assert.Equal(t, 400, serve(h, request("attacker.example")).Code)
}

func TestANextHandlersHostIsThatOfTheAliasCheckToo(t *testing.T) {
	h := mustNew(t, trustedhost.Config{
		Hosts: []string{"example.com"}, Redirects: map[string]string{"www.example.com": "example.com"},
		Host: func(r *http.Request) string { return r.Header.Get("X-Forwarded-Host") },
	}).Handler(nop)
	r := request("attacker.example")
	r.Header.Set("X-Forwarded-Host", "www.example.com")
	assert.Equal(t, "http://example.com/", serve(h, r).Header().Get("Location"))
}
