package spa_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing/fstest"

	"github.com/gatehouse-go/gatehouse/spa"
)

// dist stands for an embedded build:
//
//	//go:embed all:dist
//	var embedded embed.FS
//	dist, err := fs.Sub(embedded, "dist")
var dist = fstest.MapFS{
	"index.html": {Data: []byte(`<!doctype html><html><head>
<script type="module" src="/assets/index-BxYz12_-.js"></script>
</head><body></body></html>`)},
	"assets/index-BxYz12_-.js": {Data: []byte(`console.log("hello")`)},
}

func Example() {
	app, err := spa.New(spa.Config{FS: dist})
	if err != nil {
		fmt.Println(err) // every mistake, at once
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	handler := app.Handler(mux)

	for _, path := range []string{"/", "/projects/42", "/assets/index-BxYz12_-.js", "/assets/gone.js", "/api/ping", "/api/typo"} {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		fmt.Printf("%d %-25s %q\n", rec.Code, path, rec.Header().Get("Cache-Control"))
	}
	// Output:
	// 200 /                         "no-cache"
	// 200 /projects/42              "no-cache"
	// 200 /assets/index-BxYz12_-.js "public, max-age=31536000, immutable"
	// 404 /assets/gone.js           ""
	// 200 /api/ping                 ""
	// 404 /api/typo                 ""
}

// A build whose page and files do not fit together does not start: it would be a
// white page for everyone.
func ExampleNew_brokenBuild() {
	_, err := spa.New(spa.Config{
		FS:      fstest.MapFS{"index.html": {Data: []byte(`<head><script src="/_app/start.js"></script></head>`)}},
		Exclude: []string{"api"},
	})
	fmt.Println(err)
	// Output:
	// spa: Exclude[0] "api": is no URL path prefix; it reads like "/api/", without wildcards
	// spa: index.html: "/_app/start.js": is not in the build; go:embed leaves out names that begin with _ or . unless it is written "//go:embed all:dir"
}

// What the build needs of a Content-Security-Policy, to be given to package
// secheaders (its Policy takes these strings as Source).
func ExampleMiddleware_CSP() {
	app, err := spa.New(spa.Config{FS: fstest.MapFS{
		"index.html": {Data: []byte(`<head><script>start()</script><link rel="stylesheet" href="https://fonts.googleapis.com/css2?family=A"></head>`)},
		"app.wasm":   {Data: []byte("\x00asm")},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	needs := app.CSP()
	fmt.Println(needs.ScriptHashes, needs.Wasm, needs.StyleHosts, needs.FontHosts)
	// Output:
	// ['sha256-DIm7WJS6ZKDYe5qFLPy+h4JFI9Bol5QmYC57mt3Fb00='] true [https://fonts.googleapis.com] [https://fonts.gstatic.com]
}

// A page that was open during the deploy still finds its chunk.
func ExampleConfig_previous() {
	before := fstest.MapFS{
		"index.html":               {Data: []byte(`<head><script type="module" src="/assets/index-Q2Fz8_aB.js"></script></head>`)},
		"assets/index-Q2Fz8_aB.js": {Data: []byte(`console.log("before")`)},
	}
	app, err := spa.New(spa.Config{FS: dist, Previous: []fs.FS{before}})
	if err != nil {
		fmt.Println(err)
		return
	}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", "/assets/index-Q2Fz8_aB.js", nil))
	fmt.Println(rec.Code, rec.Body)
	// Output: 200 console.log("before")
}
