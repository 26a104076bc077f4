package secheaders_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

// Hashes of "alert(1)", by another tool: printf 'alert(1)' | openssl dgst -sha256 -binary | base64
const (
	alert256 = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
	alert384 = "'sha384-HT2E9NfWiuQ/w1PRai+hTyqW16NIoCGA/m8VQDUopfAtcz6YQjtsMmQd5uRbVDpW'"
)

func TestSHA256IsTheHashThatBrowsersCompute(t *testing.T) {
	assert.Equal(t, secheaders.Source(alert256), secheaders.SHA256([]byte("alert(1)")))
}

func TestSourcesThatAreAccepted(t *testing.T) {
	for _, s := range []secheaders.Source{
		"'self'", "https:", "data:", "blob:", "wss:", "mediastream:", "custom+app:", "*", "*:443", "https://*", "https://*:8443",
		"example.com", "*.example.com", "https://example.com", "https://example.com:8443", "example.com:*",
		"http://localhost:3000", "127.0.0.1:8080", "https://example.com/path/to/lib.js", "https://example.com/a%3Bb",
		"wss://ws.example.com", "xn--bcher-kva.example", "under_score.example.com", "https://example.com/",
	} {
		_, err := secheaders.ParsePolicy("img-src " + string(s))
		assert.NoError(t, err, "%s", s)
	}
	for _, s := range []string{
		"'unsafe-inline'", "'unsafe-eval'", "'wasm-unsafe-eval'", "'unsafe-hashes'", "'report-sample'",
		"'inline-speculation-rules'", "'trusted-types-eval'", "'nonce-{nonce}'", "'strict-dynamic' 'nonce-{nonce}'",
		alert256, alert384, "'strict-dynamic' " + alert256, strings.ReplaceAll(alert256, "+", "-"),
	} {
		_, err := secheaders.ParsePolicy("script-src " + s)
		assert.NoError(t, err, "%s", s)
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	for source, says := range map[secheaders.Source]string{
		"":                      "is empty",
		"'self';script-src":     "semicolon",
		"https://a.example/a;b": "semicolon",
		"https://a.example/a,b": "comma",
		"'self' https:":         "white space",
		"'self'\n":              "white space",
		"a\x00b":                "control byte",
		"a\x7fb":                "control byte",
		"bücher.example":        "xn--",
		`"self"`:                "double quote",
		"self":                  "write 'self'",
		"NONE":                  "write 'none'",
		"unsafe-inline":         "write 'unsafe-inline'",
		"nonce-abc":             "single quotes",
		"sha256-abc":            "single quotes",
		"'self":                 "did you mean 'self'?",
		"self'":                 "did you mean 'self'?",
		"'SELF'":                "did you mean 'self'?",
		"'unsafe_inline'":       "did you mean 'unsafe-inline'?",
		"'whatever'":            "is no keyword of CSP",
		"'nonce-abc123'":        "NonceSource",
		"'nonce-'":              "NonceSource",
		"'sha256-'":             "0 bytes",
		"'sha256-YWJj'":         "3 bytes where the algorithm has 32",
		secheaders.Source(strings.Replace(alert256, "256", "512", 1)): "32 bytes where the algorithm has 64",
		secheaders.Source(strings.Replace(alert256, "=", "", 1)):      "padded base64",
		secheaders.Source(strings.TrimSuffix(alert256, "'")):          "both ends",
		"'sha1-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='":         "is no keyword",
		"https://":                               "is empty",
		"https:///path":                          "is empty",
		"//a.example":                            "is empty",
		"https://user@a.example":                 "user information",
		"https://a.example?x":                    "query",
		"https://a.example/#x":                   "fragment",
		"https://a.example/%zz":                  "percent-encoding",
		"https://a.example/<b>":                  "percent-encode",
		"https://a.example:":                     "empty port",
		"a.example:":                             "host:*",
		"https://a.example:0":                    "port",
		"https://a.example:99999":                "port",
		"https://A.example":                      "lower case",
		"HTTPS:":                                 "lower case",
		"https://*.*.example":                    "pattern",
		"https://a*.example":                     "pattern",
		"*.":                                     "is empty",
		"*.10.0.0.1":                             "wildcard before an address",
		"*foo":                                   "pattern",
		"[::1]":                                  "IPv6",
		"https://[::1]:80":                       "IPv6",
		"a.example.":                             "ends in a dot",
		"-a.example":                             "hyphen",
		"htps:":                                  `did you mean "https:"?`,
		"htps://a.example":                       `did you mean "https:"?`,
		"1a:":                                    "is no scheme",
		"localhost:":                             "host:*",
		secheaders.Origin("'unsafe-inline'"):     "is no origin",
		secheaders.Origin("self"):                "is no origin",
		secheaders.Origin("https://a.example/"):  "has a path",
		secheaders.Origin("https://*.a.example"): "pattern",
		secheaders.Origin("https://a.example; script-src"): "byte that no host name has",
		secheaders.Origin("https://A.example"):             "lower case",
		secheaders.Scheme("'unsafe-inline'"):               "is no scheme",
		secheaders.Scheme(""):                              "is no scheme",
		`Origin("https://a.example")`:                      "double quote",
		`Scheme("data")`:                                   "double quote",
		"Origin(":                                          "no host name",
		secheaders.Scheme("*/"):                            "is no scheme",
		secheaders.Scheme("HTTPS"):                         "lower case",
		secheaders.Scheme("data: *"):                       "is no scheme",
	} {
		p := &secheaders.Policy{Default: []secheaders.Source{source}}
		_, err := secheaders.New(secheaders.Config{CSP: p})
		require.Equal(t, []string{"CSP.Default[0]"}, mistakesOf(t, err), "%q", source)
		assert.ErrorContains(t, err, says, "%q", source)
	}
}

func TestOriginAndSchemeMakeSources(t *testing.T) {
	assert.Equal(t, secheaders.Source("https://cdn.example.com:8443"), secheaders.Origin("https://cdn.example.com:8443"))
	assert.Equal(t, secheaders.Source("data:"), secheaders.Scheme("data"))
	assert.Equal(t, secheaders.Source("data:"), secheaders.Scheme("data:"))
}

func TestAKeywordWithoutEffectInItsDirectiveIsRefused(t *testing.T) {
	for _, bad := range []string{
		"img-src 'unsafe-inline'", "connect-src 'strict-dynamic'", "frame-ancestors 'unsafe-inline'",
		"style-src 'unsafe-eval'", "style-src 'strict-dynamic' " + alert256, "script-src-attr 'nonce-{nonce}'",
		"script-src-elem 'unsafe-eval'", "form-action " + alert256, "base-uri 'nonce-{nonce}'", "worker-src 'wasm-unsafe-eval'",
		"font-src 'report-sample'", "style-src-elem 'unsafe-hashes'",
	} {
		_, err := secheaders.ParsePolicy(bad)
		assert.ErrorContains(t, err, "has no effect in this directive", bad)
	}
}

func TestListsThatAreRefused(t *testing.T) {
	for bad, says := range map[string]string{
		"":                                    "has no directive",
		" ; ;":                                "has no directive",
		"default-src":                         "is empty",
		"default-src 'none' 'self'":           "'none' beside other sources",
		"default-src 'self' 'self'":           "is listed twice",
		"script-src 'self' 'strict-dynamic'":  "without a nonce or a hash",
		"frame-ancestors https://a.example/x": "compares origins only",
		"sandbox allow-script":                "did you mean allow-scripts?",
		"sandbox allow-forms allow-forms":     "is listed twice",
		"trusted-types":                       "is empty",
		"trusted-types 'none' app":            "stands beside other names",
		"trusted-types a!":                    "no policy name",
		"require-trusted-types-for":           "takes exactly the value 'script'",
		"require-trusted-types-for 'style'":   "takes exactly the value 'script'",
		"report-to":                           "takes exactly one endpoint name",
		"report-to a b":                       "takes exactly one endpoint name",
		"report-to Main":                      "no endpoint name",
		"report-uri":                          "is empty",
		"report-uri reports":                  "neither a path",
		"report-uri //a.example":              "neither a path",
		"report-uri http://a.example/":        "plain HTTP",
		"report-uri https://u:p@a.example/":   "user information",
		"report-uri /a#b":                     "fragment",
		"report-uri /{nonce}":                 "percent-encode",
		"upgrade-insecure-requests 1":         "takes no value",
		"default-src 'self', img-src *":       "comma",
		"default-src 'self'; default-src *":   "is given twice",
		"defualt-src 'self'":                  "did you mean default-src?",
		"Default-Src 'self'":                  "write default-src",
		"block-all-mixed-content":             "is deprecated",
		"plugin-types application/pdf":        "is deprecated",
		"referrer no-referrer":                "is deprecated",
		"reflected-xss block":                 "is deprecated",
		"script-src-elements 'self'":          "is no directive of CSP",
	} {
		_, err := secheaders.ParsePolicy(bad)
		assert.ErrorContains(t, err, says, bad)
	}
}

func TestAPolicyThatIsParsedPrintsOnOneLineInTheOrderOfTheDocs(t *testing.T) {
	p, err := secheaders.ParsePolicy("worker-src blob:;upgrade-insecure-requests;\r\n\tsandbox ; report-to main; report-uri /a https://r.example/b\n" +
		";require-trusted-types-for 'script';trusted-types app 'allow-duplicates'; script-src\f'self' 'nonce-{nonce}' ; default-src 'self'; base-uri 'none';")
	require.NoError(t, err)
	want := "default-src 'self'; base-uri 'none'; script-src 'self' 'nonce-{nonce}'; worker-src blob:; sandbox; " +
		"trusted-types app 'allow-duplicates'; require-trusted-types-for 'script'; report-uri /a https://r.example/b; report-to main; upgrade-insecure-requests"
	assert.Equal(t, want, p.String())
}

func TestAParsedPolicyIsTheTypedOne(t *testing.T) {
	p, err := secheaders.ParsePolicy(secheaders.Default().CSP.String())
	require.NoError(t, err)
	assert.Equal(t, secheaders.Default().CSP, p)
}

func TestEveryDirectiveHasItsField(t *testing.T) {
	// The names are those of CSP Level 3, sections 6.1 to 6.4, and MDN.
	for _, name := range []string{
		"default-src", "script-src", "script-src-elem", "script-src-attr", "style-src", "style-src-elem", "style-src-attr",
		"img-src", "font-src", "connect-src", "media-src", "object-src", "frame-src", "child-src", "worker-src", "manifest-src",
		"base-uri", "form-action", "frame-ancestors",
	} {
		p, err := secheaders.ParsePolicy(name + " 'self'")
		require.NoError(t, err, name)
		assert.Equal(t, name+" 'self'", p.String())
	}
}

func TestPermissionsAreStructuredFields(t *testing.T) {
	for want, p := range map[string]secheaders.Permissions{
		"camera=()":     {secheaders.Camera: nil},
		"camera=*":      {secheaders.Camera: {"*"}},
		"camera=(self)": {secheaders.Camera: {"self"}},
		`camera=(self "https://*.a.example:8443"), usb=()`: {secheaders.USB: {}, secheaders.Camera: {"self", "https://*.a.example:8443"}},
	} {
		assert.Equal(t, want, build(t, secheaders.Config{Permissions: p}).Describe().Get("Permissions-Policy"))
	}
	for says, p := range map[string]secheaders.Permissions{
		"is empty":                   {},
		"is no feature name":         {"Camera": nil},
		"did you mean microphone?":   {"micropone": nil},
		`write "self"`:               {secheaders.Camera: {"'none'"}},
		"allows everybody":           {secheaders.Camera: {"self", "*"}},
		"listed twice":               {secheaders.Camera: {"self", "self"}},
		"is no origin":               {secheaders.Camera: {"a.example"}},
		"has a path":                 {secheaders.Camera: {"https://a.example/"}},
		"is no http or https origin": {secheaders.Camera: {"ftp://a.example"}},
		"byte that no host name has": {secheaders.Camera: {`https://a.example"`}},
	} {
		_, err := secheaders.New(secheaders.Config{Permissions: p})
		require.Len(t, mistakesOf(t, err), 1, "%v", p)
		assert.ErrorContains(t, err, says)
	}
}
