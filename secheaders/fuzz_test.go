package secheaders_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-go/gatehouse/internal/headervalue"
	"github.com/gatehouse-go/gatehouse/secheaders"
)

// The oracle: what is accepted prints to one header value that reads as an equal
// policy, and New accepts it, too (but for endpoints, which only a Config names).
func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{
		"default-src 'self'", "script-src 'nonce-{nonce}' 'strict-dynamic'; sandbox", "img-src *:443 data: https://*.example.com:8443/a%3B",
		"default-src\n'none';;report-uri /a https://b.example/c;upgrade-insecure-requests", "trusted-types a#b 'allow-duplicates' *",
		"script-src " + alert256, "default-src none", "style-src 'unsafe-inline", "x y; z", "report-to main", "\x00", "img-src ,",
		`img-src Origin("x")`, `img-src Origin(`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := secheaders.ParsePolicy(s)
		if err != nil {
			if p != nil {
				t.Fatal("a policy beside an error")
			}
			return
		}
		out := p.String()
		if !headervalue.IsValue(out) || strings.Contains(out, ",") {
			t.Fatalf("%q is no single header value", out)
		}
		again, err := secheaders.ParsePolicy(out)
		if err != nil || again.String() != out {
			t.Fatalf("%q reads as %v, %v", out, again, err)
		}
		c := secheaders.Config{CSP: p}
		if p.ReportTo != "" {
			c.Reporting = map[string]string{p.ReportTo: "/reports"}
		}
		if _, err := secheaders.New(c); err != nil {
			t.Fatalf("New refuses %q: %v", out, err)
		}
	})
}

// The oracle: whatever stands in the environment, a Source made by Origin or
// Scheme adds exactly one word to its directive, and never a keyword.
func FuzzSourcesFromTheEnvironment(f *testing.F) {
	for _, s := range []string{"https://a.example", "'unsafe-inline'", "data", "x; script-src *", "https://a.example,", "", "*", "https://[::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, source := range []secheaders.Source{secheaders.Origin(s), secheaders.Scheme(s)} {
			m, err := secheaders.New(secheaders.Config{CSP: &secheaders.Policy{Script: []secheaders.Source{source}}})
			if err != nil {
				continue
			}
			words := strings.Fields(m.Describe().Get("Content-Security-Policy"))
			if len(words) != 2 || strings.ContainsAny(words[1], "';,*") {
				t.Fatalf("%q became %q", s, words)
			}
		}
	})
}

// The oracle: New either refuses a header value or net/http sends it unchanged on
// both versions of HTTP; nothing that New accepts can lose a header.
func FuzzEveryAcceptedValueIsAHeaderValue(f *testing.F) {
	f.Add("self", "https://a.example", "main", "/reports", "noindex")
	f.Add("*", "a\r\nb", "Main", "https://a.example/\"", "\x00")
	f.Fuzz(func(t *testing.T, feature, allow, name, url, extra string) {
		m, err := secheaders.New(secheaders.Config{
			Permissions: secheaders.Permissions{secheaders.Feature(feature): {allow}},
			Reporting:   map[string]string{name: url},
			COOP:        secheaders.COOPSameOrigin.ReportTo(name),
			Extra:       http.Header{"X-Extra": {extra}},
		})
		if err != nil {
			return
		}
		for header, values := range m.Describe() {
			for _, v := range values {
				if !headervalue.IsValue(v) {
					t.Fatalf("%s: %q", header, v)
				}
			}
		}
	})
}
