// Package testenv tells tests which programs the machine has. A test that needs
// a real server or browser skips, with the reason, where a developer has only
// Go; under CI=true or GATEHOUSE_TEST_ALL=1 (make test sets it) it fails
// instead: a missing tool is never passed over in silence.
package testenv

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// Strict tells whether a missing tool fails the test.
func Strict() bool {
	return os.Getenv("CI") == "true" || os.Getenv("GATEHOUSE_TEST_ALL") == "1"
}

// Command returns the path of the program, or skips (or fails, see [Strict])
// with the Debian package that has it. Several names are tried in turn.
func Command(t testing.TB, debianPackage string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		// Daemons live here, and a plain user's PATH may not name it.
		if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
			return path
		}
	}
	Missing(t, names[0]+" is not installed: apt-get install "+debianPackage+" (make deps does it)")
	return ""
}

// Missing skips the test with the reason, or fails it where [Strict].
func Missing(t testing.TB, reason string) {
	t.Helper()
	if Strict() {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// FreeAddr returns a loopback address that was free a moment ago, for a server
// that is started as another process.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
