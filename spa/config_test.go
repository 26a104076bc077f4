package spa_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/spa"
)

// mistakesOf returns the lines of New's error.
func mistakesOf(t testing.TB, c spa.Config) []string {
	t.Helper()
	_, err := spa.New(c)
	require.Error(t, err)
	return strings.Split(err.Error(), "\n")
}

func TestNewNamesEveryMistakeOfTheConfigAtOnce(t *testing.T) {
	got := mistakesOf(t, spa.Config{
		Prefix:      "app",
		Index:       "/index.html",
		Exclude:     []string{"api", "/", "/a/*", "/ok/"},
		Immutable:   []string{"[", "/x", "", "ok/*"},
		Types:       map[string]string{"js": "text/javascript", ".x": "nonsense", ".y": "text/x\r\nSet-Cookie: a", ".ok": "text/plain"},
		MaxMemory:   -1,
		Inject:      map[string]any{"f": func() {}},
		BaseHref:    `/a"><script>/`,
		KillWorkers: []string{"sw.js", "/a/", "/ok.js"},
	})
	want := []string{
		`spa: FS: is required`,
		`spa: Prefix "app": is not a clean path with a slash at both ends; did you mean "/app/"?`,
		`spa: Index "/index.html": is no name in a file system`,
		`spa: MaxMemory: is negative`,
		`spa: BaseHref "/a\"><script>/": has a byte that a URL path does not have`,
		`spa: Exclude[0] "api": is no URL path prefix`,
		`spa: Exclude[1] "/": would exclude every path`,
		`spa: Exclude[2] "/a/*"`,
		`spa: Types[".x"] "nonsense": is no media type`,
		`spa: Types[".y"] "text/x\r\nSet-Cookie: a": is no media type`,
		`spa: Types["js"]: is no extension`,
		`spa: Inject: cannot be encoded as JSON`,
		`spa: Immutable[0] "["`,
		`spa: Immutable[1] "/x"`,
		`spa: Immutable[2]`,
		`spa: KillWorkers[0] "sw.js"`,
		`spa: KillWorkers[1] "/a/"`,
	}
	for _, w := range want {
		assert.True(t, containsPrefix(got, w), "%s is not in\n%s", w, strings.Join(got, "\n"))
	}
	assert.Len(t, got, len(want))
	_, err := spa.New(spa.Config{})
	var mistake *gatehouse.ConfigError
	require.ErrorAs(t, err, &mistake)
	assert.Equal(t, "FS", mistake.Field)
}

func containsPrefix(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

func TestNewNamesEverythingWrongWithTheBuildAtOnce(t *testing.T) {
	js := repeated("let a;", 500)
	fsys := mapFS(map[string]string{
		"index.html": `<!doctype html><head>
			<script src="/assets/gone-5d41402a.js"></script>
			<script type="module" src="_app/start.js"></script>
			<link rel="modulepreload" href="./also-gone.js?v=1">
			<link rel="stylesheet" href="gone.css">
			<link rel="icon" href="gone.ico">
			<script src="https://cdn.example/x.js"></script>
			<script src="//cdn.example/y.js"></script>
			<script src="/api/config.js"></script>
			<script type="application/json" src="gone.json"></script>
			<!-- <script src="commented.js"></script> -->
			<noscript><link rel="stylesheet" href="noscript.css"></noscript>
			<script>document.write('<script src="written.js"><\/script>')</script>
			<script src="app.js"></script></head>`,
		"app.js": string(js), "app.js.gz": string(gz([]byte("old"))), "app.js.br": "unreadable",
		"other.css": "x{}", "other.css.gz": "no gzip at all",
	})
	got := mistakesOf(t, spa.Config{FS: fsys})
	for _, w := range []string{
		`spa: index.html: "/assets/gone-5d41402a.js": is not in the build`,
		`spa: index.html: "_app/start.js": is not in the build; go:embed leaves out names that begin with _ or . unless it is written "//go:embed all:dir"`,
		`spa: index.html: "./also-gone.js?v=1": is not in the build`,
		`spa: index.html: "gone.css": is not in the build`,
		`spa: app.js: "app.js.gz": does not hold what app.js holds`,
		`spa: other.css: "other.css.gz": does not hold what other.css holds`,
	} {
		assert.True(t, containsPrefix(got, w), "%s is not in\n%s", w, strings.Join(got, "\n"))
	}
	assert.Len(t, got, 6)
	var broken *spa.BuildError
	_, err := spa.New(spa.Config{FS: fsys})
	require.True(t, errors.As(err, &broken))

	got = mistakesOf(t, spa.Config{FS: mapFS(map[string]string{"dist/index.html": indexlike})})
	assert.True(t, containsPrefix(got, "spa: index.html: is not in the build: is FS its root"), got)
}

func TestAReferenceThatAnotherHandlerServesIsExcluded(t *testing.T) {
	fsys := mapFS(map[string]string{"index.html": `<head><script src="/env.js"></script></head>`})
	mistakesOf(t, spa.Config{FS: fsys})
	newApp(t, spa.Config{FS: fsys, Exclude: []string{"/api/", "/env.js"}})
}

func TestOnlyAGzipBombsWorthIsRead(t *testing.T) {
	fsys := mapFS(map[string]string{
		"index.html": indexlike, "a.js": "let a", "a.js.gz": string(gz(make([]byte, 8<<20))),
	})
	got := mistakesOf(t, spa.Config{FS: fsys})
	assert.True(t, containsPrefix(got, `spa: a.js: "a.js.gz": does not hold`), got)
}

func TestOpenDirFollowsLinksInsideAndNoneThatLeadOut(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret.txt"), []byte("secret"), 0o600))
	for name, body := range map[string]string{"index.html": indexlike, "real.txt": "inside"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	for name, target := range map[string]string{
		"inside.txt": "real.txt", "sub/up.txt": "../real.txt", "out.txt": filepath.Join(outside, "secret.txt"),
		"climb.txt": "../" + filepath.Base(outside) + "/secret.txt", "outdir": outside, "dangling.txt": "nowhere",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	app := newApp(t, spa.Config{FS: openDir(t, dir)})
	for target, want := range map[string]int{
		"/inside.txt": 200, "/sub/up.txt": 200, "/out.txt": 404, "/climb.txt": 404, "/outdir/secret.txt": 404, "/dangling.txt": 404,
	} {
		rec := ask(app, "GET", target)
		assert.Equal(t, want, rec.Code, target)
		assert.NotContains(t, rec.Body.String(), "secret")
	}
	assert.Len(t, app.Warnings(), 4)

	plain := newApp(t, spa.Config{FS: os.DirFS(dir)})
	for _, target := range []string{"/inside.txt", "/out.txt", "/climb.txt", "/outdir/secret.txt"} {
		assert.Equal(t, 404, ask(plain, "GET", target).Code, "os.DirFS follows links anywhere, so none is served")
	}
	_, err := spa.OpenDir(filepath.Join(dir, "missing"))
	assert.ErrorContains(t, err, "spa: OpenDir")
}

func TestALinkExchangedAfterStartLeadsNowhere(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	big := repeated("0123456789abcdef", 1<<17)
	for _, d := range []string{outside, dir} {
		require.NoError(t, os.WriteFile(filepath.Join(d, "index.html"), []byte(indexlike), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(d, "big.bin"), big, 0o600))
	}
	app := newApp(t, spa.Config{FS: openDir(t, dir)})
	require.NoError(t, os.Remove(filepath.Join(dir, "big.bin")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "big.bin"), filepath.Join(dir, "big.bin")))
	assert.Equal(t, 503, ask(app, "GET", "/big.bin").Code)
}

func TestUnservableNamesAreTold(t *testing.T) {
	fsys := fstest.MapFS{
		"index.html": {Data: []byte(indexlike)}, `a\b.txt`: {Data: []byte("x")}, "c\x01.txt": {Data: []byte("x")},
	}
	app := newApp(t, spa.Config{FS: fsys})
	assert.Len(t, app.Warnings(), 2)
	assert.Equal(t, 404, ask(app, "GET", "/a%5Cb.txt").Code)
}
