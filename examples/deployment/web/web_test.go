package web_test

import (
	"context"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/web"
	"github.com/gatehouse-go/gatehouse/spa"
)

func TestEveryAssetIsNamedByItsContent(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "./hash", "-check").CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestAStaleNameIsFoundAndPutRight(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(path.Join(dir, "dist"), web.FS))
	bin := path.Join(dir, "hash")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./hash").CombinedOutput()
	require.NoError(t, err, string(out))
	hash := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), bin, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	leaf, err := fs.Glob(os.DirFS(dir), "dist/assets/dom-*.js")
	require.NoError(t, err)
	f, err := os.OpenFile(path.Join(dir, leaf[0]), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("// changed\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())

	text, err := hash("-check")
	require.Error(t, err)
	assert.Contains(t, text, path.Base(leaf[0])+" should be dom-")
	assert.Contains(t, text, "app-", "what imports it has a new name too")
	_, err = hash()
	require.NoError(t, err)
	text, err = hash("-check")
	require.NoError(t, err, text)
	page, err := os.ReadFile(path.Join(dir, "dist/index.html"))
	require.NoError(t, err)
	assert.NotContains(t, string(page), path.Base(leaf[0]))
}

func app(t *testing.T) *spa.Middleware {
	t.Helper()
	m, err := spa.New(spa.Config{FS: web.FS})
	require.NoError(t, err)
	return m
}

func TestAssetsAreKeptForEverAndThePageIsNot(t *testing.T) {
	m := app(t)
	names, err := fs.Glob(web.FS, "assets/*")
	require.NoError(t, err)
	require.Len(t, names, 11)
	for _, name := range append(names, "index.html", "favicon.svg") {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", "/"+name, nil))
		require.Equal(t, 200, w.Code, name)
		assert.Equal(t, path.Dir(name) == "assets", strings.Contains(w.Header().Get("Cache-Control"), "immutable"),
			"%s: %s (a name that reads like a word: change a byte of the file)", name, w.Header().Get("Cache-Control"))
	}
}

func TestTheStrictPolicyIsEnough(t *testing.T) {
	assert.Equal(t, spa.Needs{}, app(t).CSP(), "nothing inline, no other host, no data: URL")
	assert.Empty(t, app(t).Warnings())
}

// What these would do is run or insert what a user wrote.
func TestNoScriptMakesMarkupOrCodeOfText(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser|\.on[a-z]+ =|createContextualFragment`)
	for _, name := range scripts(t) {
		text, err := fs.ReadFile(web.FS, name)
		require.NoError(t, err)
		assert.Empty(t, never.FindAllString(string(text), -1), name)
	}
}

func scripts(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(web.FS, "assets/*.js")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

// Modules are found one after the other unless the page names them all.
func TestThePagePreloadsEveryModule(t *testing.T) {
	page, err := fs.ReadFile(web.FS, "index.html")
	require.NoError(t, err)
	for _, name := range scripts(t) {
		assert.Contains(t, string(page), `"/`+name+`"`)
	}
}
