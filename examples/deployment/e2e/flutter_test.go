package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flutterBuild has the shape of what "flutter build web --wasm
// --no-web-resources-cdn" writes: no name has a hash, a bootstrap script loads
// the program, the engine is WebAssembly and styles the page by script.
func flutterBuild(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "web")
	for name, text := range map[string]string{
		"index.html": `<!DOCTYPE html><html><head><base href="/"><meta charset="UTF-8"><title>app</title></head>` +
			`<body><script src="flutter_bootstrap.js" async></script></body></html>`,
		"flutter_bootstrap.js": `window._flutter = {loader: {load: () => {
	const s = document.createElement('script'); s.src = 'main.dart.js'; document.head.append(s);
}}};
_flutter.buildConfig = {"engineRevision":"78fc3012","useLocalCanvasKit":true,"builds":[{"compileTarget":"dart2js","renderer":"canvaskit","mainJsPath":"main.dart.js"}]};
_flutter.loader.load();
`,
		"main.dart.js": `(async () => {
	const style = document.createElement('style'); style.textContent = 'body { color: rgb(1, 2, 3) }'; document.head.append(style);
	const engine = await WebAssembly.instantiateStreaming(fetch('canvaskit/canvaskit.wasm'));
	const answer = await fetch('/api/stack', {headers: {'X-Correlation-ID': 'from-flutter-1'}});
	const asset = await (await fetch('assets/AssetManifest.json')).json();
	document.body.textContent = [location.pathname, engine.instance instanceof WebAssembly.Instance, asset.a,
		(await answer.json()).correlation_id].join(' ');
})();`,
		"flutter.js": "", "canvaskit/canvaskit.js": "", "version.json": `{"app_name":"app","version":"1.0.0"}`,
		"canvaskit/canvaskit.wasm":  "\x00asm\x01\x00\x00\x00", // the smallest module there is
		"assets/AssetManifest.json": `{"a": 1}`, "manifest.json": `{"name": "app"}`,
	} {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	return dir
}

func TestSTATIC_DIRServesAFlutterBuildWithItsHeaders(t *testing.T) {
	p := start(t, t.TempDir(), "STATIC_DIR="+flutterBuild(t))
	c := p.client()
	for name, mediaType := range map[string]string{
		"": "text/html", "index.html": "text/html", "flutter_bootstrap.js": "text/javascript", "main.dart.js": "text/javascript",
		"canvaskit/canvaskit.wasm": "application/wasm", "version.json": "application/json", "assets/AssetManifest.json": "application/json",
	} {
		got := c.do("GET", "/"+name, nil)
		require.Equal(t, 200, got.StatusCode, name)
		assert.Contains(t, got.Header.Get("Content-Type"), mediaType, name)
		assert.Equal(t, "no-cache", got.Header.Get("Cache-Control"), "%s has no hash in its name", name)
		assert.NotEmpty(t, got.Header.Get("ETag"), name)
		policy := got.Header.Get("Content-Security-Policy")
		assert.Contains(t, policy, "script-src 'self' 'wasm-unsafe-eval'", name)
		assert.NotContains(t, policy, "'unsafe-eval'", name)
	}
	assert.Equal(t, 404, c.do("GET", "/main.dart.wasm", nil).StatusCode, "a missing file is not the page")

	tb := p.tab()
	tb.open("/deep/link")
	tb.until(`document.body.textContent === '/deep/link true 1 from-flutter-1'`)
	assert.Equal(t, "rgb(1, 2, 3)", eval[string](tb, `getComputedStyle(document.body).color`))
	tb.quiet("favicon.ico")
}

// There is no Flutter here to compile them; but the server can be asked whether
// the paths that the Flutter sources name exist.
func TestEveryPathThatTheFlutterSourcesNameIsARoute(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client()
	files, err := filepath.Glob("../frontend/lib/*.dart")
	require.NoError(t, err)
	paths := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`'(/(?:api|auth)/[^']+)'`).FindAllStringSubmatch(string(text), -1) {
			paths[strings.ReplaceAll(m[1], "$provider", "google")] = true
		}
	}
	delete(paths, "/auth/callback") // the app's own page
	require.GreaterOrEqual(t, len(paths), 5)
	for path := range paths {
		got := c.do("PUT", path, nil)
		assert.Equal(t, 405, got.StatusCode, "%s: with no method that it has", path)
		assert.NotEmpty(t, got.Header.Get("Allow"), path)
	}
}

// .env.production is the input of --dart-define-from-file: a key that the sources
// do not read would be set in vain.
func TestTheFrontendsEnvironmentIsWhatItsSourcesRead(t *testing.T) {
	text, err := os.ReadFile("../frontend/.env.production")
	require.NoError(t, err)
	var keys, read []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			key, value, ok := strings.Cut(line, "=")
			require.True(t, ok && value != "", line)
			keys = append(keys, key)
		}
	}
	files, err := filepath.Glob("../frontend/lib/*.dart")
	require.NoError(t, err)
	for _, name := range files {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`fromEnvironment\('([^']+)'`).FindAllStringSubmatch(string(source), -1) {
			read = append(read, m[1])
		}
	}
	assert.ElementsMatch(t, read, keys)
}
