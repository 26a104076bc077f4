//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// postgres starts PostgreSQL with an empty database, and returns its URL for a
// user who owns that database and nothing else.
func (m *machine) postgres() (*process, *url.URL, error) {
	initdb, err := program("initdb", "postgresql")
	if err != nil {
		return nil, nil, err
	}
	p, err := m.process("postgres")
	if err != nil {
		return nil, nil, err
	}
	admin, app := rand.Text(), rand.Text()
	if err := p.asUser("postgres"); err != nil {
		return nil, nil, err
	}
	passwordFile, err := p.write("password", []byte(admin))
	if err != nil {
		return nil, nil, err
	}
	data := filepath.Join(p.dir, "data")
	if err := p.run(initdb, "-D", data, "--username=postgres", "--pwfile="+passwordFile, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"); err != nil {
		return nil, nil, err
	}
	p.stop, p.attr.Pdeathsig = syscall.SIGINT, syscall.SIGQUIT // "fast" and "immediate": its own processes end too
	at := func(user, password, database string) *url.URL {
		return &url.URL{
			Scheme: "postgres", Host: p.addr, User: url.UserPassword(user, password),
			Path: "/" + database, RawQuery: "sslmode=disable",
		}
	}
	err = m.start(p, func(port int) (*exec.Cmd, error) {
		return exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data,
			"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories=",
			"-c", "max_connections=40", // PgBouncer's 20, and some for people
			"-c", "fsync=off", // only here: all of it is removed at the end
		), nil
	}, func(ctx context.Context) error { return execute(ctx, at("postgres", admin, "postgres"), "SELECT 1") })
	if err != nil {
		return nil, nil, err
	}
	for _, sql := range []string{"CREATE ROLE app LOGIN PASSWORD '" + app + "'", "CREATE DATABASE app OWNER app"} {
		if err := execute(context.Background(), at("postgres", admin, "postgres"), sql); err != nil {
			return nil, nil, err
		}
	}
	return p, at("app", app, "app"), nil
}

func execute(ctx context.Context, database *url.URL, sql string) error {
	conn, err := pgx.Connect(ctx, database.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// pgbouncer starts PgBouncer before the database and returns the URL through it.
func (m *machine) pgbouncer(direct *url.URL) (*process, *url.URL, error) {
	path, err := program("pgbouncer", "pgbouncer")
	if err != nil {
		return nil, nil, err
	}
	p, err := m.process("pgbouncer")
	if err != nil {
		return nil, nil, err
	}
	if err := p.asUser("postgres"); err != nil {
		return nil, nil, err
	}
	p.stop = syscall.SIGINT
	password, _ := direct.User.Password()
	if _, err := p.write("userlist.txt", fmt.Appendf(nil, "%q %q\n", direct.User.Username(), password)); err != nil {
		return nil, nil, err
	}
	pooled := *direct
	err = m.start(p, func(port int) (*exec.Cmd, error) {
		pooled.Host = p.addr
		file, err := p.config("replicas/pgbouncer.ini", map[string]string{
			"POSTGRES_HOST": direct.Hostname(), "POSTGRES_PORT": direct.Port(), "PGBOUNCER_PORT": strconv.Itoa(port),
		})
		return exec.Command(path, file), err
	}, func(ctx context.Context) error { return execute(ctx, &pooled, "SELECT 1") })
	return p, &pooled, err
}

// redis starts a Redis with a configuration of this directory, and returns its URL
// for the user "limiter".
func (m *machine) redis(name, config string, parameters map[string]string) (*process, *url.URL, error) {
	path, err := program("redis-server", "redis-server")
	if err != nil {
		return nil, nil, err
	}
	p, err := m.process(name)
	if err != nil {
		return nil, nil, err
	}
	password := parameters["REDIS_PASSWORD"]
	err = m.start(p, func(port int) (*exec.Cmd, error) {
		parameters["REDIS_PORT"] = strconv.Itoa(port)
		file, err := p.config(config, parameters)
		return exec.Command(path, file), err
	}, func(ctx context.Context) error {
		if conn, err := net.Dial("tcp", p.addr); err != nil { // the client would write a line about it
			return err
		} else if err := conn.Close(); err != nil {
			return err
		}
		c := redis.NewClient(&redis.Options{Addr: p.addr, Username: "limiter", Password: password, MaxRetries: -1})
		defer c.Close()
		return c.Time(ctx).Err() // PING is more than it may
	})
	return p, &url.URL{Scheme: "redis", Host: p.addr, User: url.UserPassword("limiter", password)}, err
}

// redisCluster starts three masters and makes them one cluster.
func (m *machine) redisCluster() ([]*process, *url.URL, error) {
	cli, err := program("redis-cli", "redis-tools")
	if err != nil {
		return nil, nil, err
	}
	parameters := map[string]string{"REDIS_PASSWORD": rand.Text(), "REDIS_ADMIN_PASSWORD": rand.Text()}
	var nodes []*process
	var all *url.URL
	create := []string{"--no-auth-warning", "--user", "admin", "--pass", parameters["REDIS_ADMIN_PASSWORD"], "--cluster-yes", "--cluster", "create"}
	for i := range 3 {
		bus, err := freePort()
		if err != nil {
			return nil, nil, err
		}
		parameters["REDIS_BUS_PORT"] = strconv.Itoa(bus)
		p, one, err := m.redis(fmt.Sprintf("redis%d", i+1), "cluster/redis.conf", parameters)
		if err != nil {
			return nil, nil, err
		}
		create = append(create, p.addr+"@"+strconv.Itoa(bus))
		if nodes = append(nodes, p); i == 0 {
			all = one
		} else {
			all.RawQuery += "&addr=" + p.addr
		}
	}
	all.RawQuery = all.RawQuery[1:]
	if err := nodes[0].run(cli, create...); err != nil {
		return nil, nil, err
	}
	for _, p := range nodes { // each has heard of all slots
		c := redis.NewClient(&redis.Options{Addr: p.addr, Username: "admin", Password: parameters["REDIS_ADMIN_PASSWORD"]})
		err := wait(func(ctx context.Context) error {
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && !strings.Contains(info, "cluster_slots_ok:16384") {
				err = fmt.Errorf("%s does not know all slots:\n%s", p.name, info)
			}
			return err
		})
		if err = errors.Join(err, c.Close()); err != nil {
			return nil, nil, err
		}
	}
	return nodes, all, nil
}

// A front is a load balancer with TLS.
type front struct {
	*process
	http, https string         // addresses
	roots       *x509.CertPool // to trust its certificate
}

// balancer starts HAProxy or nginx before the replicas.
func (m *machine) balancer(name, publicHost string, replicas []*process) (*front, error) {
	path, err := program(name, map[string]string{"haproxy": "haproxy", "nginx": "nginx-light"}[name])
	if err != nil {
		return nil, err
	}
	p, err := m.process(name)
	if err != nil {
		return nil, err
	}
	pair, roots, err := certificate()
	if err != nil {
		return nil, err
	}
	f := &front{process: p, roots: roots}
	parameters := map[string]string{"PUBLIC_HOST": publicHost}
	if parameters["CERTIFICATE"], err = p.write("certificate.pem", pair); err != nil {
		return nil, err
	}
	for i, r := range replicas {
		parameters[fmt.Sprintf("APP%d", i+1)] = r.addr
	}
	_, port, err := net.SplitHostPort(publicHost)
	if err != nil {
		return nil, err
	}
	f.https = net.JoinHostPort("127.0.0.1", port) // it is in the application's BACKEND_URL: no other will do
	err = m.start(p, func(int) (*exec.Cmd, error) {
		f.http = p.addr
		parameters["HTTP_BIND"], parameters["HTTPS_BIND"] = f.http, f.https
		if name == "nginx" {
			p.attr.Pdeathsig = syscall.SIGTERM // its workers end too
			file, err := p.config("replicas/nginx.conf", parameters)
			return exec.Command(path, "-e", "stderr", "-p", p.dir, "-c", file, "-g", "daemon off;"), err
		}
		file, err := p.config("replicas/haproxy.cfg", parameters)
		return exec.Command(path, "-db", "-f", file), err
	}, func(ctx context.Context) error {
		client := f.client("127.0.0.1")
		defer client.CloseIdleConnections()
		return get(ctx, client, "https://"+publicHost+"/health/ready")
	})
	return f, err
}

// client is a client of the front with an address of its own: on Linux all of
// 127.0.0.0/8 is this machine.
func (f *front) client(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: f.roots},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, f.https) // "localhost" may be ::1 too
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get is good if the answer is 200.
func get(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// certificate makes one for localhost that nobody has signed: chain and key in one
// file, as HAProxy wants them.
func certificate() (pair []byte, roots *x509.CertPool, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	pair = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return pair, roots, nil
}
