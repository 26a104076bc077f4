package secheaders_test

import (
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing/fstest"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

func Example() {
	headers, err := secheaders.New(secheaders.Config{})
	if err != nil {
		panic(err)
	}
	handler := headers.Handler(http.NotFoundHandler())

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "https://example.com/", nil))
	fmt.Println(answer.Code)
	fmt.Println(answer.Header().Get("Content-Security-Policy"))
	fmt.Println(answer.Header().Get("Strict-Transport-Security"))
	// Output:
	// 404
	// default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; upgrade-insecure-requests
	// max-age=63072000; includeSubDomains
}

// A page with an inline script: html/template puts the nonce of this answer in,
// and the policy names the same one.
func ExampleNonce() {
	c := secheaders.Default()
	c.CSP.Script = []secheaders.Source{secheaders.NonceSource, secheaders.StrictDynamic}
	headers, err := secheaders.New(c)
	if err != nil {
		panic(err)
	}
	page := template.Must(template.New("page").Parse(`<script nonce="{{.Nonce}}">start()</script>`))
	handler := headers.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = page.Execute(w, map[string]string{"Nonce": secheaders.Nonce(r.Context())})
	}))

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	_, rest, _ := strings.Cut(answer.Body.String(), `nonce="`)
	nonce, _, _ := strings.Cut(rest, `"`)
	fmt.Println(len(nonce))
	fmt.Println(strings.Contains(answer.Header().Get("Content-Security-Policy"), "script-src 'nonce-"+nonce+"' 'strict-dynamic'"))
	fmt.Println(answer.Header().Get("Cache-Control"))
	// Output:
	// 22
	// true
	// no-store
}

func ExampleNew_mistakes() {
	_, err := secheaders.New(secheaders.Config{
		CSP: &secheaders.Policy{
			Default: []secheaders.Source{"self"},
			Script:  []secheaders.Source{"'unsafe-inlin'", "https://cdn.example.com;"},
		},
		HSTS: &secheaders.HSTS{Preload: true, ExcludeSubDomains: true},
	})
	fmt.Println(err)
	// Output:
	// secheaders: CSP.Default[0] "self": is a keyword without its single quotes, which browsers read as a host name; write 'self'
	// secheaders: CSP.Script[0] "'unsafe-inlin'": is no keyword of CSP; did you mean 'unsafe-inline'?
	// secheaders: CSP.Script[1] "https://cdn.example.com;": has a semicolon, which would begin another directive; in a path write %3B
	// secheaders: HSTS: has Preload without the subdomains; the preload list requires them
}

// The sign-in page opens a popup of another origin; every other page keeps its
// windows to itself.
func ExampleMiddleware_With() {
	headers, err := secheaders.New(secheaders.Config{})
	if err != nil {
		panic(err)
	}
	signIn, err := headers.With(func(c *secheaders.Config) { c.COOP = secheaders.COOPSameOriginAllowPopups })
	if err != nil {
		panic(err)
	}
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("/", ok)
	mux.Handle("/login", signIn.Handler(ok))
	handler := headers.Handler(mux)

	for _, path := range []string{"/", "/login"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, answer.Header().Get("Cross-Origin-Opener-Policy"))
	}
	// Output:
	// / same-origin
	// /login same-origin-allow-popups
}

// CSP comes from the environment and is checked like a typed one.
func ExampleParsePolicy() {
	policy, err := secheaders.ParsePolicy(`
		default-src 'self';
		img-src     'self' data: https://img.example.com`)
	if err != nil {
		panic(err)
	}
	fmt.Println(policy)

	_, err = secheaders.ParsePolicy("default-src none; srcipt-src 'self'")
	fmt.Println(err)
	// Output:
	// default-src 'self'; img-src 'self' data: https://img.example.com
	// secheaders: srcipt-src: is no directive of CSP; did you mean script-src?
	// secheaders: default-src[0] "none": is a keyword without its single quotes, which browsers read as a host name; write 'none'
}

// The built page of an app: its inline script is allowed by hash, so the page
// stays cacheable and the same for everybody.
func ExampleHashHTML() {
	dist := fstest.MapFS{"index.html": {Data: []byte(`<!doctype html><script>start()</script><script src="/app.js"></script>`)}}
	script, style, err := secheaders.HashHTML(dist, "index.html") // an os.DirFS or embed.FS
	if err != nil {
		panic(err)
	}
	c := secheaders.Default()
	c.CSP.Script = append([]secheaders.Source{secheaders.Self}, script...)
	c.CSP.Style = append([]secheaders.Source{secheaders.Self}, style...)
	fmt.Println(c.CSP)
	// Output:
	// default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; script-src 'self' 'sha256-DIm7WJS6ZKDYe5qFLPy+h4JFI9Bol5QmYC57mt3Fb00='; style-src 'self'; upgrade-insecure-requests
}

// Browsers tell of what the policy blocked; a log line each.
func ExampleNewCollector() {
	reports, err := secheaders.NewCollector(secheaders.CollectorConfig{
		OnReport: func(_ *http.Request, r secheaders.Report) {
			if r.CSP != nil {
				fmt.Printf("%s: %s blocked %s\n", r.URL, r.CSP.Directive, r.CSP.BlockedURL)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	c := secheaders.Default()
	c.Reporting = map[string]string{"main": "/reports"}
	c.CSP.ReportTo = "main"
	headers, err := secheaders.New(c)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/reports", reports) // behind a rate limit: anybody can send reports
	handler := headers.Handler(mux)

	r := httptest.NewRequest(http.MethodPost, "/reports", strings.NewReader(`[{"type":"csp-violation","url":"https://app.example/cart?session=1",
		"body":{"effectiveDirective":"img-src","blockedURL":"https://attacker.example/pixel?stolen=2"}}]`))
	r.Header.Set("Content-Type", "application/reports+json")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	fmt.Println(answer.Code)
	// Output:
	// https://app.example/cart: img-src blocked https://attacker.example/pixel
	// 204
}

func ExampleLint() {
	c := secheaders.Default()
	c.CSP.Script = []secheaders.Source{secheaders.Self, secheaders.UnsafeInline}
	for _, f := range secheaders.Lint(c) {
		fmt.Println(f.ID, f.Severity, f.Field)
	}
	// Output:
	// csp-unsafe-inline high CSP.Script
}

// A fixed nonce protects nobody: whoever reads the page once knows it. It does
// not compile into a Middleware.
func ExampleNonce_incorrect() {
	c := secheaders.Default()
	c.CSP.Script = []secheaders.Source{"'nonce-r4nd0m'"}
	_, err := secheaders.New(c)
	fmt.Println(err)
	// Output:
	// secheaders: CSP.Script[0] "'nonce-r4nd0m'": is a fixed nonce, the same for everybody who reads the page; use NonceSource, which is drawn for each response
}
