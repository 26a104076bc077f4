package gatehouse_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/gatehouse-go/gatehouse"

// What a service pays that imports one package only: the modules outside the
// standard library that its binary links.
func TestEachPackageLinksNoMoreThanItsPromise(t *testing.T) {
	promises := map[string][]string{
		"":                     {},
		"/trustedhost":         {},
		"/secheaders":          {},
		"/spa":                 {},
		"/forwarded":           {},
		"/ratelimit":           {"golang.org/x/time"},
		"/ratelimit/storetest": {"golang.org/x/time"},
		"/correlation":         {"github.com/google/uuid"},
		"/corsx":               {"github.com/rs/cors", "golang.org/x/net"},
		"/ratelimit/redisstore": {
			"github.com/cespare/xxhash/v2", "github.com/redis/go-redis/v9", "go.uber.org/atomic", "golang.org/x/sys", "golang.org/x/time",
		},
	}
	root, err := os.Getwd()
	require.NoError(t, err)
	for pkg, want := range promises {
		if _, err := os.Stat("." + pkg); err != nil {
			continue
		}
		t.Run(module+pkg, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, want, linked(t, root, module+pkg))
		})
	}
}

// linked lists the modules that a program importing pkg links, beside ours and
// the standard library.
func linked(t *testing.T, root, pkg string) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module scratch\n\ngo 1.26.0\n\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+root+"\n")
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write("go.sum", string(sums))
	write("main.go", "package main\n\nimport _ \""+pkg+"\"\n\nfunc main() {}\n")

	cmd := exec.Command("go", "list", "-mod=mod", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	mods := strings.Fields(string(out))
	slices.Sort(mods)
	mods = slices.Compact(mods)
	return slices.DeleteFunc(mods, func(m string) bool { return m == "scratch" || m == module })
}

// Nothing of the six depends on another of the six, and a tool in the root
// go.mod would change our users' versions.
func TestThePackagesDoNotImportEachOther(t *testing.T) {
	six := []string{"correlation", "corsx", "forwarded", "ratelimit", "secheaders", "spa", "trustedhost"}
	for _, pkg := range six {
		out, err := exec.Command("go", "list", "-deps", "./"+pkg).Output()
		require.NoError(t, err)
		for dep := range strings.FieldsSeq(string(out)) {
			for _, other := range six {
				if other != pkg && dep == module+"/"+other {
					t.Errorf("%s imports %s", pkg, other)
				}
			}
		}
	}
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "tool ") || strings.HasPrefix(line, "toolchain ") {
			t.Errorf("go.mod of the library has %q", line)
		}
	}
}
