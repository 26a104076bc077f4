// Hash names the files in dist/assets by their content: app-AbCdEf12.js. Run it
// in the directory of package web, or by go generate. With -check it changes
// nothing and fails if a name is stale.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "change nothing, fail if a name is stale")
	flag.Parse()
	if err := run("dist", *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// name is that of an asset, or a reference to it in another file.
var name = regexp.MustCompile(`\b(\w+)-([\w-]{8})\.(js|css)\b`)

// build is the assets by name without hash: "app.js".
type build struct {
	dir     string
	old     map[string]string // their file names
	renamed map[string]string // and the right ones
	pending map[string]bool
}

func run(dist string, check bool) error {
	b := build{filepath.Join(dist, "assets"), map[string]string{}, map[string]string{}, map[string]bool{}}
	files, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		key := plain(f.Name())
		if key == f.Name() || b.old[key] != "" {
			return fmt.Errorf("%s: not named like app-AbCdEf12.js, or twice there", f.Name())
		}
		b.old[key] = f.Name()
	}
	text := map[string]string{}
	for key := range b.old {
		if text[key], err = b.resolve(key); err != nil {
			return err
		}
	}
	index := filepath.Join(dist, "index.html")
	page, err := os.ReadFile(index)
	if err != nil {
		return err
	}
	newPage, err := b.rewrite(string(page))
	if err != nil {
		return err
	}
	if check {
		return b.stale(newPage != string(page))
	}
	for key, now := range b.renamed {
		if now != b.old[key] {
			fmt.Println(b.old[key], "->", now)
		}
		err := errors.Join(os.Remove(filepath.Join(b.dir, b.old[key])), os.WriteFile(filepath.Join(b.dir, now), []byte(text[key]), 0o644))
		if err != nil {
			return err
		}
	}
	return os.WriteFile(index, []byte(newPage), 0o644)
}

func (b *build) stale(page bool) error {
	var errs []error
	for key, now := range b.renamed {
		if now != b.old[key] {
			errs = append(errs, fmt.Errorf("%s should be %s: go generate ./web", b.old[key], now))
		}
	}
	if page {
		errs = append(errs, errors.New("index.html names other files: go generate ./web"))
	}
	return errors.Join(errs...)
}

func plain(file string) string { return name.ReplaceAllString(file, "$1.$3") }

// resolve returns what an asset shall hold and notes its new name. What it
// imports comes first: that name is part of its content.
func (b *build) resolve(key string) (string, error) {
	if b.pending[key] {
		return "", fmt.Errorf("%s imports itself in the end: no hash fits", key)
	}
	b.pending[key] = true
	defer delete(b.pending, key)
	raw, err := os.ReadFile(filepath.Join(b.dir, b.old[key]))
	if err != nil {
		return "", err
	}
	text, err := b.rewrite(string(raw))
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	sum := sha256.Sum256([]byte(text))
	stem, ext, _ := strings.Cut(key, ".")
	b.renamed[key] = stem + "-" + base64.RawURLEncoding.EncodeToString(sum[:6]) + "." + ext // 6 bytes, 8 characters
	return text, nil
}

func (b *build) rewrite(text string) (string, error) {
	var errs []error
	text = name.ReplaceAllStringFunc(text, func(ref string) string {
		key := plain(ref)
		if b.old[key] == "" {
			errs = append(errs, fmt.Errorf("%s: no such asset", ref))
			return ref
		}
		if _, err := b.resolve(key); err != nil {
			errs = append(errs, err)
		}
		return b.renamed[key]
	})
	return text, errors.Join(errs...)
}
