package spa_test

import (
	"fmt"
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
