package hosting_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting/hosttest"
	"github.com/gatehouse-go/gatehouse/examples/deployment/web"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
)

const api = "https://api.example.com"

var update = flag.Bool("update", false, "write frontend/hosting anew")

// The committed files are for a Flutter build, whose names have no hash; those of
// the embedded app change with it, and are made when it is deployed.
func TestTheCommittedFilesAreTheGeneratedOnes(t *testing.T) {
	for _, host := range hosting.Hosts() {
		files, err := hosting.Files(host, api, spa.Needs{Wasm: true}, nil, nil)
		require.NoError(t, err)
		dir := filepath.Join("../../frontend/hosting", host)
		if *update {
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.MkdirAll(dir, 0o755))
			for name, text := range files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
			}
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, entries, len(files), host)
		for name, text := range files {
			committed, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			assert.Equal(t, string(text), string(committed), "%s/%s: go test ./internal/hosting -update", host, name)
		}
	}
	env, err := os.ReadFile("../../frontend/.env.production")
	require.NoError(t, err)
	assert.Contains(t, string(env), "\nAPI_BASE_URL="+api+"\n", "the app asks the API that the policy allows")
}

// flutter has the shape of a build.
var flutter = fstest.MapFS{
	"index.html":               {Data: []byte(`<!DOCTYPE html><html><head><base href="/"><title>app</title></head><body><script src="flutter_bootstrap.js" async></script></body></html>`)},
	"flutter_bootstrap.js":     {Data: []byte(`_flutter.buildConfig = {"engineRevision":"78fc3012","useLocalCanvasKit":true,"builds":[{"compileTarget":"dart2js","renderer":"canvaskit","mainJsPath":"main.dart.js"}]};`)},
	"main.dart.js":             {Data: []byte("x")},
	"canvaskit/canvaskit.js":   {Data: []byte("x")},
	"canvaskit/canvaskit.wasm": {Data: []byte("\x00asm\x01\x00\x00\x00")},
}

// A host that applies the files answers as the Go stack does, over HTTPS: the same
// pages, headers and rules of caching, but for the API in connect-src.
func TestAHostAnswersAsTheGoStackDoes(t *testing.T) {
	for app, files := range map[string]fs.FS{"embedded": web.FS, "flutter": flutter} {
		m, err := spa.New(spa.Config{FS: files})
		require.NoError(t, err)
		c := hosting.Headers(m.CSP())
		c.HTTPS = func(*http.Request) bool { return true }
		headers, err := secheaders.New(c)
		require.NoError(t, err)
		ours := headers.Handler(m)
		for _, host := range hosting.Hosts() {
			site, err := hosting.Site(host, api, files)
			require.NoError(t, err)
			theirs, err := hosttest.New(host, site)
			require.NoError(t, err)
			paths := []string{"/", "/threads", "/threads/0198", "/stack", "/auth/callback", "/assets/gone-AbCdEf12.js", "/main.js"}
			for name := range site {
				if !strings.HasPrefix(name, "_") && !strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".html") {
					paths = append(paths, "/"+name)
				}
			}
			for _, p := range paths {
				same(t, fmt.Sprint(app, " on ", host, ": ", p), get(ours, p), get(theirs, p))
			}
		}
	}
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "https://app.example.com"+path, nil)
	r.Header.Set("Sec-Fetch-Dest", "document")
	h.ServeHTTP(w, r)
	return w
}

func same(t *testing.T, what string, want, got *httptest.ResponseRecorder) {
	t.Helper()
	assert.Equal(t, want.Code, got.Code, what)
	wanted, had := want.Header().Clone(), got.Header().Clone()
	policy := regexp.MustCompile(`connect-src [^;]+; `)
	csp := had.Get("Content-Security-Policy")
	assert.Contains(t, csp, "connect-src 'self' "+api+";", what)
	assert.Equal(t, policy.ReplaceAllString(wanted.Get("Content-Security-Policy"), ""), policy.ReplaceAllString(csp, ""), what)
	if want.Code == http.StatusOK {
		assert.Equal(t, freshness(wanted.Get("Cache-Control")), freshness(had.Get("Cache-Control")), what)
	}
	assert.NotContains(t, freshness(had.Get("Cache-Control")), "immutable "+fmt.Sprint(want.Code == http.StatusNotFound), what)
	for _, own := range []string{
		"Content-Security-Policy", "Cache-Control", "Content-Type", "Content-Length", "Etag", "Vary", "Accept-Ranges", "Content-Encoding",
	} {
		wanted.Del(own)
		had.Del(own)
	}
	assert.Equal(t, wanted, had, what)
	if want.Code == http.StatusOK && !bytes.Contains(got.Body.Bytes(), []byte("app-config")) {
		assert.Equal(t, want.Body.String(), got.Body.String(), what)
	}
}

// freshness is what Cache-Control means to a browser.
func freshness(value string) string {
	switch value {
	case "no-cache", "public, max-age=0, must-revalidate":
		return "asked about each time"
	case "public, max-age=31536000, immutable":
		return "immutable"
	}
	return value
}

func TestTheLimitsOfCloudflarePagesAreKept(t *testing.T) {
	many := make([]string, 120)
	for i := range many {
		many[i] = fmt.Sprintf("/assets/c%03d-AbCdEf12.js", i)
	}
	_, err := hosting.Files("cloudflare", api, spa.Needs{}, many, nil)
	assert.ErrorContains(t, err, "122 header rules, and Cloudflare Pages takes 100")
	_, err = hosting.Files("vercel", api, spa.Needs{}, many, nil)
	assert.NoError(t, err)
	var hashes []string
	for i := range 40 {
		hashes = append(hashes, string(secheaders.SHA256([]byte{byte(i)})))
	}
	_, err = hosting.Files("cloudflare", api, spa.Needs{ScriptHashes: hashes}, nil, nil)
	assert.ErrorContains(t, err, "characters, and Cloudflare Pages takes 2000:   Content-Security-Policy")
}

func TestMistakesAreTold(t *testing.T) {
	for _, bad := range []string{"api.example.com", "http://api.example.com", "https://api.example.com/", "https://api.example.com/v1", "https://x; script-src *", ""} {
		_, err := hosting.Site("netlify", bad, web.FS)
		assert.Error(t, err, bad)
	}
	_, err := hosting.Site("geocities", api, web.FS)
	assert.ErrorContains(t, err, "cloudflare, netlify, vercel")
	_, err = hosting.Files("netlify", api, spa.Needs{}, []string{"/assets/a*-AbCdEf12.js"}, []string{"/b c.png"})
	assert.ErrorContains(t, err, `"/assets/a*-AbCdEf12.js": a name that is a pattern`)
	assert.ErrorContains(t, err, `"/b c.png": a name that is a pattern`)
	odd := maps.Clone(flutter) // which needs no rule for it
	odd["assets/logo @2x.png"] = &fstest.MapFile{Data: []byte("x")}
	site, err := hosting.Site("netlify", api, odd)
	require.NoError(t, err)
	assert.Contains(t, site, "assets/logo @2x.png")

	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "site")
	require.NoError(t, hosting.Command([]string{"netlify", api, dir}, web.FS, &out))
	assert.Regexp(t, `^\d+ files in `, out.String())
	assert.ErrorContains(t, hosting.Command([]string{"netlify", api, dir}, web.FS, &out), "not empty")
	assert.ErrorContains(t, hosting.Command(nil, web.FS, &out), "usage:")
}

// The hosts answer exactly these paths with the page.
func TestTheRoutesAreThoseOfTheRouter(t *testing.T) {
	names, err := fs.Glob(web.FS, "assets/app-*.js")
	require.NoError(t, err)
	text, err := fs.ReadFile(web.FS, names[0])
	require.NoError(t, err)
	var patterns []string
	for _, m := range regexp.MustCompile(`(?m)^  \[/(\^.*\$)/,`).FindAllStringSubmatch(string(text), -1) {
		patterns = append(patterns, strings.ReplaceAll(m[1], `\/`, "/"))
	}
	require.Len(t, patterns, 5)
	for _, route := range append(hosting.Routes(), "/") {
		path := strings.ReplaceAll(route, "*", "0198-a")
		matches := 0
		for _, p := range patterns {
			if regexp.MustCompile(strings.ReplaceAll(p, "(?<", "(?P<")).MatchString(path) {
				matches++
			}
		}
		assert.Equal(t, 1, matches, route)
	}
	assert.Len(t, hosting.Routes(), len(patterns)-1)
}
