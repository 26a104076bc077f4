package spa_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
	"github.com/gatehouse-go/gatehouse/spa"
)

// realBuild is a build of a real app, as its authors published it.
type realBuild struct {
	name, bundler string
	fsys          fs.FS
}

// realBuilds returns the builds that tools/spabuilds/install has fetched.
func realBuilds(t testing.TB) []realBuild {
	t.Helper()
	dirs, err := filepath.Glob("../.cache/spabuilds/*/.installed")
	require.NoError(t, err)
	if len(dirs) < 4 {
		testenv.Missing(t, "the builds of real apps are not there: tools/spabuilds/install fetches them (make deps does it)")
	}
	var builds []realBuild
	for _, d := range dirs {
		dir := filepath.Dir(d)
		bundler, err := os.ReadFile(filepath.Join(dir, "bundler"))
		require.NoError(t, err)
		builds = append(builds, realBuild{filepath.Base(dir), strings.TrimSpace(string(bundler)), openDir(t, filepath.Join(dir, "dist"))})
	}
	return builds
}

// realConfig serves a real build: what its own server adds at run time is
// another handler's here.
func realConfig(b realBuild) spa.Config {
	return spa.Config{
		FS: b.fsys, BaseHref: "/",
		Exclude: []string{"/api/", "/_socket/", "/lib/js/socket.io.js"},
	}
}

// named tells, from what the bundlers' own documents say of their templates and
// manifests, which files of the build are named by content.
func (b realBuild) named(t testing.TB) func(name string) bool {
	t.Helper()
	switch b.bundler {
	case "vite": // assets/[name]-[hash][extname]
		re := regexp.MustCompile(`^assets/[^/]+-[A-Za-z0-9_-]{8}\.\w+$`)
		return re.MatchString
	case "angular": // [name]-[hash] at the root, media/[name]-[hash]; Rolldown numbers names that clash
		re := regexp.MustCompile(`^(chunk|main|polyfills|styles)-[A-Za-z0-9_-]{8}[2-9]?\.(js|css)$|^media/[^/]+-[A-Z2-7]{8}\.\w+$|` +
			`^assets/monaco/min/vs/.+-[A-Za-z0-9_-]{8}\.js$`) // an editor that Vite built, copied in whole
		return re.MatchString
	case "cra": // asset-manifest.json: the name before and after
		raw, err := fs.ReadFile(b.fsys, "asset-manifest.json")
		require.NoError(t, err)
		var manifest struct{ Files map[string]string }
		require.NoError(t, json.Unmarshal(raw, &manifest))
		hashed := map[string]bool{}
		for before, after := range manifest.Files {
			if path.Base(before) != path.Base(after) && path.Ext(after) != ".map" && path.Ext(after) != ".txt" {
				hashed[strings.TrimPrefix(after, "./")] = true
			}
		}
		return func(name string) bool { return hashed[name] }
	}
	t.Fatalf("no template is known of %q", b.bundler)
	return nil
}

// realApps keeps the app of each build: indexing one takes a second.
var realApps sync.Map

func (b realBuild) app(t testing.TB) *spa.Middleware {
	t.Helper()
	if app, ok := realApps.Load(b.name); ok {
		return app.(*spa.Middleware)
	}
	app := newApp(t, realConfig(b))
	realApps.Store(b.name, app)
	return app
}

func TestOfRealBuildsExactlyTheFilesNamedByContentAreImmutable(t *testing.T) {
	for _, b := range realBuilds(t) {
		t.Run(b.name, func(t *testing.T) {
			app := b.app(t)
			named, immutable, others := b.named(t), 0, 0
			walkBuild(t, b.fsys, func(name string, _ []byte) {
				got := ask(app, "HEAD", "/"+urlPath(name)).Header().Get("Cache-Control")
				want := noCache
				if named(name) {
					want = forever
					immutable++
				} else {
					others++
				}
				assert.Equal(t, want, got, name)
			})
			t.Logf("%s: %d immutable, %d not", b.bundler, immutable, others)
			assert.NotZero(t, immutable)
			assert.NotZero(t, others)
		})
	}
}

func TestRealBuildsAreServedToTheByte(t *testing.T) {
	for _, b := range realBuilds(t) {
		t.Run(b.name, func(t *testing.T) {
			app, types := b.app(t), map[string]int{}
			walkBuild(t, b.fsys, func(name string, body []byte) {
				if name == "index.html" {
					return // BaseHref is in it
				}
				whole := ask(app, "GET", "/"+urlPath(name))
				require.Equal(t, 200, whole.Code, name)
				assert.Equal(t, len(body), whole.Body.Len(), name)
				assert.True(t, string(body) == whole.Body.String(), name)
				zipped := ask(app, "GET", "/"+urlPath(name), "Accept-Encoding", "gzip")
				if zipped.Header().Get("Content-Encoding") == "gzip" {
					assert.True(t, string(body) == string(gunzip(t, zipped.Body.Bytes())), name)
				}
				types[whole.Header().Get("Content-Type")]++
				if path.Ext(name) != "" {
					assert.NotEqual(t, "application/octet-stream", whole.Header().Get("Content-Type"), name)
				}
			})
			for _, target := range []string{"/", "/deep/link", "/users/john.doe"} {
				rec := ask(app, "GET", target, "Sec-Fetch-Dest", "document")
				assert.Equal(t, 200, rec.Code)
				assert.Contains(t, rec.Body.String(), `<base href="/">`)
			}
			assert.Equal(t, 404, ask(app, "GET", "/assets/gone-BxYz12_-.js").Code)
			t.Log(types)
		})
	}
}

func urlPath(name string) string { return strings.ReplaceAll(name, " ", "%20") }

// walkBuild calls f for every file that an app serves.
func walkBuild(t testing.TB, fsys fs.FS, f func(name string, body []byte)) {
	t.Helper()
	require.NoError(t, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f(name, body)
		return nil
	}))
}

// Indexing is what a start costs: hashing, comparing, compressing.
func BenchmarkNewOfRealBuilds(b *testing.B) {
	for _, build := range realBuilds(b) {
		b.Run(build.name, func(b *testing.B) {
			var total int64
			walkBuild(b, build.fsys, func(_ string, body []byte) { total += int64(len(body)) })
			b.SetBytes(total)
			for b.Loop() {
				newApp(b, realConfig(build))
			}
		})
	}
}
