// Package web is the embedded frontend: written by hand, without a build tool.
// Its files are what the browser gets. After a change run
//
//	go generate ./web
//
// which names the assets by their content again, so that browsers may keep them
// for ever. A test fails where that was forgotten.
package web

import (
	"embed"
	"io/fs"
)

//go:generate go run ./hash

// all: because without it go:embed leaves out names that begin with _ or a dot.
//
//go:embed all:dist
var dist embed.FS

// FS is the build, its root the directory with index.html.
var FS = sub(dist, "dist")

func sub(fsys fs.FS, dir string) fs.FS {
	f, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // an invalid name, and "dist" is none
	}
	return f
}
