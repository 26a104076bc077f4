package browsertest_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
)

func spaFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, body := range files {
		m[name] = &fstest.MapFile{Data: []byte(body)}
	}
	return m
}

func spaApp(t *testing.T, c spa.Config) *spa.Middleware {
	t.Helper()
	app, err := spa.New(c)
	require.NoError(t, err)
	return app
}

// spaPolicy is the policy that a build says it needs, and nothing more.
func spaPolicy(n spa.Needs) *secheaders.Policy {
	with := func(list []secheaders.Source, values ...string) []secheaders.Source {
		for _, v := range values {
			list = append(list, secheaders.Source(v))
		}
		return list
	}
	self := []secheaders.Source{secheaders.Self}
	p := &secheaders.Policy{
		Default: self,
		Script:  with(with(slices.Clone(self), n.ScriptHashes...), n.ScriptHosts...),
		Style:   with(slices.Clone(self), n.StyleHosts...),
		Connect: with(slices.Clone(self), n.ConnectHosts...),
		Font:    with(slices.Clone(self), n.FontHosts...),
		Img:     with(slices.Clone(self), n.ImgHosts...),
	}
	if n.Wasm {
		p.Script = append(p.Script, secheaders.WasmUnsafeEval)
	}
	if n.InlineStyle {
		p.Style = append(p.Style, secheaders.UnsafeInline)
	} else {
		p.Style = with(p.Style, n.StyleHashes...)
	}
	if len(n.ScriptAttrHashes) > 0 {
		p.ScriptAttr = with([]secheaders.Source{secheaders.UnsafeHashes}, n.ScriptAttrHashes...)
	}
	if len(n.StyleAttrHashes) > 0 && !n.InlineStyle {
		p.StyleAttr = with([]secheaders.Source{secheaders.UnsafeHashes}, n.StyleAttrHashes...)
	}
	if n.BlobWorker {
		p.Worker = []secheaders.Source{secheaders.Self, secheaders.Scheme("blob")}
	}
	if n.DataImages {
		p.Img = append(p.Img, secheaders.Scheme("data"))
	}
	if n.DataFonts {
		p.Font = append(p.Font, secheaders.Scheme("data"))
	}
	return p
}

func spaHardened(t *testing.T, app *spa.Middleware, next http.Handler) http.Handler {
	t.Helper()
	mw, err := secheaders.New(secheaders.Config{CSP: spaPolicy(app.CSP())})
	require.NoError(t, err)
	return mw.Handler(app.Handler(next))
}

// spaSwitch serves one deploy, then the next.
type spaSwitch struct{ h atomic.Pointer[http.Handler] }

func (s *spaSwitch) set(h http.Handler) { s.h.Store(&h) }

func (s *spaSwitch) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*s.h.Load()).ServeHTTP(w, r) }

// The app of these tests shows its route, and loads a chunk on demand.
func spaVersion(n string) map[string]string {
	main, chunk := "assets/main-Ab3"+n+"xY_9z.js", "assets/chunk-Q2F"+n+"8_aBc.js"
	main, chunk = strings.Replace(main, "Y_9z", "Y_9", 1), strings.Replace(chunk, "aBc", "aB", 1)
	return map[string]string{
		"index.html": `<!doctype html><html><head><base href="/"><script type="module" src="/` + main + `"></script></head><body><h1></h1></body></html>`,
		main: `document.querySelector('h1').textContent = 'v` + n + ` at ' + location.pathname;
			self.more = () => import('/` + chunk + `').then(m => m.text, e => 'failed: ' + e.message);`,
		chunk: `export const text = 'chunk of v` + n + `';`,
	}
}

func TestSPARendersOnADeepLinkAndAfterAReload(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	port := serve(t, spaHardened(t, spaApp(t, spa.Config{FS: spaFS(spaVersion("1"))}), mux))
	tb := newTab(t)
	// Sec-Fetch-Dest is sent to trustworthy origins: HTTPS and localhost.
	tb.open("http://localhost:" + port + "/projects/42/john.doe")
	tb.eventually(`document.querySelector('h1')?.textContent === 'v1 at /projects/42/john.doe'`)
	assert.Equal(t, "chunk of v1", eval[string](tb, `self.more()`))
	eval[any](tb, `location.reload()`)
	tb.eventually(`document.querySelector('h1')?.textContent === 'v1 at /projects/42/john.doe'`)

	status := func(script string) int { return eval[int](tb, `fetch(`+script+`).then(r => r.status)`) }
	assert.Equal(t, 404, status(`'/projects/42'`), "the same URL asked for by a script")
	assert.Equal(t, 404, status(`'/assets/gone.js'`))
	assert.Equal(t, 200, status(`'/api/ping'`))
	assert.Equal(t, 405, status(`'/api/ping', {method: 'POST'}`))
	assert.Empty(t, tb.violations())
}

func TestSPAChunkOfThePageBeforeADeploy(t *testing.T) {
	for name, c := range map[string]struct {
		previous []fs.FS
		want     string
	}{
		"is a failed import without the build before": {nil, "failed: "},
		"is loaded with it":                           {[]fs.FS{spaFS(spaVersion("1"))}, "chunk of v1"},
	} {
		t.Run(name, func(t *testing.T) {
			var site spaSwitch
			site.set(spaApp(t, spa.Config{FS: spaFS(spaVersion("1"))}))
			port := serve(t, &site)
			tb := newTab(t)
			tb.open("http://app.example:" + port + "/a")
			tb.eventually(`self.more`)
			site.set(spaApp(t, spa.Config{FS: spaFS(spaVersion("2")), Previous: c.previous}))
			assert.True(t, strings.HasPrefix(eval[string](tb, `self.more()`), c.want))
			assert.NotContains(t, strings.Join(tb.complaints(), "\n"), "MIME type", "HTML in place of a module")
			eval[any](tb, `location.reload()`)
			tb.eventually(`document.querySelector('h1')?.textContent === 'v2 at /a'`)
		})
	}
}

// The worker answers everything from its cache, as those of older Flutter and
// CRA builds do.
const spaStaleWorker = `
self.addEventListener('install', e => e.waitUntil(caches.open('app').then(c => c.addAll(['/', '/app.js'])).then(() => self.skipWaiting())));
self.addEventListener('activate', e => e.waitUntil(self.clients.claim()));
self.addEventListener('fetch', e => e.respondWith((async () => {
	const path = new URL(e.request.url).pathname;
	return (await caches.match(e.request.mode === 'navigate' ? '/' : path)) ?? fetch(e.request);
})()));`

func spaWorkerApp(version string, registers bool) map[string]string {
	js := `document.querySelector('h1').textContent = '` + version + `';`
	if registers {
		js += `navigator.serviceWorker.register('/sw.js');`
	}
	return map[string]string{
		"index.html": `<!doctype html><head><script defer src="/app.js"></script></head><h1></h1>`,
		"app.js":     js, "sw.js": spaStaleWorker,
	}
}

func TestSPAStaleServiceWorkerIsHealedAtTheFirstVisit(t *testing.T) {
	for _, path := range []string{"/", "/deep/link", "/#/hash/route"} {
		t.Run(path, func(t *testing.T) {
			var site spaSwitch
			var pages atomic.Int32
			site.set(spaApp(t, spa.Config{FS: spaFS(spaWorkerApp("old", true))}))
			port := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Sec-Fetch-Dest") == "document" {
					pages.Add(1)
				}
				site.ServeHTTP(w, r)
			}))
			tb, url := newTab(t), "http://localhost:"+port+path
			tb.open(url)
			tb.eventually(`navigator.serviceWorker.controller`)

			noWorker := spaWorkerApp("new", false)
			delete(noWorker, "sw.js")
			site.set(spaApp(t, spa.Config{FS: spaFS(noWorker)}))
			tb.open("about:blank")
			tb.open(url)
			time.Sleep(500 * time.Millisecond) // for what must not happen
			assert.Equal(t, "old", eval[string](tb, `document.querySelector('h1').textContent`), "the worker hides every deploy")

			site.set(spaApp(t, spa.Config{FS: spaFS(noWorker), KillWorkers: []string{"/sw.js"}}))
			tb.open("about:blank")
			tb.open(url)
			tb.eventually(`document.querySelector('h1')?.textContent === 'new'`)
			tb.eventually(`navigator.serviceWorker.getRegistrations().then(r => r.length === 0)`)
			assert.Empty(t, eval[[]string](tb, `caches.keys()`))
			if _, hash, ok := strings.Cut(path, "#"); ok {
				assert.Equal(t, "#"+hash, eval[string](tb, `location.hash`), "the route survives")
			}
		})
	}
}

func TestSPAAWorkerThatTheAppStillRegistersIsNoLoop(t *testing.T) {
	var pages atomic.Int32
	app := spaApp(t, spa.Config{FS: spaFS(spaWorkerApp("new", true)), KillWorkers: []string{"/sw.js"}})
	port := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sec-Fetch-Dest") == "document" {
			pages.Add(1)
		}
		app.ServeHTTP(w, r)
	}))
	tb := newTab(t)
	tb.open("http://localhost:" + port + "/")
	tb.eventually(`navigator.serviceWorker.getRegistrations().then(r => r.length === 0)`)
	time.Sleep(time.Second) // for what must not happen
	assert.EqualValues(t, 1, pages.Load(), "loads of the page")
}

// What Chromium says of a blocked script or style names the hash that would
// allow it: an implementation that is not ours.
func TestSPAHashesAreThoseThatChromiumComputes(t *testing.T) {
	page := "<!doctype html><html><head><title><script>no()</script></title>\r\n" +
		"<script>\r\nself.a = 1\r\n</script>" +
		"<script>self.b = 'ünïcode \u2028 &amp; <!-- x'</script>" +
		"<script>self.c = '<!-- <script> </script> -->'</script>" +
		"<SCRIPT TYPE=' Text/JavaScript '>self.d = 1</ScRiPt >" +
		"<script type=module>self.e = 1</script>" +
		"<script type=importmap>{\"imports\": {}}</script>" +
		"<script/>self.f = '</scripting>'</script>" +
		"<script>self.g = \"\x00\"</script>" +
		"<script type='application/json'>{}</script><script type=text/template>no()</script><script></script>" +
		"<!-- <script>no()</script> --><!--><script>self.h = 1</script>" +
		"<noscript><style>no{}</style></noscript>" +
		"<style>\r\np { color: red }\r\n</style><style>i { color: blue }</style></head>" +
		"<body><p style=\"color:&#x67;reen\">a<img src=/x.png onerror='self.i = &quot;1&quot;'></p></body></html>"
	app := spaApp(t, spa.Config{FS: spaFS(map[string]string{"index.html": page, "x.png": "no image"})})
	needs := app.CSP()

	strict, err := secheaders.New(secheaders.Config{CSP: &secheaders.Policy{Default: []secheaders.Source{secheaders.Self}}})
	require.NoError(t, err)
	tb := newTab(t)
	tb.open("http://app.example:" + serve(t, strict.Handler(app)) + "/")
	want := slices.Concat(needs.ScriptHashes, needs.StyleHashes, needs.StyleAttrHashes) // it names none for event handlers
	hash := regexp.MustCompile(`'sha256-[^']{44}'`)
	var got []string
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		got = hash.FindAllString(strings.Join(tb.complaints(), "\n"), -1)
		slices.Sort(got)
		if got = slices.Compact(got); len(got) >= len(want) || time.Now().After(deadline) {
			break
		}
	}
	slices.Sort(want)
	assert.Equal(t, want, got, "%s", strings.Join(tb.complaints(), "\n"))

	// And with exactly these, everything runs.
	exact, err := secheaders.New(secheaders.Config{CSP: spaPolicy(needs)})
	require.NoError(t, err)
	tb = newTab(t)
	tb.open("http://app.example:" + serve(t, exact.Handler(app)) + "/")
	tb.eventually(`self.a && self.b && self.c && self.d && self.e && self.f && self.g && self.h && self.i`)
	assert.Empty(t, tb.violations())
}

func TestSPAInjectedConfigIsReadUnderAStrictPolicy(t *testing.T) {
	app := spaApp(t, spa.Config{
		FS: spaFS(map[string]string{
			"index.html": `<!doctype html><head><script defer src="/app.js"></script></head><h1></h1>`,
			"app.js":     `document.querySelector('h1').textContent = JSON.parse(document.getElementById('app-config').textContent).api;`,
		}),
		Inject: map[string]any{"api": `</script><script>self.broken = 1</script><!-- <script> & \u2028`},
	})
	tb := newTab(t)
	tb.open("http://app.example:" + serve(t, spaHardened(t, app, http.NewServeMux())) + "/deep/link")
	tb.eventually(`document.querySelector('h1').textContent === '</script><script>self.broken = 1</script><!-- <script> & \\u2028'`)
	assert.False(t, eval[bool](tb, `'broken' in self`))
	assert.Empty(t, tb.violations())
}

// The builds are what tools/spabuilds/install fetches. Their APIs are not there,
// so the apps show an error or a login; their own code, styles and fonts load.
func TestSPARealBuildsRunWithoutAViolationOfWhatTheyNeed(t *testing.T) {
	found, err := filepath.Glob("../.cache/spabuilds/*/.installed")
	require.NoError(t, err)
	if len(found) < 4 {
		testenv.Missing(t, "the builds of real apps are not there: tools/spabuilds/install fetches them (make deps does it)")
	}
	for _, f := range found {
		dir := filepath.Dir(f)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			dist, err := spa.OpenDir(filepath.Join(dir, "dist"))
			require.NoError(t, err)
			bundler, err := os.ReadFile(filepath.Join(dir, "bundler"))
			require.NoError(t, err)
			app := spaApp(t, spa.Config{
				FS: dist, BaseHref: "/", Exclude: []string{"/api/", "/_socket/", "/lib/js/socket.io.js"},
			})
			mux := http.NewServeMux()
			empty := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/javascript") }
			mux.HandleFunc("GET /_socket/", empty)
			mux.HandleFunc("GET /lib/js/socket.io.js", empty)
			tb := newTab(t)
			tb.open("http://app.example:" + serve(t, spaHardened(t, app, mux)) + "/some/deep/link")
			t.Logf("%s: %+v", strings.TrimSpace(string(bundler)), app.CSP())
			tb.eventually(`document.querySelectorAll('#app *, #root *, app-root *').length > 0`)
			time.Sleep(time.Second) // for what comes later
			assert.Empty(t, tb.violations())
			assert.NotContains(t, strings.Join(tb.complaints(), "\n"), "MIME type")
		})
	}
}

// spaFlutter is a stand-in for a build of Flutter: its loader does, of what
// Flutter's documentation says of its own, what the paths depend on.
func spaFlutter(version string) map[string]string {
	return map[string]string{
		"index.html": `<!DOCTYPE html><html><head><base href="/"></head><body><script src="flutter_bootstrap.js" async></script></body></html>`,
		"flutter_bootstrap.js": `(() => {
	class Loader {
		async load({serviceWorkerSettings, onEntrypointLoaded, config} = {}) {
			config ??= {};
			self.worker = serviceWorkerSettings;
			const start = onEntrypointLoaded ?? (async e => (await e.initializeEngine(config)).runApp());
			this.didCreateEngineInitializer = start;
			const script = document.createElement('script');
			script.src = new URL((config.entrypointBaseUrl ?? '') + 'main.dart.js', document.baseURI);
			self.engine = new URL((config.canvasKitBaseUrl ?? 'https://www.gstatic.com/') + 'canvaskit.js', document.baseURI).pathname;
			document.head.append(script);
		}
	}
	window._flutter = {loader: new Loader()};
})();
_flutter.buildConfig = {"engineRevision":"78fc3012","builds":[{"compileTarget":"dart2js","renderer":"canvaskit","mainJsPath":"main.dart.js"},{}]};

_flutter.loader.load({
  serviceWorkerSettings: { serviceWorkerVersion: "1" },
  onEntrypointLoaded: async function (engine) { (await engine.initializeEngine({multiViewEnabled: true})).runApp(); }
});`,
		"main.dart.js": `const src = document.currentScript.src;
_flutter.loader.didCreateEngineInitializer({initializeEngine: async config => ({runApp: async () => {
	const asset = await fetch((config.assetBase ?? '') + 'assets/text').then(r => r.text());
	document.body.innerText = asset + ' from ' + new URL(src).pathname + ' views ' + config.multiViewEnabled;
}})});`,
		"assets/text": version, "canvaskit/canvaskit.js": "", "flutter_service_worker.js": "",
	}
}

func TestSPAVersionedFlutterLoadsEverythingFromThePathOfItsBuild(t *testing.T) {
	var site spaSwitch
	site.set(spaApp(t, spa.Config{FS: spaFS(spaFlutter("one")), Versioned: true}))
	port := serve(t, &site)
	tb := newTab(t)
	tb.open("http://app.example:" + port + "/deep/link")
	tb.eventually(`document.body.innerText.startsWith('one from /_build/')`)
	assert.Contains(t, eval[string](tb, `document.body.innerText`), "views true", "the app's own config stays")
	assert.Regexp(t, `^/_build/[\w-]{16}/canvaskit/canvaskit.js$`, eval[string](tb, `self.engine`))
	assert.True(t, eval[bool](tb, `self.worker === undefined`), "Flutter's own worker is left out")

	// A deploy: this page keeps the files of its build, the next one has the new.
	site.set(spaApp(t, spa.Config{FS: spaFS(spaFlutter("two")), Versioned: true, Previous: []fs.FS{spaFS(spaFlutter("one"))}}))
	assert.Equal(t, "one", eval[string](tb, `fetch(document.querySelector('script[src*=_build]').src.replace('main.dart.js', 'assets/text')).then(r => r.text())`))
	tb.open("http://app.example:" + port + "/deep/link")
	tb.eventually(`document.body.innerText.startsWith('two from /_build/')`)
}
