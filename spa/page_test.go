package spa_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/spa"
)

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// needsOf is the CSP of an app that is nothing but this page.
func needsOf(t testing.TB, page string) spa.Needs {
	t.Helper()
	return newApp(t, spa.Config{FS: mapFS(map[string]string{"index.html": page})}).CSP()
}

// Cases of the WHATWG HTML standard, section 13.2.5; what Chromium computes for
// them is compared in the browser tests.
func TestHashesAreOfTheTextThatABrowserSees(t *testing.T) {
	for page, want := range map[string]string{
		`<script>a()</script>`:                                       "a()",
		`<SCRIPT>a()</ScRiPt>`:                                       "a()",
		"<script>\r\na()\rb()\n</script>":                            "\na()\nb()\n",
		"<script>\x00</script>":                                      "\uFFFD",
		`<script>"</scripting>"</script>`:                            `"</scripting>"`,
		`<script><!-- a </script>`:                                   "<!-- a ",
		`<script><!-- <script> </script> --></script>`:               "<!-- <script> </script> -->",
		`<script><!-- <script> --></script>`:                         "<!-- <script> -->",
		`<script><!--><script></script>`:                             "<!--><script>",
		`<script >a()</script >`:                                     "a()",
		`<script type=module>a()</script>`:                           "a()",
		`<script type="text/javascript; charset=utf-8">a()</script>`: "a()",
		`<script type=" Module ">a()</script>`:                       "a()",
		`<script type=importmap>{}</script>`:                         "{}",
		`<script a='>' b=">">a()</script>`:                           "a()",
		`<script/>a()</script>`:                                      "a()",
		`<script async defer>a()</script>`:                           "a()",
		`<script>ünïcode</script>`:                                   "ünïcode",
		`<script type="application/json">{}</script>`:                "",
		`<script type="text/template">x</script>`:                    "",
		`<script src=x.js>ignored</script>`:                          "",
		`<script></script>`:                                          "",
		`<!-- <script>a()</script> -->`:                              "",
		`<!--><script>a()</script>`:                                  "a()",
		`<!---><script>a()</script>`:                                 "a()",
		`<!-- --!><script>a()</script>`:                              "a()",
		`<title><script>a()</script></title>`:                        "",
		`<textarea><script>a()</script></textarea>`:                  "",
		`<noscript><script>a()</script></noscript>`:                  "",
		`<style><script>a()</script></style>`:                        "",
		`<div title="<script>a()</script>">`:                         "",
		`<script`:                                                    "",
		`<script x="`:                                                "",
		`a < b <script>a()</script>`:                                 "a()",
		`</ x><script>a()</script>`:                                  "a()",
		`<?xml ?><script>a()</script>`:                               "a()",
		`<scripts>a()</scripts>`:                                     "",
	} {
		fsys := mapFS(map[string]string{"index.html": page, "x.js": ""})
		got := newApp(t, spa.Config{FS: fsys}).CSP().ScriptHashes
		if want == "" {
			assert.Empty(t, got, page)
		} else {
			assert.Equal(t, []string{sha(want)}, got, page)
		}
	}
}

func TestNeedsNameHashesFlagsAndHosts(t *testing.T) {
	got := needsOf(t, `<!doctype html><head>
		<script src="https://cdn.example/a.js"></script><script src="//CDN2.example:8443/b.js"></script>
		<link rel="stylesheet" href="https://fonts.googleapis.com/css2?family=A" onload="this.media='all'">
		<link rel="preload" as="font" href="https://fonts.example/a.woff2">
		<link rel="preconnect" href="https://not-loaded.example">
		<style>@import "https://styles.example/x.css"; a { background: url( 'https://img.example/a.png' ) }
		@font-face { src: url(//font2.example/b.woff2?v=1) } b { background: url(data:image/png;base64,xx) }</style>
		</head><body style="margin:0"><img src="http://pic.example/c.png"><button onclick='go(&quot;x&quot;)'>`)
	assert.Len(t, got.StyleHashes, 1)
	got.StyleHashes = nil
	assert.ElementsMatch(t, []string{sha(`this.media='all'`), sha(`go("x")`)}, got.ScriptAttrHashes)
	got.ScriptAttrHashes = nil
	assert.Equal(t, spa.Needs{
		StyleAttrHashes: []string{sha("margin:0")}, DataImages: true,
		ScriptHosts: []string{"https://cdn.example", "https://cdn2.example:8443"},
		StyleHosts:  []string{"https://fonts.googleapis.com", "https://styles.example"},
		FontHosts:   []string{"https://font2.example", "https://fonts.example", "https://fonts.gstatic.com"},
		ImgHosts:    []string{"http://pic.example", "https://img.example"},
	}, got)

	app := newApp(t, spa.Config{FS: mapFS(map[string]string{
		"index.html": indexlike, "e.wasm": "\x00asm", "w.js": "new Worker(URL.createObjectURL(b))",
		"s.mjs": "document.createElement('style')", "f.css": "a{src:url(data:font/woff2;base64,x)}",
	})})
	assert.Equal(t, spa.Needs{Wasm: true, BlobWorker: true, InlineStyle: true, DataFonts: true}, app.CSP())
	assert.Equal(t, spa.Needs{}, needsOf(t, indexlike))
}

func TestCSPIsACopy(t *testing.T) {
	app := newApp(t, spa.Config{FS: mapFS(map[string]string{"index.html": "<script>a()</script>"})})
	app.CSP().ScriptHashes[0] = "changed"
	assert.Equal(t, []string{sha("a()")}, app.CSP().ScriptHashes)
}

func TestInjectedConfigCannotLeaveItsElement(t *testing.T) {
	values := map[string]any{
		"api": "https://api.example/?a=1&b=2", "n": 1.5, "nested": map[string]any{"x": []string{"</script><script>alert(1)</script>"}},
		"comment": "<!--<script>", "</script>": "key", "lines": "\u2028\u2029", "raw": json.RawMessage(`"</script>"`),
	}
	app := newApp(t, spa.Config{FS: mapFS(map[string]string{
		"index.html": indexHTML + "", "favicon.ico": "",
		"assets/index-DiwrgTda.css": "", "assets/index-BxYz12_-.js": "",
	}), Inject: values})
	body := ask(app, "GET", "/").Body.String()
	m := regexp.MustCompile(`(?s)<script type="application/json" id="app-config">(.*?)</script></head><body>`).FindStringSubmatch(body)
	require.NotNil(t, m, body)
	assert.NotContains(t, m[1], "<")
	var back map[string]any
	require.NoError(t, json.Unmarshal([]byte(m[1]), &back))
	assert.Equal(t, "<!--<script>", back["comment"])
	assert.Equal(t, "key", back["</script>"])
	assert.Empty(t, app.CSP().ScriptHashes, "data does not run and needs no hash")
	assert.Equal(t, 1, strings.Count(body, "</head>"))
	plain := newApp(t, spa.Config{FS: viteFS()})
	assert.NotEqual(t, ask(plain, "GET", "/").Header().Get("ETag"), ask(app, "GET", "/").Header().Get("ETag"))

	got := mistakesOf(t, spa.Config{FS: mapFS(map[string]string{"index.html": "<p>no head"}), Inject: values})
	assert.True(t, containsPrefix(got, "spa: index.html: has neither </head> nor <body>"), got)
	body = ask(newApp(t, spa.Config{FS: mapFS(map[string]string{"index.html": "<title></head></title><body>x"}), Inject: map[string]any{}}), "GET", "/").Body.String()
	assert.Equal(t, `<title></head></title><script type="application/json" id="app-config">{}</script><body>x`, body)
}

func TestBaseHrefIsSetWhereThePageHasOneOrNone(t *testing.T) {
	for page, want := range map[string]string{
		`<html><head><base href="/old/"><title>`:         `<html><head><base href="/app/"><title>`,
		`<html><head><meta charset=utf-8><BASE HREF=/>x`: `<html><head><meta charset=utf-8><base href="/app/">x`,
		`<html><head lang=en>x`:                          `<html><head lang=en><base href="/app/">x`,
		`<!doctype html><title>x`:                        `<!doctype html><base href="/app/"><title>x`,
		`<html><!-- <head> --><title>`:                   `<html><base href="/app/"><!-- <head> --><title>`,
		`<head></head><body><html><head>`:                `<head><base href="/app/"></head><body><html><head>`,
		`<header><html>`:                                 `<header><html><base href="/app/">`,
	} {
		app := newApp(t, spa.Config{FS: mapFS(map[string]string{"index.html": page}), Prefix: "/app/", BaseHref: "/app/"})
		assert.Equal(t, want, ask(app, "GET", "/app/").Body.String())
	}
	got := mistakesOf(t, spa.Config{FS: mapFS(map[string]string{"index.html": "<p>"}), BaseHref: "/"})
	assert.True(t, containsPrefix(got, "spa: index.html: has neither <head> nor"), got)
	// A proxy that takes /public/ for / in front of the app.
	app := newApp(t, spa.Config{BaseHref: "/public/", FS: mapFS(map[string]string{"index.html": `<head><script src="a.js"></script>`, "a.js": ""})})
	assert.Empty(t, app.Warnings())
}

func TestAChangedPageIsNotServedFromItsOldSiblings(t *testing.T) {
	page := indexlike + strings.Repeat("<!-- -->", 100)
	files := map[string]string{"index.html": page, "index.html.gz": string(gz([]byte(page))), "index.html.br": "br"}
	same := newApp(t, spa.Config{FS: mapFS(files)})
	assert.Equal(t, "br", ask(same, "GET", "/", "Accept-Encoding", "br").Header().Get("Content-Encoding"))
	app := newApp(t, spa.Config{FS: mapFS(files), Inject: map[string]any{"a": 1}})
	assert.Empty(t, ask(app, "GET", "/", "Accept-Encoding", "br").Header().Get("Content-Encoding"))
	zipped := ask(app, "GET", "/", "Accept-Encoding", "gzip, br")
	assert.Contains(t, string(gunzip(t, zipped.Body.Bytes())), "app-config")
}

func warningsOf(t testing.TB, c spa.Config) string {
	t.Helper()
	var lines []string
	for _, w := range newApp(t, c).Warnings() {
		lines = append(lines, w.Error())
	}
	return strings.Join(lines, "\n")
}

func TestWarningsNameWhatWillHurt(t *testing.T) {
	var log bytes.Buffer
	relative := spa.Config{
		FS:     mapFS(map[string]string{"index.html": `<head><script src="./a.js"></script><link rel=icon href=/gone.ico><a href="javascript:x()">`, "a.js": ""}),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	got := warningsOf(t, relative)
	assert.Contains(t, got, `spa: index.html: "./a.js": is relative and the page has no <base>`)
	assert.Contains(t, got, `spa: index.html: "/gone.ico": is not in the build`)
	assert.Contains(t, got, `javascript: URL`)
	assert.Equal(t, 3, strings.Count(log.String(), "level=WARN"))
	relative.BaseHref = "/"
	assert.NotContains(t, warningsOf(t, relative), "<base>")
	assert.Empty(t, warningsOf(t, spa.Config{FS: viteFS()}))
}

func TestAngularsServiceWorkerIsToldFromAChangedPage(t *testing.T) {
	sum := sha1.Sum([]byte(indexlike))
	fsys := mapFS(map[string]string{
		"index.html": indexlike, "ngsw.json": `{"hashTable":{"/index.html":"` + hex.EncodeToString(sum[:]) + `"}}`,
	})
	assert.Empty(t, warningsOf(t, spa.Config{FS: fsys}))
	assert.Contains(t, warningsOf(t, spa.Config{FS: fsys, Inject: map[string]any{"a": 1}}), "Angular's service worker")
	assert.Contains(t, warningsOf(t, spa.Config{FS: fsys, BaseHref: "/"}), "Angular's service worker")
}

// flutterFiles is a build as `flutter build web` leaves it, small: the loader is
// a stand-in with the one method that matters.
func flutterFiles() map[string]string {
	return map[string]string{
		"index.html": `<!DOCTYPE html><html><head><base href="/"><link rel="manifest" href="manifest.json">
<link rel="icon" href="favicon.png"></head><body><script src="flutter_bootstrap.js" async></script></body></html>`,
		"flutter_bootstrap.js": `(()=>{window._flutter={loader:{load(o){window.loaded=o}}}})();
if (!window._flutter) {
  window._flutter = {};
}
_flutter.buildConfig = {"engineRevision":"78fc3012","builds":[{"compileTarget":"dart2wasm","renderer":"skwasm","mainWasmPath":"main.dart.wasm"},{"compileTarget":"dart2js","renderer":"canvaskit","mainJsPath":"main.dart.js"},{}]};

_flutter.loader.load({
  serviceWorkerSettings: {
    serviceWorkerVersion: "1809545671"
  }
});
`,
		"flutter.js": "loader", "main.dart.js": strings.Repeat("main();\n", 100), "main.dart.wasm": "\x00asm",
		"flutter_service_worker.js": "worker", "version.json": "{}", "manifest.json": "{}", "favicon.png": "png",
		"assets/AssetManifest.bin.json": "{}", "assets/FontManifest.json": "[]", "assets/NOTICES": "notices",
		"assets/fonts/MaterialIcons-Regular.otf": "otf", "assets/assets/photo-8d3a0e2f.png": "png",
		"canvaskit/canvaskit.js": "js", "canvaskit/canvaskit.wasm": "\x00asm", "canvaskit/chromium/canvaskit.js": "js",
		"icons/Icon-maskable-192.png": "png",
	}
}

func TestAFlutterBuildIsNeverImmutableAtItsOwnPaths(t *testing.T) {
	files := flutterFiles()
	for _, versioned := range []bool{false, true} {
		app := newApp(t, spa.Config{FS: mapFS(files), Versioned: versioned})
		for name := range files {
			rec := ask(app, "GET", "/"+name)
			assert.Equal(t, 200, rec.Code, name)
			assert.Equal(t, noCache, rec.Header().Get("Cache-Control"), name)
		}
	}
}

var versionedPath = regexp.MustCompile(`"entrypointBaseUrl":"([^"]+)"`)

func TestVersionedServesAFlutterBuildBelowItsHash(t *testing.T) {
	files := flutterFiles()
	app := newApp(t, spa.Config{FS: mapFS(files), Versioned: true})
	bootstrap := ask(app, "GET", "/flutter_bootstrap.js")
	m := versionedPath.FindStringSubmatch(bootstrap.Body.String())
	require.NotNil(t, m, bootstrap.Body.String())
	dir := m[1]
	assert.Regexp(t, `^/_build/[A-Za-z0-9_-]{16}/$`, dir)
	assert.Contains(t, bootstrap.Body.String(), `"canvasKitBaseUrl":"`+dir+`canvaskit/"`)
	assert.Contains(t, bootstrap.Body.String(), `"assetBase":"`+dir+`"`)
	assert.Less(t, strings.Index(bootstrap.Body.String(), "entrypointBaseUrl"), strings.Index(bootstrap.Body.String(), "serviceWorkerVersion"))
	for name, body := range files {
		rec := ask(app, "GET", dir+name)
		if name == "index.html" || name == "flutter_bootstrap.js" || name == "flutter_service_worker.js" {
			assert.Equal(t, 404, rec.Code, name)
			continue
		}
		assert.Equal(t, 200, rec.Code, name)
		assert.Equal(t, body, rec.Body.String(), name)
		assert.Equal(t, forever, rec.Header().Get("Cache-Control"), name)
	}
	for _, gone := range []string{dir + "gone", dir, "/_build/", "/_build/other/assets/NOTICES", "/_build/x/route"} {
		assert.Equal(t, 404, ask(app, "GET", gone, "Sec-Fetch-Dest", "document").Code, gone)
	}
	assert.Equal(t, 200, ask(app, "GET", "/deep/link").Code)
	assert.Empty(t, app.Warnings())

	// Another file, another path; the same files, the same path on every replica.
	again := ask(newApp(t, spa.Config{FS: mapFS(files), Versioned: true}), "GET", "/flutter_bootstrap.js").Body.String()
	assert.Equal(t, bootstrap.Body.String(), again)
	newer := flutterFiles()
	newer["assets/NOTICES"] = "changed"
	next := newApp(t, spa.Config{FS: mapFS(newer), Versioned: true, Previous: []fs.FS{mapFS(files)}})
	newDir := versionedPath.FindStringSubmatch(ask(next, "GET", "/flutter_bootstrap.js").Body.String())[1]
	assert.NotEqual(t, dir, newDir)
	assert.Equal(t, "changed", ask(next, "GET", newDir+"assets/NOTICES").Body.String())
	assert.Equal(t, "notices", ask(next, "GET", dir+"assets/NOTICES").Body.String(), "the build before stays whole")
	assert.Equal(t, forever, ask(next, "GET", dir+"assets/NOTICES").Header().Get("Cache-Control"))
}

func TestVersionedFollowsThePublicPath(t *testing.T) {
	files := flutterFiles()
	app := newApp(t, spa.Config{FS: mapFS(files), Versioned: true, Prefix: "/app/", BaseHref: "/app/"})
	dir := versionedPath.FindStringSubmatch(ask(app, "GET", "/app/flutter_bootstrap.js").Body.String())[1]
	assert.True(t, strings.HasPrefix(dir, "/app/_build/"), dir)
	assert.Equal(t, 200, ask(app, "GET", dir+"main.dart.js").Code)
}

func TestAnIndexPageThatIsTheBootstrapIsPatchedBeforeItIsHashed(t *testing.T) {
	files := flutterFiles()
	script := "\n" + files["flutter_bootstrap.js"]
	delete(files, "flutter_bootstrap.js")
	files["index.html"] = `<head><base href="/"></head><body><script>` + script + `</script></body>`
	app := newApp(t, spa.Config{FS: mapFS(files), Versioned: true})
	body := ask(app, "GET", "/").Body.String()
	m := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(body)
	assert.Contains(t, m[1], "entrypointBaseUrl")
	assert.Equal(t, []string{sha(m[1])}, app.CSP().ScriptHashes)
}

func TestFlutterIsCheckedAtStart(t *testing.T) {
	files := flutterFiles()
	got := warningsOf(t, spa.Config{FS: mapFS(files)})
	assert.Contains(t, got, "the engine comes from www.gstatic.com")
	assert.Contains(t, got, "set Versioned")
	assert.Equal(t, spa.Needs{
		Wasm: true, BlobWorker: true, InlineStyle: true, DataImages: true, BlobImages: true,
		ScriptHosts:  []string{"https://www.gstatic.com/flutter-canvaskit/"},
		ConnectHosts: []string{"https://fonts.gstatic.com", "https://www.gstatic.com/flutter-canvaskit/"},
	}, newApp(t, spa.Config{FS: mapFS(files)}).CSP())

	local := flutterFiles()
	local["flutter_bootstrap.js"] = strings.Replace(local["flutter_bootstrap.js"], `"builds":`, `"useLocalCanvasKit":true,"builds":`, 1)
	assert.NotContains(t, warningsOf(t, spa.Config{FS: mapFS(local)}), "gstatic")
	assert.Empty(t, newApp(t, spa.Config{FS: mapFS(local)}).CSP().ScriptHosts)

	files["index.html"] = strings.Replace(files["index.html"], `<base href="/">`, "", 1)
	assert.Contains(t, warningsOf(t, spa.Config{FS: mapFS(files)}), "no <base>")

	for name, old := range map[string]string{"no config": "load();", "no JSON": "_flutter.buildConfig = {oops", "nothing": ""} {
		files["flutter_bootstrap.js"] = old
		got := mistakesOf(t, spa.Config{FS: mapFS(files), Versioned: true})
		assert.True(t, containsPrefix(got, "spa: flutter_bootstrap.js: has no line that sets _flutter.buildConfig"), name)
	}
	assert.True(t, containsPrefix(mistakesOf(t, spa.Config{FS: viteFS(), Versioned: true}), "spa: Versioned is for Flutter builds"))
}
