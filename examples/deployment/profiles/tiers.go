//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed replicas cluster
var files embed.FS

// A tier is one way to run the application, from small to large.
type tier struct {
	name, what string
	start      func(*machine, options) (*running, error)
}

var tiers = []tier{
	{"single", "one process, SQLite, limits in memory", single},
	{"managed", "one process, PostgreSQL and Redis", managed},
	{"replicas", "three replicas behind HAProxy, PgBouncer, shared Redis", replicated},
	{"cluster", "three replicas behind HAProxy, PgBouncer, Redis Cluster", clustered},
}

// options are for the tests, and -nginx.
type options struct {
	// production is as it is deployed; but nobody can log in, for there is no Google here.
	production bool
	nginx      bool
	env        []string // wins over the tier's
}

// running is a tier that runs.
type running struct {
	url      string
	env      []string // of each replica, but for PORT and VAR_DIR
	replicas []*process
	front    *front // nil: none
	redis    []*process
	database *url.URL // past PgBouncer; nil: SQLite
}

func single(m *machine, o options) (*running, error) {
	// No variable is needed.
	r := &running{env: o.env}
	p, err := m.app("app", r.env)
	if err != nil {
		return nil, err
	}
	r.replicas, r.url = []*process{p}, "http://localhost:"+port(p.addr)
	return r, nil
}

func managed(m *machine, o options) (*running, error) {
	_, database, err := m.postgres()
	if err != nil {
		return nil, err
	}
	limits, limitsURL, err := m.redis("redis", "replicas/redis.conf", map[string]string{"REDIS_PASSWORD": rand.Text()})
	if err != nil {
		return nil, err
	}
	r := &running{database: database, redis: []*process{limits}, env: append([]string{
		"DATABASE_URL=" + database.String(),
		"REDIS_URL=" + limitsURL.String(),
	}, o.env...)}
	p, err := m.app("app", r.env)
	if err != nil {
		return nil, err
	}
	r.replicas, r.url = []*process{p}, "http://localhost:"+port(p.addr)
	return r, nil
}

func replicated(m *machine, o options) (*running, error) {
	limits, limitsURL, err := m.redis("redis", "replicas/redis.conf", map[string]string{"REDIS_PASSWORD": rand.Text()})
	if err != nil {
		return nil, err
	}
	return behindBalancer(m, o, []*process{limits}, limitsURL)
}

func clustered(m *machine, o options) (*running, error) {
	nodes, limitsURL, err := m.redisCluster()
	if err != nil {
		return nil, err
	}
	return behindBalancer(m, o, nodes, limitsURL)
}

// behindBalancer is three replicas and all that they share.
func behindBalancer(m *machine, o options, redis []*process, limitsURL *url.URL) (*running, error) {
	_, direct, err := m.postgres()
	if err != nil {
		return nil, err
	}
	_, pooled, err := m.pgbouncer(direct)
	if err != nil {
		return nil, err
	}
	public, err := freePort()
	if err != nil {
		return nil, err
	}
	publicHost := "localhost:" + strconv.Itoa(public)
	r := &running{url: "https://" + publicHost, redis: redis, database: direct, env: []string{
		"BACKEND_URL=https://" + publicHost,
		"SECRET_KEY=" + rand.Text() + rand.Text(), // one for all: a token of one is good at the others
		"REPLICAS=3", // while Redis is away each grants a third of a limit
		"DATABASE_URL=" + pooled.String(),
		"DATABASE_UNPOOLED_URL=" + direct.String(), // migrations
		"REDIS_URL=" + limitsURL.String(),
		"TRUSTED_PROXIES=127.0.0.1", // where the balancer comes from, and nobody else
		"DRAIN_DELAY=3s",            // many times what the balancer needs to see that readiness is off
	}}
	if o.production {
		r.env = append(r.env, "ENVIRONMENT=production", "GOOGLE_CLIENT_ID=none", "GOOGLE_CLIENT_SECRET=none")
	}
	r.env = append(r.env, o.env...)
	for i := range 3 {
		p, err := m.app(fmt.Sprintf("app%d", i+1), r.env)
		if err != nil {
			return nil, err
		}
		r.replicas = append(r.replicas, p)
	}
	name := "haproxy"
	if o.nginx {
		name = "nginx"
	}
	r.front, err = m.balancer(name, publicHost, r.replicas)
	return r, err
}

// app starts the application with the environment, and nothing else of ours.
func (m *machine) app(name string, env []string) (*process, error) {
	p, err := m.process(name)
	if err != nil {
		return nil, err
	}
	err = m.start(p, func(port int) (*exec.Cmd, error) {
		cmd := exec.Command(m.bin)
		cmd.Env = slices.Concat([]string{"PORT=" + strconv.Itoa(port), "VAR_DIR=" + filepath.Join(p.dir, "var")}, env)
		return cmd, nil
	}, func(ctx context.Context) error { return get(ctx, http.DefaultClient, "http://"+p.addr+"/health/ready") })
	return p, err
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// describe tells what runs where.
func (r *running) describe(m *machine) string {
	var b strings.Builder
	for _, p := range m.processes {
		fmt.Fprintf(&b, "  %-10s %-16s log: %s\n", p.name, p.addr, p.log())
	}
	b.WriteString("\nThe environment of the application, beside PORT and VAR_DIR:\n\n")
	for _, v := range r.env {
		fmt.Fprintf(&b, "  %s\n", v)
	}
	return b.String()
}
