package spa

import (
	"fmt"
	"io/fs"
	"os"
)

// rootedDir is a directory that no name and no symbolic link leads out of.
type rootedDir struct{ dirFS }

// dirFS is what os.Root.FS documents to implement.
type dirFS interface {
	fs.ReadDirFS
	fs.ReadFileFS
	fs.StatFS
}

// OpenDir opens a directory as the FS of a Config, through [os.Root]: symbolic
// links are followed as long as they stay inside, and refused where they lead
// out of it, also when one is exchanged while the program runs. The directory
// stays open as long as the FS is in use.
func OpenDir(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("spa: OpenDir: %w", err)
	}
	fsys := root.FS()
	full, ok := fsys.(dirFS)
	if !ok {
		return fsys, nil
	}
	return rootedDir{full}, nil
}
