//go:build unix

// Package pgtest starts a real PostgreSQL and a real PgBouncer for tests, from
// the Debian packages postgresql and pgbouncer. They listen on free loopback
// ports, not on Unix sockets, keep their files in a temporary directory, and end
// with the test. Without the programs the test skips, or fails under CI.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// The superuser of every server. The password makes both servers check it, as
// in production.
const (
	user     = "app"
	password = "only-for-tests"
)

// A Server is one PostgreSQL.
type Server struct {
	Addr string
	process
	databases atomic.Int64
}

// Start makes a new cluster and starts a server with settings as in
// postgresql.conf, such as "max_connections=20".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin := programs(t)
	s := &Server{process: newProcess(t)}
	secret := filepath.Join(s.dir, "password")
	s.write("password", password)
	data := filepath.Join(s.dir, "data")
	// An ICU locale, so that the tests see text sorted as a managed server sorts it,
	// and not byte by byte.
	s.run(filepath.Join(bin, "initdb"), "-D", data, "--no-sync", "--username", user, "--pwfile", secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
	s.bin = filepath.Join(bin, "postgres")
	s.stop = fastShutdown
	s.start(func(addr string) []string {
		s.Addr = addr
		args := []string{
			"-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + port(addr),
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB",
		}
		for _, setting := range settings {
			args = append(args, "-c", setting)
		}
		return args
	}, func() error { return s.exec("SELECT 1") })
	return s
}

// Database makes an empty database and returns its DSN.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return dsn(s.Addr, name)
}

func (s *Server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn(s.Addr, "postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func dsn(addr, database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, addr, database)
}

// A Bouncer is one PgBouncer.
type Bouncer struct {
	Addr string
	process
}

// PgBouncer starts a PgBouncer in transaction mode before the server, with
// settings as in pgbouncer.ini, such as "default_pool_size=3".
func (s *Server) PgBouncer(t testing.TB, settings ...string) *Bouncer {
	t.Helper()
	b := &Bouncer{process: newProcess(t)}
	b.bin = testenv.Command(t, "pgbouncer", "pgbouncer")
	b.stop = os.Interrupt
	b.write("users", fmt.Sprintf("%q %q\n", user, password))
	host, serverPort, _ := strings.Cut(s.Addr, ":")
	b.start(func(addr string) []string {
		b.Addr = addr
		b.write("pgbouncer.ini", strings.Join(append([]string{
			"[databases]", "* = host=" + host + " port=" + serverPort,
			"[pgbouncer]", "pool_mode = transaction", "listen_addr = 127.0.0.1", "listen_port = " + port(addr),
			"unix_socket_dir =", "auth_type = scram-sha-256", "auth_file = " + filepath.Join(b.dir, "users"),
		}, settings...), "\n")+"\n")
		return []string{filepath.Join(b.dir, "pgbouncer.ini")}
	}, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, dsn(b.Addr, "postgres"))
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	return b
}

// DSN is the way to the server's database through the pooler.
func (b *Bouncer) DSN(direct string) string {
	u, err := url.Parse(direct)
	if err != nil {
		b.t.Fatal(err)
	}
	u.Host = b.Addr
	return u.String()
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// programs finds the directory of the newest PostgreSQL; Debian keeps it out of
// the PATH.
func programs(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	return filepath.Dir(testenv.Command(t, "postgresql", "initdb"))
}
