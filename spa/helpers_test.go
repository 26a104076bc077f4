package spa_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/spa"
)

const indexHTML = `<!doctype html>
<html lang="en"><head>
<meta charset="utf-8">
<link rel="icon" href="/favicon.ico">
<link rel="stylesheet" href="/assets/index-DiwrgTda.css">
<script type="module" crossorigin src="/assets/index-BxYz12_-.js"></script>
</head><body><div id="app"></div></body></html>
`

// repeated is text that compresses well.
func repeated(s string, n int) []byte { return bytes.Repeat([]byte(s), n) }

func gz(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

func gunzip(t testing.TB, body []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(body))
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	require.NoError(t, err)
	return b.Bytes()
}

// mapFS makes a file system of names and contents.
func mapFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, body := range files {
		m[name] = &fstest.MapFile{Data: []byte(body)}
	}
	return m
}

// viteFiles is a build as Vite leaves it, with some of everything.
func viteFiles() map[string]string {
	return map[string]string{
		"index.html":                             indexHTML,
		"favicon.ico":                            "ico",
		"robots.txt":                             "User-agent: *\n",
		"manifest.webmanifest":                   `{"name":"app"}`,
		"assets/index-BxYz12_-.js":               strings.Repeat("console.log('app');\n", 200),
		"assets/index-BxYz12_-.js.br":            "pretended brotli",
		"assets/index-DiwrgTda.css":              strings.Repeat("body{margin:0}\n", 100),
		"assets/logo-C0ffee9X.svg":               "<svg xmlns='http://www.w3.org/2000/svg'/>",
		"assets/worker-D4taF1le.mjs":             "export {}",
		"assets/engine-Q2Fz8_aB.wasm":            "\x00asm\x01\x00\x00\x00",
		"assets/inter-v13AbZ_9.woff2":            "wOF2",
		"assets/index-BxYz12_-.js.map":           `{"version":3}`,
		"assets/portrait.png":                    "png",
		"assets/photo-original.png":              "png",
		"about.html":                             "<title>About</title>",
		"docs/index.html":                        "<title>Docs</title>",
		"with space/ünï.txt":                     "text",
		"100%.txt":                               "text",
		".env":                                   "SECRET=1",
		".git/config":                            "secret",
		"assets/.hidden.js":                      "secret",
		".well-known/security.txt":               "Contact: mailto:a@b.example",
		".well-known/apple-app-site-association": "{}",
		"LICENSE":                                "MIT",
		"empty.txt":                              "",
	}
}

func viteFS() fstest.MapFS { return mapFS(viteFiles()) }

func newApp(t testing.TB, c spa.Config) *spa.Middleware {
	t.Helper()
	if c.FS == nil {
		c.FS = viteFS()
	}
	app, err := spa.New(c)
	require.NoError(t, err)
	return app
}

// ask sends a request; header is pairs of names and values.
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://app.example/", nil)
	u, err := url.ParseRequestURI(target) // as net/http reads the target of a request
	if err != nil {
		panic(err)
	}
	r.URL, r.RequestURI = u, target
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}
