package corsx_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/corsx"
)

// The oracle of FuzzOrigin is the standard library's URL parser, another
// implementation than the one under test: what it makes of a value must, put
// together again as browsers do, be that very value.
func serialised(value string) (scheme, host, port string, ok bool) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", "", "", false
	}
	again := u.Scheme + "://" + strings.ToLower(u.Host)
	return u.Scheme, u.Hostname(), u.Port(), again == value
}

// FuzzOrigin: a value is shared if and only if it is in the list byte for byte,
// or is the spelling of an origin that a pattern names; whatever is not shared
// is answered without a byte of it.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{
		"", "null", "*", app, app + "/", app + ":443", app + ", " + attacker, app + " " + app, attacker,
		"https://a.tenants.example.com", "https://tenants.example.com", "https://a.b.tenants.example.com",
		"https://evil.com/.tenants.example.com", "https://a@b.tenants.example.com", "https://evil.com#.tenants.example.com",
		"https://evil.com\\.tenants.example.com", "https://-.tenants.example.com", "https://.tenants.example.com",
		"https://a.tenants.example.com:443", "https://A.tenants.example.com", "https://a.tenants.example.com.",
		"http://localhost", "http://localhost:1", "http://localhost:65535", "http://localhost:65536", "http://localhost:01",
		"http://localhost:", "http://localhost:x", "http://localhost@evil.com", "https://127.0.0.1:8443", "http://127.1",
		"http://[::1]:80", "http://[::1", "http://[::1]x", "http://[0::1]", "ws://localhost", "HTTP://localhost",
		"https://[2001:db8::1]:8443", "https://a\x00.tenants.example.com", "https://ä.tenants.example.com", "https://%61.tenants.example.com",
	} {
		f.Add(s)
	}
	cfg := usual()
	cfg.Subdomains = []string{"https://*.tenants.example.com"}
	cfg.AllowLoopback = true
	m := build(f, cfg)
	enforced := cfg
	enforced.Enforce = true
	quiet, loud := m.Handler(teapot), build(f, enforced).Handler(teapot)
	f.Fuzz(func(t *testing.T, value string) {
		want := slices.Contains(cfg.Origins, value)
		if scheme, host, port, ok := serialised(value); ok && !want {
			label, below := strings.CutSuffix(host, ".tenants.example.com")
			want = below && scheme == "https" && port == "" && isNames(label) ||
				(scheme == "http" || scheme == "https") && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host) && isPort(value, port)
		}
		r := request("GET", "Origin", value)
		resp := serve(quiet, r)
		if got := sharedWith(resp, value, true); got != want {
			t.Fatalf("%q: shared %v, want %v", value, got, want)
		}
		d := m.Decide(r)
		if (d.Reason == corsx.Allowed) != want {
			t.Fatalf("%q: decided %+v, want allowed %v", value, d, want)
		}
		if strings.ContainsFunc(d.Origin, func(c rune) bool {
			return c <= ' ' || c > '~' || 'A' <= c && c <= 'Z' || strings.ContainsRune("/\\@,;\"'<>%", c) && c != '/'
		}) {
			t.Fatalf("%q: Decision.Origin is not safe to log: %q", value, d.Origin)
		}
		pre := serve(quiet, preflight(value, "GET"))
		if want != (pre.StatusCode == http.StatusNoContent) || want != mayBeSent(pre, value, "GET", nil, true) {
			t.Fatalf("%q: preflight %d %v", value, pre.StatusCode, pre.Header)
		}
		if !want {
			if len(resp.Header) != 1 || len(pre.Header) != 1 {
				t.Fatalf("%q: a refusal carries more than Vary: %v %v", value, resp.Header, pre.Header)
			}
			refused := serve(loud, r)
			if own := value == "http://api.example.com" || value == "https://api.example.com"; !own && refused.StatusCode != http.StatusForbidden {
				t.Fatalf("%q: %d under Enforce", value, refused.StatusCode)
			}
		}
	})
}

// isNames tells whether s is labels of letters, digits, hyphens (not at either
// end) and underscores, short enough to stand before .tenants.example.com.
func isNames(s string) bool {
	if len(s)+len(".tenants.example.com") > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// isPort tells whether the value ends as an origin with this port does.
func isPort(value, port string) bool {
	if port == "" {
		return !strings.HasSuffix(value, ":")
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(port[i]-'0')
	}
	return port[0] != '0' && n <= 65535
}

// FuzzPreflight: whatever a preflight asks for, a browser sends the request if
// and only if the Config allows origin, method and each header; every answer is
// under 1 KiB, and a refusal says nothing.
func FuzzPreflight(f *testing.F) {
	for _, c := range [][3]string{
		{app, "PUT", "authorization"},
		{app, "PUT", "authorization,content-type"},
		{app, "PUT", "Content-Type , AUTHORIZATION\n"},
		{app, "put", ""},
		{app, "OPTIONS", ""},
		{app, "", ""},
		{app, "GET", "x-other"},
		{attacker, "GET", ""},
		{"null", "GET", "*"},
		{app, "DELETE", ",,,"},
		{app, "DELETE", " , authorization"},
		{app, "DELETE", "authorization\ncontent-type"},
		{app, "DELETE", "\vauthorization"},
		{app, "PUT\n", "authorization;content-type"},
		{app, "PUT,DELETE", strings.Repeat(",", 129)},
		{app, "GET", strings.Repeat("authorization,", 140)},
	} {
		f.Add(c[0], c[1], c[2])
	}
	cfg := usual()
	h := build(f, cfg).Handler(teapot)
	f.Fuzz(func(t *testing.T, origin, method, names string) {
		lines := strings.Split(names, "\n") // each is a header line
		want := slices.Contains(cfg.Origins, origin) && slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE"}, method)
		total, count := 0, 0
		for _, line := range lines {
			total += len(line)
			for name := range strings.SplitSeq(line, ",") {
				count++
				name = strings.ToLower(strings.Trim(name, " \t"))
				want = want && (name == "" || name == "authorization" || name == "content-type")
			}
		}
		want = want && total <= 2048 && count <= 128
		r := preflight(origin, method, lines...)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if (w.Code == http.StatusNoContent) != want || !want && w.Code != http.StatusForbidden {
			t.Fatalf("%q %q %q: %d, want allowed %v", origin, method, lines, w.Code, want)
		}
		size := 0
		for name, v := range w.Header() {
			size += len(name) + len(strings.Join(v, "")) + 4
		}
		if size+w.Body.Len() > 1024-60 {
			t.Fatalf("an answer of %d bytes", size)
		}
		if !want && (len(w.Header()) != 1 || w.Body.Len() > 0) {
			t.Fatalf("a refusal says more than Vary: %v %q", w.Header(), w.Body)
		}
	})
}

// FuzzConfig: New never panics; what it proposes it accepts; an origin that it
// accepts is its own serialisation, and only that is shared.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		app, app + "/", "HTTP://Example.com:80", "example.com", "https://*.example.com", "*", "null", "https://[2001:DB8::1]", "http://localhost:080",
		"https://a.b:65535", "http://127.1", "https://user@x.example", "//x.example", "http://x.example:443", "https://x.", "https://x:443:443", "https://*.run.app",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, cfg := range []corsx.Config{{Origins: []string{s}}, {Subdomains: []string{s}}} {
			_, err := corsx.New(cfg)
			if err == nil {
				continue
			}
			if _, tail, ok := strings.Cut(err.Error(), `did you mean "`); ok {
				better, _, _ := strings.Cut(tail, `"?`)
				if cfg.Origins != nil {
					cfg.Origins = []string{better}
				} else {
					cfg.Subdomains = []string{better}
				}
				// A pattern spelled right may still be a public suffix.
				if _, err := corsx.New(cfg); err != nil && (cfg.Origins != nil || strings.Contains(err.Error(), "did you mean")) {
					t.Fatalf("%q: proposed %q, then %v", s, better, err)
				}
			}
		}
		if m, err := corsx.New(corsx.Config{Origins: []string{s}}); err == nil {
			if _, _, _, ok := serialised(s); !ok {
				t.Fatalf("accepted %q, which is not serialised", s)
			}
			if d := m.Decide(request("GET", "Origin", s)); d.Reason != corsx.Allowed || d.Origin != s {
				t.Fatalf("accepted %q, then %+v", s, d)
			}
		}
		if m, err := corsx.New(corsx.Config{Subdomains: []string{s}}); err == nil {
			apex := strings.Replace(s, "*.", "", 1)
			if d := m.Decide(request("GET", "Origin", apex)); d.Reason == corsx.Allowed {
				t.Fatalf("%q allows the apex", s)
			}
		}
	})
}
