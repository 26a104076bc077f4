// Package server is the hardened stack around the application, and its life: from
// the listener to the last drained request.
package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/chat"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/hosting"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
	"github.com/gatehouse-go/gatehouse/forwarded"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// maxBody bounds what a client may send, in bytes: JSON of a few fields.
const maxBody = 256 << 10

// Deps is what the server is made of.
type Deps struct {
	Config config.Config
	App    fs.FS           // the built frontend
	Store  ratelimit.Store // nil: in memory
	// KeySecret keeps client addresses in Redis from being found by search.
	KeySecret []byte
	// Authenticate puts the user into the context or answers 401.
	Authenticate func(http.Handler) http.Handler
	// UserID tells whose request it is, "" outside Authenticate.
	UserID func(*http.Request) string
	// Routes registers everything under /api, /auth and /dev. It returns a Drain,
	// or nil.
	Routes func(mux *http.ServeMux, p Parts) (Drain, error)
	// Upstreams are the hosts that get the correlation ID, by Parts.Transport.
	Upstreams []string
	// Checks are what /health/ready asks, by name.
	Checks map[string]func(context.Context) error
	Log    *slog.Logger
}

// A Drain is called when nobody is let in any more: streams are to end. ctx ends
// with the shutdown's time. wait is called after the last request.
type Drain func(ctx context.Context) (wait func())

// Parts are what the stack lends to the routes.
type Parts struct {
	// Protect is Authenticate with the limits per user inside.
	Protect func(http.Handler) http.Handler
	// ChatLimits and ChatPlaces have the rules of package chat.
	ChatLimits, ChatPlaces *ratelimit.Middleware
	// Transport passes the correlation ID on to Deps.Upstreams.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Server serves the application.
type Server struct {
	handler http.Handler
	ids     *correlation.Middleware
	health  *health
	timeout time.Duration
	delay   time.Duration
	drain   Drain
	log     *slog.Logger
}

// New builds the stack; its error lists every mistake.
func New(d Deps) (*Server, error) {
	s := &Server{health: newHealth(d.Checks, d.Log), timeout: d.Config.ShutdownTimeout, delay: d.Config.DrainDelay, log: d.Log}
	if d.Store != nil {
		s.health.limits = &storeWatch{log: d.Log}
	}
	b, err := newStack(d, s.health.limits)
	if err != nil {
		return nil, err
	}
	s.ids = b.ids
	mux := http.NewServeMux()
	s.health.register(mux)
	s.drain, err = d.Routes(mux, Parts{
		Protect:    func(next http.Handler) http.Handler { return d.Authenticate(b.perUser.Handler(next)) },
		ChatLimits: b.chatLimits, ChatPlaces: b.chatPlaces, Transport: b.ids.Transport,
	})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /api/stack", b.explain())
	mux.Handle("/api/", problems.Fallback(mux)) // JSON, never the app's page
	s.handler = s.health.lastAnswers(b.wrap(mux))
	return s, nil
}

// stack is the middleware, compiled.
type stack struct {
	client  *forwarded.Resolver
	ids     *correlation.Middleware
	headers *secheaders.Middleware
	hosts   *trustedhost.Middleware
	cors    *corsx.Middleware
	perIP   *ratelimit.Middleware
	perUser *ratelimit.Middleware
	// Asked by package chat itself.
	chatLimits, chatPlaces *ratelimit.Middleware
	app                    *spa.Middleware
	csrf                   *http.CrossOriginProtection // nil unless a cookie authenticates
}

func newStack(d Deps, watch *storeWatch) (*stack, error) {
	c := d.Config
	var b stack
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	proxies, err := c.Forwarded()
	check(err)
	b.client, err = forwarded.New(proxies)
	if check(err); err != nil {
		return nil, errors.Join(errs...) // the rest asks it
	}
	b.ids, err = correlation.New(correlation.Config{
		Logger: d.Log, ClientIP: b.client.ClientIP, SlowAfter: 2 * time.Second, PropagateTo: d.Upstreams,
		// Probes every few seconds would be most of the log.
		Skip: func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/health") },
	})
	check(err)
	b.app, err = spa.New(spa.Config{FS: d.App, Exclude: []string{"/api/", "/dev/"}, Logger: d.Log})
	if check(err); err != nil {
		return nil, errors.Join(errs...)
	}
	b.headers, err = secheaders.New(headersFor(c, b.app, b.client))
	check(err)
	b.hosts, err = trustedhost.New(trustedhost.Config{
		Hosts:         c.AllowedHosts,
		ExemptPaths:   []string{"/health", "/health/ready"}, // probed by address or by the platform's own host
		HTTPS:         b.client.HTTPS,
		RedirectHTTPS: c.Production(),
	})
	check(err)
	b.cors, err = corsx.New(corsx.Config{
		Origins: c.CORSOrigins,
		Methods: []string{"PATCH", "DELETE"},
		RequestHeaders: []string{
			"Authorization", "Content-Type", "X-Correlation-ID", "Last-Event-ID",
		},
		ExposedHeaders: append(ratelimit.ExposedHeaders(), "X-Correlation-ID", "Location"),
		Credentials:    c.TokenDelivery == "cookie",
		MaxAge:         time.Hour,
	})
	check(err)
	b.perIP, err = ratelimit.New(watch.watching(d.perIP(b.client.ClientIP)))
	check(err)
	b.perUser, err = ratelimit.New(watch.watching(d.perUser(b.client.ClientIP)))
	check(err)
	b.chatLimits, err = ratelimit.New(watch.watching(d.limiter(b.client.ClientIP, chat.LimitRules(c, d.UserID))))
	check(err)
	b.chatPlaces, err = ratelimit.New(watch.watching(d.limiter(b.client.ClientIP, chat.PlaceRules(c, d.UserID))))
	check(err)
	if c.TokenDelivery == "cookie" {
		b.csrf = http.NewCrossOriginProtection()
		for _, origin := range c.CORSOrigins {
			check(b.csrf.AddTrustedOrigin(origin))
		}
		b.csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			problems.Write(w, r, http.StatusForbidden, "This request comes from another site.")
		}))
	}
	return &b, errors.Join(errs...)
}

// wrap is the order, outermost last in reading, first in running; why each stands
// where it does is told in the package comment of gatehouse.
func (b *stack) wrap(mux *http.ServeMux) http.Handler {
	layers := []func(http.Handler) http.Handler{
		b.ids.Handler,     // an ID and a line for every answer
		b.headers.Handler, // the headers on every answer
		b.hosts.Handler,   // nothing below sees a forged host
		b.cors.Handler,    // preflights cost no token; a 429 is readable
		b.perIP.Handler,   // only what could be served spends tokens
		bounded,           // bodies
	}
	if b.csrf != nil {
		layers = append(layers, b.csrf.Handler)
	}
	return gatehouse.Chain(b.app.Handler(mux), layers...)
}

// bounded sets the body of the request it got. http.MaxBytesHandler would copy
// the request, and the access log would lose the route.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// headersFor are those of the built app, as a host of its own would send them too.
func headersFor(c config.Config, app *spa.Middleware, client *forwarded.Resolver) secheaders.Config {
	h := hosting.Headers(app.CSP())
	if c.FrontendURL.Host != c.BackendURL.Host {
		h.CORP = secheaders.CORPCrossOrigin // the frontend on another site reads answers by CORS
	}
	h.HTTPS = client.HTTPS
	return h
}

func isAPI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/auth/")
}

// isHealth are the probes: a balancer asks several times a second, from the one
// address that it has.
func isHealth(r *http.Request) bool {
	return r.URL.Path == "/health" || r.URL.Path == "/health/ready"
}

func times(limits []ratelimit.Limit, n int64) []ratelimit.Limit {
	out := make([]ratelimit.Limit, len(limits))
	for i, l := range limits {
		l.Requests, l.Burst = l.Requests*n, l.Burst*n
		out[i] = l
	}
	return out
}

// perIP limits what nobody has to log in for.
func (d Deps) perIP(clientIP func(*http.Request) netip.Addr) ratelimit.Config {
	c := d.Config
	return d.limiter(clientIP, []ratelimit.Rule{
		{Name: "ip", Limits: c.RateDefault, Match: isAPI},
		// An attacker with a whole network: a household has a /56 or /48 of
		// IPv6, a hosting customer often a /24 of IPv4.
		{Name: "network", Limits: times(c.RateDefault, 10), Key: ratelimit.ByNetwork(24, 48), Match: isAPI},
		// A page is many files; a Flutter build is thirty.
		{
			Name: "files", Limits: []ratelimit.Limit{{Requests: 1000, Per: time.Minute}},
			Match: func(r *http.Request) bool { return !isAPI(r) && !isHealth(r) },
		},
	})
}

// perUser limits who is logged in, wherever they are.
func (d Deps) perUser(clientIP func(*http.Request) netip.Addr) ratelimit.Config {
	return d.limiter(clientIP, []ratelimit.Rule{{
		Name: "user", Limits: d.Config.RateDefault, Key: ratelimit.ByValue(d.UserID),
	}})
}

// limiter has its rules; the store and all else is the same for all limiters.
func (d Deps) limiter(clientIP func(*http.Request) netip.Addr, rules []ratelimit.Rule) ratelimit.Config {
	return ratelimit.Config{
		Rules: rules, Store: d.Store, Replicas: d.Config.Replicas, ClientIP: clientIP, KeySecret: d.KeySecret,
	}
}

// explain answers what the stack made of the very request, for the page that
// demonstrates it.
func (b *stack) explain() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := "listed"
		if err := b.hosts.Check(r); err != nil {
			host = err.Error()
		}
		cors := b.cors.Decide(r)
		writeJSON(w, http.StatusOK, map[string]any{
			"client_address": b.client.ClientIP(r).String(),
			"https":          b.client.HTTPS(r),
			"host":           host,
			"cors":           map[string]string{"kind": string(cors.Kind), "reason": string(cors.Reason)},
			"correlation_id": correlation.ID(r.Context()),
			"request_id":     correlation.RequestID(r.Context()),
			"protocol":       r.Proto,
		})
	})
}

// Run serves until ctx ends, then drains: readiness goes off, and after the delay,
// when the load balancer sends no more, nobody is let in, streams are told,
// requests finish, and what is left after the timeout is cut.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	base, cut := context.WithCancel(context.Background())
	defer cut()
	srv := &http.Server{
		Handler:     s.handler,
		BaseContext: func(net.Listener) context.Context { return base },
		// A client that sends its header, or its body, byte by byte.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		// A client that reads byte by byte. Streams extend it per write.
		WriteTimeout: 60 * time.Second,
		// Longer than the load balancer's (Railway, Render, ALB: 60 s or less), or
		// it sends a request into a connection that is just being closed: a 502.
		IdleTimeout:    120 * time.Second,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.health.drain()
	s.log.Info("draining", "delay", s.delay.String(), "timeout", s.timeout.String())
	drain, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	// Shutdown closes the port and idle connections at once. What a balancer has
	// sent there in the same moment is lost, and it must not send a POST twice.
	time.Sleep(s.delay)
	wait := func() {}
	if s.drain != nil {
		wait = s.drain(drain)
	}
	err := srv.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		cut()
		err = srv.Close()
		s.log.Warn("requests were cut after the shutdown timeout")
	}
	wait()
	s.ids.Flush()
	return err
}
