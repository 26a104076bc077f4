//go:build unix

package spa_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/spa"
)

// To open a pipe waits for a writer, for ever.
func TestAPipeInTheBuildIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte(indexlike), 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.txt"), 0o600))
	require.NoError(t, os.Symlink("pipe.txt", filepath.Join(dir, "link.txt")))
	app := newApp(t, spa.Config{FS: openDir(t, dir)})
	assert.Len(t, app.Warnings(), 2)
	assert.Equal(t, 404, ask(app, "GET", "/pipe.txt").Code)
	assert.Equal(t, 404, ask(app, "GET", "/link.txt").Code)
}
