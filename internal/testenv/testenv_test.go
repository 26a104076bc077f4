package testenv_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// recorder is a testing.TB that notes how the test in it ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()           {}
func (r *recorder) Skip(args ...any)  { r.end("skip: ", args) }
func (r *recorder) Fatal(args ...any) { r.end("fatal: ", args) }

func (r *recorder) end(how string, args []any) {
	r.ended = how + fmt.Sprint(args...)
	runtime.Goexit()
}

// run runs f as a test of its own would run and returns how it ended.
func run(f func(testing.TB)) string {
	r := &recorder{ended: "(returned)"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.ended
}

func lenient(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("GATEHOUSE_TEST_ALL", "")
}

func TestAMissingToolSkipsForADeveloper(t *testing.T) {
	lenient(t)
	assert.False(t, testenv.Strict())
	assert.Equal(t, "skip: no-such-tool is not installed: apt-get install some-package (make deps does it)",
		run(func(tb testing.TB) { testenv.Command(tb, "some-package", "no-such-tool", "nor-this") }))
}

func TestAMissingToolFailsWhereAllTestsMustRun(t *testing.T) {
	for name, value := range map[string]string{"CI": "true", "GATEHOUSE_TEST_ALL": "1"} {
		t.Run(name, func(t *testing.T) {
			lenient(t)
			t.Setenv(name, value)
			assert.True(t, testenv.Strict())
			assert.Equal(t, "fatal: no-such-tool is not installed: apt-get install some-package (make deps does it)",
				run(func(tb testing.TB) { testenv.Command(tb, "some-package", "no-such-tool") }))
		})
	}
}

func TestTheFirstNameThatIsThereIsTaken(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"second", "third"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "first"), nil, 0o644)) // no program
	t.Setenv("PATH", dir)
	assert.Equal(t, filepath.Join(dir, "second"), testenv.Command(t, "package", "first", "second", "third"))
}

func TestAFreeAddressCanBeListenedOn(t *testing.T) {
	addr := testenv.FreeAddr(t)
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer l.Close()
	assert.Equal(t, addr, l.Addr().String())
}
