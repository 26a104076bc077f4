package hosting

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Command is "hosting HOST API DIR": it writes the site for a host into a
// directory that does not exist yet, or is empty.
func Command(args []string, app fs.FS, stdout io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: deployment hosting cloudflare|netlify|vercel https://api.example.com DIR")
	}
	host, api, dir := args[0], args[1], args[2]
	site, err := Site(host, api, app)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: what an older build left there would be served too", dir)
	}
	for name, text := range site {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, text, 0o644)); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%d files in %s\n", len(site), dir)
	return nil
}
