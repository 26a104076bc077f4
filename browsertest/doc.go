// Package browsertest holds the tests of Gatehouse that only a real browser can
// answer. It is a module of its own, so that the library never depends on a
// browser driver. Run it with "make test", or "go test ./..." here where
// Debian's chromium is installed.
package browsertest
