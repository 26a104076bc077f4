package spa_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/mwtest"
	"github.com/gatehouse-go/gatehouse/spa"
)

const (
	forever = "public, max-age=31536000, immutable"
	noCache = "no-cache"

	chrome   = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
	axios    = "application/json, text/plain, */*"
	thePage  = "<the index page>"
	anything = "<anything>"
)

// request is a row of the table. status 200 with a name in file means the bytes
// of that file, thePage the index page; every other status has a body of its own.
type request struct {
	method, target string
	header         []string
	status         int
	file           string
	ctype, cache   string
}

func get(target, file, ctype, cache string) request {
	return request{"GET", target, nil, 200, file, ctype, cache}
}

func gone(target string, header ...string) request {
	return request{"GET", target, header, 404, "", "text/plain; charset=utf-8", ""}
}

func deep(target string, header ...string) request {
	return request{"GET", target, header, 200, thePage, "text/html; charset=utf-8", noCache}
}

// table holds requests to an app of viteFS mounted at "/", alone.
func table() []request {
	const js, html = "text/javascript; charset=utf-8", "text/html; charset=utf-8"
	dest := func(d string) []string { return []string{"Sec-Fetch-Dest", d} }
	rows := []request{
		// Files, their types (RFC 9239, IANA) and their caching.
		get("/", thePage, html, noCache),
		get("/index.html", thePage, html, noCache),
		get("/?utm=1", thePage, html, noCache),
		get("/favicon.ico", "favicon.ico", "image/vnd.microsoft.icon", noCache),
		get("/robots.txt", "robots.txt", "text/plain; charset=utf-8", noCache),
		get("/manifest.webmanifest", "manifest.webmanifest", "application/manifest+json", noCache),
		get("/assets/index-BxYz12_-.js", "assets/index-BxYz12_-.js", js, forever),
		get("/assets/index-BxYz12_-.js?v=2", "assets/index-BxYz12_-.js", js, forever),
		get("/assets/index-DiwrgTda.css", "assets/index-DiwrgTda.css", "text/css; charset=utf-8", forever),
		get("/assets/logo-C0ffee9X.svg", "assets/logo-C0ffee9X.svg", "image/svg+xml", forever),
		get("/assets/worker-D4taF1le.mjs", "assets/worker-D4taF1le.mjs", js, forever),
		get("/assets/engine-Q2Fz8_aB.wasm", "assets/engine-Q2Fz8_aB.wasm", "application/wasm", forever),
		get("/assets/inter-v13AbZ_9.woff2", "assets/inter-v13AbZ_9.woff2", "font/woff2", forever),
		get("/assets/index-BxYz12_-.js.map", "assets/index-BxYz12_-.js.map", "application/json", noCache),
		get("/assets/portrait.png", "assets/portrait.png", "image/png", noCache),
		get("/assets/photo-original.png", "assets/photo-original.png", "image/png", noCache),
		get("/LICENSE", "LICENSE", "application/octet-stream", noCache),
		get("/empty.txt", "empty.txt", "text/plain; charset=utf-8", noCache),
		get("/with%20space/%C3%BCn%C3%AF.txt", "with space/ünï.txt", "text/plain; charset=utf-8", noCache),
		get("/100%25.txt", "100%.txt", "text/plain; charset=utf-8", noCache),
		get("/%61ssets/portrait.png", "assets/portrait.png", "image/png", noCache),
		get("/.well-known/security.txt", ".well-known/security.txt", "text/plain; charset=utf-8", noCache),
		get("/.well-known/apple-app-site-association", ".well-known/apple-app-site-association", "application/json", noCache),
		get("/about.html", "about.html", html, noCache),
		get("/about", "about.html", html, noCache),
		get("/docs/index.html", "docs/index.html", html, noCache),
		get("/docs/", "docs/index.html", html, noCache),
		{"GET", "/docs", nil, 307, "", "text/plain; charset=utf-8", ""},
		{"HEAD", "/", nil, 200, "", html, noCache},
		{"HEAD", "/assets/portrait.png", nil, 200, "", "image/png", noCache},
		{"HEAD", "/projects/42", dest("document"), 200, "", html, noCache},
		{"HEAD", "/assets/gone.js", nil, 404, "", "text/plain; charset=utf-8", ""},
		// The file does not depend on who asks.
		{"GET", "/", []string{"Accept", axios}, 200, thePage, html, noCache},
		{"GET", "/", dest("empty"), 200, thePage, html, noCache},
		{"GET", "/index.html", dest("script"), 200, thePage, html, noCache},

		// Navigations.
		deep("/projects/42"),
		deep("/projects/42", "Accept", chrome),
		deep("/projects/42", "Accept", "*/*"),
		deep("/projects/42", "Accept", " */* "),
		deep("/projects/42", "Accept", ""),
		deep("/projects/42", "Accept", "TEXT/HTML"),
		deep("/projects/42", "Accept", "application/xhtml+xml"),
		deep("/projects/42", "Accept", "text/html;level=1"),
		deep("/projects/42", "Accept", "application/json", "Accept", "text/html"),
		deep("/projects/42", "Sec-Fetch-Dest", "document", "Accept", axios),
		deep("/projects/42", dest("document")...),
		deep("/projects/42", dest("iframe")...),
		deep("/projects/42", dest("frame")...),
		deep("/projects/42?tab=1"),
		deep("/projects/"),
		deep("/a/b/c/d/e/f"),
		deep("/users/john.doe"),
		deep("/releases/1.2.3"),
		deep("/releases/v1.2.3/"),
		deep("/compare/main...feature"),
		deep("/search/c++"),
		deep("/search/50%25"),
		deep("/caf%C3%A9"),
		deep("/~user"),
		deep("/@scope/name"),
		deep("/apiary"),
		deep("/apiary/hives"),
		deep("/API/x"),
		deep("/auth/callback?code=1&state=2"),
		deep("/index"),
		deep("/docs2"),
		deep("/_internal"),
		deep("/" + strings.Repeat("a", 2000)),

		// Requests of scripts, images, workers: never the page.
		gone("/projects/42", "Accept", axios),
		gone("/projects/42", "Accept", "application/json"),
		gone("/projects/42", "Accept", "image/avif,image/webp,*/*;q=0.8"),
		gone("/projects/42", "Accept", "text/html;q=0"),
		gone("/projects/42", "Accept", "text/html; q=0.0, */*"),
		gone("/projects/42", "Accept", "text/*"),
		gone("/projects/42", "Sec-Fetch-Dest", "empty", "Accept", chrome),
		gone("/projects/42", dest("script")...),
		gone("/projects/42", dest("style")...),
		gone("/projects/42", dest("image")...),
		gone("/projects/42", dest("worker")...),
		gone("/projects/42", dest("serviceworker")...),
		gone("/projects/42", dest("object")...),
		gone("/projects/42", dest("")...),

		// Missing files.
		gone("/assets/gone-BxYz12_-.js"),
		gone("/assets/gone-BxYz12_-.js", "Sec-Fetch-Dest", "document", "Accept", chrome),
		gone("/assets/gone.css"),
		gone("/assets/gone.wasm"),
		gone("/assets/gone.mjs"),
		gone("/assets/gone.png", "Accept", chrome),
		gone("/gone.html"),
		gone("/gone.json"),
		gone("/gone.map"),
		gone("/gone.txt"),
		gone("/GONE.JS"),
		gone("/projects/main.js"),
		gone("/assets/index-BxYz12_-.js/"),
		gone("/assets/INDEX-BxYz12_-.js"),
		gone("/assets/index-BxYz12_-.js.br"),
		gone("/assets/index-BxYz12_-.js.gz"),

		// Excluded.
		gone("/api"),
		gone("/api/"),
		gone("/api/users"),
		gone("/api/users", "Sec-Fetch-Dest", "document"),
		gone("/.well-known/"),
		gone("/.well-known/openid-configuration"),

		// Hostile.
		gone("/.."),
		gone("/../etc/passwd"),
		gone("/%2e%2e/etc/passwd"),
		gone("/%2E%2E/etc/passwd"),
		gone("/..%2fetc%2fpasswd"),
		gone("/assets/../index.html"),
		gone("/assets/%2e%2e/index.html"),
		gone("/assets%2findex-BxYz12_-.js"),
		gone("/assets%2Findex-BxYz12_-.js"),
		gone("/projects%2f42"),
		gone("/%252e%252e/etc/passwd"),
		gone("/%252fetc"),
		gone("/..%5cwindows"),
		gone("/..%255cwindows"),
		gone(`/a%5Cb`),
		gone("/%00"),
		gone("/index.html%00.js"),
		gone("/a%2500"),
		gone("/a%0d%0aSet-Cookie:x=1"),
		gone("/a%7f"),
		gone("/a%ff"),
		gone("/%c0%ae%c0%ae/etc"),
		gone("//attacker.example"),
		gone("//attacker.example/"),
		gone("//attacker.example/%2e%2e"),
		gone("///attacker.example"),
		gone("/a//b"),
		gone("/docs//"),
		gone("/./"),
		gone("/a/./b"),
		gone("/.env"),
		gone("/.git/config"),
		gone("/.git"),
		gone("/assets/.hidden.js"),
		gone("/a/.b/c"),
		gone("/" + strings.Repeat("a", 8192)),
		gone("/" + strings.Repeat("../", 2000)),
	}
	for _, m := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
		rows = append(rows,
			request{m, "/", nil, 405, "", "text/plain; charset=utf-8", ""},
			request{m, "/projects/42", nil, 405, "", "text/plain; charset=utf-8", ""})
	}
	return append(rows,
		request{"POST", "/api/users", nil, 404, "", "text/plain; charset=utf-8", ""},
		request{"POST", "/assets/gone.js", nil, 404, "", "text/plain; charset=utf-8", ""},
	)
}

func TestEachRequestGetsItsFileThePageOrARefusal(t *testing.T) {
	app, files := newApp(t, spa.Config{}), viteFiles()
	rows := table()
	require.GreaterOrEqual(t, len(rows), 120)
	for _, row := range rows {
		name := fmt.Sprintf("%s %.60s %v", row.method, row.target, row.header)
		t.Run(name, func(t *testing.T) {
			rec := ask(app, row.method, row.target, row.header...)
			h := rec.Header()
			require.Equal(t, row.status, rec.Code)
			assert.Equal(t, row.ctype, h.Get("Content-Type"))
			assert.Equal(t, row.cache, h.Get("Cache-Control"))
			switch {
			case row.method == "HEAD":
				assert.Empty(t, rec.Body.String())
				assert.Equal(t, ask(app, "GET", row.target, row.header...).Header(), h, "HEAD has the headers of GET")
			case row.file == thePage:
				assert.Equal(t, indexHTML, rec.Body.String())
			case row.file != "":
				assert.Equal(t, files[row.file], rec.Body.String())
			case row.status == 405:
				assert.Equal(t, "GET, HEAD", h.Get("Allow"))
			}
			if row.method != "HEAD" {
				assert.Equal(t, fmt.Sprint(rec.Body.Len()), h.Get("Content-Length"))
			}
			if row.status == 404 {
				assert.Equal(t, "Accept, Sec-Fetch-Dest", h.Get("Vary"))
				assert.NotContains(t, rec.Body.String(), "<")
			}
			if row.status == 200 {
				assert.Regexp(t, `^"[A-Za-z0-9_-]{24}"$`, h.Get("ETag"))
			}
			if row.status != 307 {
				assert.Empty(t, h.Get("Location"))
			}
		})
	}
}

func TestAnswersCarryTheseHeadersAndNothingMore(t *testing.T) {
	app := newApp(t, spa.Config{})
	etag := func(path string, header ...string) string {
		return ask(app, "GET", path, header...).Header().Get("ETag")
	}
	for name, c := range map[string]struct {
		rec  *httptest.ResponseRecorder
		want http.Header
	}{
		"a file without variants": {ask(app, "GET", "/assets/portrait.png"), http.Header{
			"Content-Type": {"image/png"}, "Content-Length": {"3"}, "Cache-Control": {noCache},
			"Etag": {etag("/assets/portrait.png")}, "Accept-Ranges": {"bytes"},
		}},
		"a file in brotli": {ask(app, "GET", "/assets/index-BxYz12_-.js", "Accept-Encoding", "gzip, deflate, br, zstd"), http.Header{
			"Content-Type": {"text/javascript; charset=utf-8"}, "Content-Length": {"16"}, "Cache-Control": {forever},
			"Etag": {etag("/assets/index-BxYz12_-.js", "Accept-Encoding", "br")}, "Accept-Ranges": {"bytes"},
			"Content-Encoding": {"br"}, "Vary": {"Accept-Encoding"},
		}},
		"the page in place of a file": {ask(app, "GET", "/projects/42", "Accept-Encoding", "identity"), http.Header{
			"Content-Type": {"text/html; charset=utf-8"}, "Content-Length": {fmt.Sprint(len(indexHTML))},
			"Cache-Control": {noCache}, "Etag": {etag("/")}, "Accept-Ranges": {"bytes"},
			"Vary": {"Accept, Sec-Fetch-Dest, Accept-Encoding"},
		}},
		"not modified": {ask(app, "GET", "/projects/42", "If-None-Match", etag("/")), http.Header{
			"Cache-Control": {noCache}, "Etag": {etag("/")}, "Vary": {"Accept, Sec-Fetch-Dest, Accept-Encoding"},
		}},
		"missing": {ask(app, "GET", "/assets/gone.js"), http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"10"},
			"X-Content-Type-Options": {"nosniff"}, "Vary": {"Accept, Sec-Fetch-Dest"},
		}},
		"another method": {ask(app, "POST", "/"), http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"19"},
			"X-Content-Type-Options": {"nosniff"}, "Allow": {"GET, HEAD"},
		}},
		"a directory without its slash": {ask(app, "GET", "/docs?a=b&c=//d"), http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"19"},
			"X-Content-Type-Options": {"nosniff"}, "Location": {"/docs/?a=b&c=//d"},
		}},
	} {
		assert.Equal(t, c.want, c.rec.Header(), name)
	}
}

// HTTP/2 carries bytes in a query that no URI holds (RFC 3986, appendix A).
func TestARedirectEscapesWhatWouldEndTheQuery(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/docs", nil)
	r.URL.RawQuery = "a=<\">b'\xff c\\`{|}#f"
	rec := httptest.NewRecorder()
	newApp(t, spa.Config{}).ServeHTTP(rec, r)
	assert.Equal(t, 307, rec.Code)
	assert.Equal(t, "/docs/?a=%3C%22%3Eb'%FF%20c%5C%60%7B%7C%7D%23f", rec.Header().Get("Location"))
}

// apiMux is what stands before the app in most services.
func apiMux() *http.ServeMux {
	mux := http.NewServeMux()
	say := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	mux.HandleFunc("GET /api/ping", say("pong"))
	mux.HandleFunc("POST /api/items", say("created"))
	mux.HandleFunc("GET /api/none", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no such item", http.StatusNotFound) })
	mux.HandleFunc("POST /contact", say("sent"))
	mux.HandleFunc("GET /auth/google/login", say("to google"))
	mux.HandleFunc("GET /auth/google/callback", say("from google"))
	mux.HandleFunc("GET /robots.txt", say("of the mux"))
	mux.HandleFunc("GET /tree/", say("tree"))
	mux.HandleFunc("GET /gone/{id}", http.NotFound)
	return mux
}

func TestARouteOfTheMuxItsOwn404AndIts405AlwaysWin(t *testing.T) {
	h := newApp(t, spa.Config{}).Handler(apiMux())
	nav := []string{"Sec-Fetch-Dest", "document", "Accept", chrome}
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/api/ping", 200, "pong"},
		{"POST", "/api/items", 200, "created"},
		{"GET", "/api/items", 405, anything}, // the mux's
		{"DELETE", "/api/ping", 405, anything},
		{"GET", "/api/none", 404, "no such item\n"},
		{"GET", "/api/typo", 404, "404 page not found\n"},
		{"GET", "/api", 404, "404 page not found\n"},
		{"GET", "/contact", 405, anything},
		{"POST", "/contact", 200, "sent"},
		{"GET", "/auth/google/login", 200, "to google"},
		{"GET", "/auth/google/callback", 200, "from google"},
		{"GET", "/auth/callback?code=1", 200, thePage},
		{"GET", "/auth/google", 200, thePage},
		{"GET", "/robots.txt", 200, "of the mux"},
		{"GET", "/gone/1", 404, "404 page not found\n"},
		{"GET", "/tree", 307, anything}, // the mux's way to /tree/
		{"GET", "/tree/leaf", 200, "tree"},
		{"GET", "/projects/42", 200, thePage},
		{"GET", "/", 200, thePage},
		{"GET", "/favicon.ico", 200, "ico"},
		{"GET", "/assets/gone.js", 404, "Not Found\n"},
		{"GET", "//attacker.example", 404, "Not Found\n"},
		{"GET", "/a/../b", 404, "Not Found\n"},
		{"POST", "/projects/42", 404, "404 page not found\n"},
		{"POST", "/assets/gone.js", 404, "404 page not found\n"},
	} {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			rec := ask(h, c.method, c.target, nav...)
			assert.Equal(t, c.status, rec.Code)
			switch c.body {
			case thePage:
				assert.Equal(t, indexHTML, rec.Body.String())
			case anything:
			default:
				assert.Equal(t, c.body, rec.Body.String())
			}
			if rec.Code == 405 {
				assert.NotEmpty(t, rec.Header().Get("Allow"))
			}
			if loc := rec.Header().Get("Location"); loc != "" {
				assert.Equal(t, "/tree/", loc)
			}
		})
	}
	assert.Equal(t, 404, ask(h, "GET", "/projects/42", "Accept", axios).Code)
	assert.Equal(t, "Accept, Sec-Fetch-Dest", ask(h, "GET", "/projects/42", "Accept", axios).Header().Get("Vary"))
}

func TestAMuxOfAnotherMakeIsAskedForItsStatus(t *testing.T) {
	for status, want := range map[int]int{404: 200, 405: 405, 307: 200} {
		h := newApp(t, spa.Config{}).Handler(otherMux{status})
		assert.Equal(t, want, ask(h, "GET", "/projects/42").Code, status)
	}
	assert.Equal(t, 200, ask(newApp(t, spa.Config{}).Handler(otherMux{}), "GET", "/projects/42").Code, "a nil handler is a 404")
}

// otherMux has no routes and answers with its own handlers.
type otherMux struct{ status int }

func (m otherMux) Handler(*http.Request) (http.Handler, string) {
	if m.status == 0 {
		return nil, ""
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(m.status) }), ""
}

func (m otherMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, _ := m.Handler(r)
	h.ServeHTTP(w, r)
}

func TestANextWithoutRoutesGetsWhatTheAppHasNot(t *testing.T) {
	h := newApp(t, spa.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	for target, want := range map[string]int{
		"/": 200, "/projects/42": 200, "/assets/portrait.png": 200,
		"/assets/gone.js": 418, "/api/x": 418, "/.env": 418, "//attacker.example": 418,
	} {
		assert.Equal(t, want, ask(h, "GET", target).Code, target)
	}
	assert.Equal(t, 418, ask(h, "POST", "/").Code)
	script := ask(h, "GET", "/projects/42", "Accept", axios)
	assert.Equal(t, 418, script.Code)
	assert.Equal(t, "Accept, Sec-Fetch-Dest", script.Header().Get("Vary"), "the same URL gives a navigation the page")
}

func TestAppBelowAPrefix(t *testing.T) {
	fsys := viteFS()
	fsys["index.html"].Data = []byte(`<head><base href="/app/"><script src="assets/index-BxYz12_-.js"></script></head>`)
	app := newApp(t, spa.Config{FS: fsys, Prefix: "/app/", Exclude: []string{"/app/api"}})
	for target, want := range map[string]int{
		"/app/": 200, "/app/assets/portrait.png": 200, "/app/deep/link": 200, "/app": 307,
		"/": 404, "/assets/portrait.png": 404, "/apple": 404, "/deep/link": 404, "/app/api": 404,
		"/app/api/x": 404, "/app/apiary": 200, "/app//attacker.example": 404, "/application": 404,
	} {
		assert.Equal(t, want, ask(app, "GET", target).Code, target)
	}
	assert.Equal(t, "/app/", ask(app, "GET", "/app").Header().Get("Location"))
}

func TestAPageWithoutItsExtensionIsNotTheAppsBelowExclude(t *testing.T) {
	app := newApp(t, spa.Config{FS: mapFS(map[string]string{
		"index.html": indexlike, "api.html": "a", "api/index.html": "b", "x/index.html": "c", "x.html": "d", "y": "e", "y.html": "f",
	})})
	for target, want := range map[string]string{
		"/api": "Not Found\n", "/api/": "Not Found\n", "/api.html": "a", "/api/index.html": "b",
		"/x": "d", "/x/": "c", "/y": "e", "/y.html": "f",
	} {
		assert.Equal(t, want, ask(app, "GET", target).Body.String(), target)
	}
}

func TestOwnNavigateAndTypesAndImmutable(t *testing.T) {
	fsys := viteFS()
	fsys["model.glb2"] = fsys["robots.txt"]
	fsys["fonts/a.woff2"] = fsys["robots.txt"]
	fsys["fonts/deep/b.woff2"] = fsys["robots.txt"]
	app := newApp(t, spa.Config{
		FS:        fsys,
		Navigate:  func(r *http.Request) bool { return r.URL.Query().Has("page") },
		Types:     map[string]string{".glb2": "model/gltf-binary", ".TXT": "text/x-plain"},
		Immutable: []string{"fonts/**", "*.ico", "index.html"},
	})
	assert.Equal(t, 200, ask(app, "GET", "/x?page", "Accept", axios).Code)
	assert.Equal(t, 404, ask(app, "GET", "/x", "Accept", chrome).Code)
	assert.Equal(t, "model/gltf-binary", ask(app, "GET", "/model.glb2").Header().Get("Content-Type"))
	assert.Equal(t, "text/x-plain", ask(app, "GET", "/robots.txt").Header().Get("Content-Type"))
	assert.Equal(t, 404, ask(app, "GET", "/gone.glb2?page").Code)
	for target, want := range map[string]string{
		"/fonts/a.woff2": forever, "/fonts/deep/b.woff2": forever, "/favicon.ico": forever, "/": noCache, "/robots.txt": noCache,
	} {
		assert.Equal(t, want, ask(app, "GET", target).Header().Get("Cache-Control"), target)
	}
}

func TestMiddlewareBehavesAsAllOfTheModule(t *testing.T) {
	mwtest.Run(t, mwtest.Suite{
		New: func(t testing.TB) (mwtest.Middleware, func()) {
			fsys := viteFS()
			fsys["index.html"].Data = []byte("<head></head>")
			exclude, globs := []string{"/app/api/"}, []string{"*.txt"}
			types, inject := map[string]string{".x": "text/plain"}, map[string]any{"a": 1}
			app, err := spa.New(spa.Config{
				FS: fsys, Prefix: "/app/", Exclude: exclude, Immutable: globs, Types: types, Inject: inject,
			})
			require.NoError(t, err)
			return app.Handler, func() {
				exclude[0], globs[0], types[".x"], inject["a"] = "/", "[", "", make(chan int)
				for name := range fsys {
					delete(fsys, name)
				}
			}
		},
		Reject: func() *http.Request {
			r := httptest.NewRequest("GET", "http://127.0.0.1/app/projects/42", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			return r
		},
	})
}

func TestHeadersOfOtherLayersStay(t *testing.T) {
	app := newApp(t, spa.Config{})
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Vary"] = []string{"Origin"}
		w.Header().Set("X-Frame-Options", "DENY")
		app.ServeHTTP(w, r)
	})
	for _, target := range []string{"/", "/assets/index-BxYz12_-.js", "/projects/42", "/assets/gone.js"} {
		rec := ask(outer, "GET", target)
		assert.Equal(t, "Origin", rec.Header().Values("Vary")[0], target)
		assert.Len(t, rec.Header().Values("Vary"), 2, target)
		assert.Equal(t, "DENY", rec.Header().Get("X-Frame-Options"), target)
	}
}

func TestANilNextIsAPanicAtStartUp(t *testing.T) {
	app := newApp(t, spa.Config{})
	assert.PanicsWithValue(t, "spa: Handler: next is nil; a Middleware without anything beside it is a handler itself", func() { app.Handler(nil) })
}
