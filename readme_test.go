package gatehouse_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program in the README is what people copy: it compiles as it stands, given
// its imports.
func TestTheREADMEsProgramCompiles(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "```go\nfunc main() {")
	require.True(t, found)
	body, _, found := strings.Cut(rest, "```")
	require.True(t, found)

	dir, err := os.MkdirTemp(".", "_readme") // inside the module, outside ./...
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := `package main

import (
	"errors"
	"log"
	"log/slog"
	"net/http"
	"time"

	"` + module + `"
	"` + module + `/correlation"
	"` + module + `/corsx"
	"` + module + `/ratelimit"
	"` + module + `/secheaders"
	"` + module + `/trustedhost"
)

func main() {` + body
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput()
	require.NoError(t, err, string(out))
}

// Every file that the documents link to exists.
func TestLinksInTheDocumentsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	for _, doc := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			_, err := os.Stat(m[1])
			require.NoError(t, err, "%s links to %s", doc, m[1])
		}
	}
}
