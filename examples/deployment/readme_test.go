package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func documents(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	all := map[string]string{}
	for _, name := range append(names, "README.md", "profiles/README.md", "frontend/README.md") {
		all[name] = read(t, name)
	}
	return all
}

func TestEveryTestThatTheDocumentsNameExists(t *testing.T) {
	exists := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() != "../.." && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllStringSubmatch(string(text), -1) {
				exists[m[1]] = true
			}
		}
		return nil
	}))
	named := 0
	for name, text := range documents(t) {
		for _, test := range regexp.MustCompile(`\bTest[A-Z]\w+(\.\.\.)?`).FindAllString(text, -1) {
			named++
			test, cut := strings.CutSuffix(test, "...")
			found := exists[test]
			for other := range exists {
				found = found || cut && strings.HasPrefix(other, test)
			}
			assert.True(t, found, "%s names %s", name, test)
		}
	}
	assert.Greater(t, named, 100)
}

func TestEveryLinkInTheDocumentsLeadsSomewhere(t *testing.T) {
	for name, text := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			path, anchor := m[1], strings.TrimPrefix(m[2], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
				_, err := os.Stat(target)
				require.NoError(t, err, name)
			}
			if anchor != "" {
				assert.Contains(t, anchors(read(t, target)), anchor, "%s links to %s", name, target)
			}
		}
	}
}

// anchors are those that headings get: lower case, without punctuation, hyphens
// for spaces.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		a := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(a, " ", "-"))
	}
	return all
}

// A variable that a guide misspells does nothing, in silence.
func TestEveryVariableThatTheDocumentsNameIsRead(t *testing.T) {
	others := map[string]string{
		"API_BASE_URL":    "the frontend's",
		"RAILWAY_RUN_UID": "Railway's", "K_SERVICE": "Cloud Run's",
		"WEB_CONCURRENCY": "gunicorn's", "FORWARDED_ALLOW_IPS": "uvicorn's",
	}
	known := variables(t)
	for name, text := range documents(t) {
		for _, m := range regexp.MustCompile("`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`").FindAllStringSubmatch(text, -1) {
			if others[m[1]] == "" {
				assert.Contains(t, known, m[1], name)
			}
		}
	}
}

func TestEveryGuideSaysWhatAPlatformNeeds(t *testing.T) {
	guides := 0
	for name, text := range documents(t) {
		if !strings.HasPrefix(name, "docs/") || name == "docs/frontend.md" {
			continue
		}
		parts := []string{text}
		if name == "docs/heroku-cloudrun.md" {
			parts = strings.Split(text, "\n## ")[1:]
		}
		for _, part := range parts {
			guides++
			for _, topic := range []string{"Health check", "client's address", "Drain", "Volume", "Outgrowing it", "`SHUTDOWN_TIMEOUT", "`PLATFORM="} {
				if !strings.Contains(strings.ReplaceAll(part, "Client's", "client's"), topic) {
					t.Errorf("%s says nothing of %s", name, topic)
				}
			}
		}
	}
	assert.Equal(t, 6, guides)
}

func TestEveryCommandIsInTheREADME(t *testing.T) {
	usage := regexp.MustCompile("(?s)const usage = `(.*?)`").FindStringSubmatch(read(t, "main.go"))
	require.Len(t, usage, 2)
	readme := read(t, "README.md")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+)\b`).FindAllStringSubmatch(usage[1], -1) {
		assert.Regexp(t, "`"+m[1]+"[ `]", readme)
	}
}
