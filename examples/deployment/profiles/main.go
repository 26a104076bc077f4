//go:build linux

// Profiles runs the deployment at each of its sizes, with the real servers of a
// Debian machine on free loopback ports:
//
//	go -C examples/deployment run ./profiles single|managed|replicas|cluster
//
// The configuration files beside it are those that the tests run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	nginx := flag.Bool("nginx", false, "nginx in place of HAProxy")
	flag.Usage = usage
	flag.Parse()
	for _, t := range tiers {
		if flag.NArg() == 1 && t.name == flag.Arg(0) {
			if err := buildAndShow(ctx, t, options{nginx: *nginx}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	usage()
	os.Exit(2)
}

func usage() {
	fmt.Fprintf(os.Stderr, "usage: go run ./profiles [-nginx] PROFILE\n\n")
	for _, t := range tiers {
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", t.name, t.what)
	}
}

func buildAndShow(ctx context.Context, t tier, o options) error {
	dir, err := os.MkdirTemp("", "profile-bin-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "app")
	if err := build(bin); err != nil {
		return err
	}
	return show(ctx, bin, t, o, os.Stdout)
}

// show runs the tier until ctx ends.
func show(ctx context.Context, bin string, t tier, o options, out io.Writer) (err error) {
	m, err := newMachine(bin)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nending everything")
		if errClose := m.close(); err == nil {
			err = errClose
		}
	}()
	what := t.what
	if o.nginx {
		what = strings.Replace(what, "HAProxy", "nginx", 1)
	}
	fmt.Fprintf(out, "starting: %s\n", what)
	r, err := t.start(m, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n  %s   log in as Ada or Alan", r.url)
	if r.front != nil {
		fmt.Fprint(out, "; the browser warns of the certificate, which nobody has signed")
	}
	fmt.Fprintf(out, "\n\n%s\nCtrl-C ends everything and removes all of it.\n", r.describe(m))
	<-ctx.Done()
	return nil
}

// build builds the application as it is deployed: static, without cgo.
func build(bin string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/gatehouse-go/gatehouse/examples/deployment")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}
