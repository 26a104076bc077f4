// Deployment is a complete web application for a PaaS, hardened with Gatehouse: a
// JSON API with JWT, login with Google and Microsoft, a single-page app, SQLite or
// PostgreSQL, rate limits shared through Redis. It needs no environment to run:
//
//	go -C examples/deployment run .
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting"
)

const usage = `usage: deployment [command]

  serve             serve the application (the default)
  migrate           bring the database to the newest schema and exit
  config check      read the environment, print it without secrets, and exit
  healthcheck       exit 0 if the server on PORT answers (for containers)
  backup FILE       copy the SQLite database while it is in use
  restore FILE      put a backup in the place of the SQLite database; stop the server first
  hosting HOST API DIR
                    write the frontend for a host of its own: cloudflare, netlify
                    or vercel; API is this service's origin
  version           print the version

Everything is configured by the environment; see .env.production.example.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errUsage ends the program with the usage, which is already printed.
var errUsage = errors.New("unknown command")

func command(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch {
	case name == "version" && len(args) == 0:
		fmt.Fprintln(stdout, version())
		return nil
	case name == "help" || name == "-h" || name == "--help":
		fmt.Fprint(stdout, usage)
		return nil
	case name == "hosting":
		app, err := frontend(config.Config{StaticDir: env("STATIC_DIR")})
		if err != nil {
			return err
		}
		return hosting.Command(args, app, stdout)
	}
	c, err := config.Load(env)
	if err != nil {
		return err // before any port is opened
	}
	switch {
	case name == "serve" && len(args) == 0:
		return serve(ctx, c, stdout, stderr)
	case name == "migrate" && len(args) == 0:
		return withDB(ctx, c, func(db *data.DB) error { return db.Migrate(ctx) })
	case name == "config" && len(args) == 1 && args[0] == "check":
		return c.Print(stdout)
	case name == "healthcheck" && len(args) == 0:
		return healthcheck(ctx, c)
	case name == "backup" && len(args) == 1:
		return withDB(ctx, c, func(db *data.DB) error { return db.Backup(ctx, args[0]) })
	case name == "restore" && len(args) == 1:
		if c.Database.Driver != "sqlite" {
			return errors.New("restore is for SQLite; PostgreSQL has pg_restore")
		}
		return data.Restore(ctx, args[0], c.Database.DSN)
	}
	fmt.Fprint(stderr, usage)
	return errUsage
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = " " + s.Value
		}
	}
	return info.Main.Version + revision + " " + info.GoVersion
}

func withDB(ctx context.Context, c config.Config, f func(*data.DB) error) error {
	db, err := open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

func healthcheck(ctx context.Context, c config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", c.Port), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/health answered %s", resp.Status)
	}
	return nil
}
