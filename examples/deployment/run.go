package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/api"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/chat"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/devidp"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/server"
	"github.com/gatehouse-go/gatehouse/examples/deployment/web"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
	"github.com/gatehouse-go/gatehouse/spa"
)

// open opens the database; for SQLite it makes the directory first.
func open(ctx context.Context, c config.Config) (*data.DB, error) {
	if c.Database.Driver == "sqlite" {
		if err := os.MkdirAll(filepath.Dir(c.Database.DSN), 0o700); err != nil {
			return nil, fmt.Errorf("DATABASE_URL: %w", err)
		}
	}
	return data.Open(ctx, c.Database)
}

// serve wires everything together and runs until ctx ends.
func serve(ctx context.Context, c config.Config, stdout, stderr io.Writer) error {
	log, closeLog, err := logger(c, stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	slog.SetDefault(log)

	ring, err := keyRing(c)
	if err != nil {
		return err
	}
	db, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	app, err := frontend(c)
	if err != nil {
		return err
	}
	// The port comes last of what can fail, and before the providers: the
	// development one is served by this very process.
	host := "" // every interface, IPv4 and IPv6: a platform's proxy comes from outside
	if !c.Production() {
		host = "localhost"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(c.Port)))
	if err != nil {
		return fmt.Errorf("PORT: %w", err)
	}
	defer ln.Close()

	var idp *devidp.IDP
	if c.DevIDP {
		idp = devidp.New(c.BackendURL)
	}
	login, err := auth.New(ctx, auth.Config{
		Backend: c.BackendURL, Frontend: c.FrontendURL, Providers: providers(c, idp), Keys: ring, Store: db,
		Delivery: c.TokenDelivery, Secure: c.BackendURL.Scheme == "https", Log: log,
	})
	if err != nil {
		return err
	}
	limitKey := ring.Derive("ratelimit-keys")
	deps := server.Deps{
		Config: c, App: app, KeySecret: limitKey[:], Log: log,
		Authenticate: login.Authenticate,
		UserID: func(r *http.Request) string {
			u, _ := auth.UserFrom(r.Context())
			return u.ID
		},
		Checks:    map[string]func(context.Context) error{"database": db.Ready},
		Upstreams: c.AI.Settings().Hosts(),
		Routes: func(mux *http.ServeMux, p server.Parts) (server.Drain, error) {
			login.Register(mux)
			api.Register(mux, db, p.Protect)
			if idp != nil {
				mux.Handle(devidp.Prefix, idp)
			}
			hub, err := newHub(c, db, p, log)
			if err != nil {
				return nil, err
			}
			hub.Register(mux, p.Protect)
			return hub.Drain, nil
		},
	}
	if c.RedisURL != "" {
		store, closeStore, err := limits(ctx, c, log)
		if err != nil {
			return err
		}
		defer closeStore()
		deps.Store = store // no part of readiness: see FailLocal
	}
	srv, err := server.New(deps)
	if err != nil {
		return err
	}
	if !c.Production() {
		fmt.Fprintf(stdout, "%s  (development: log in as Ada or Alan; data in %s)\n", c.BackendURL, c.VarDir)
	}
	log.Info("serving", "address", ln.Addr().String(), "environment", c.Environment, "version", version())
	return srv.Run(ctx, ln)
}

// logger writes JSON lines to stderr, where every platform collects them, and to
// LOG_DIR/app.log where that is set.
func logger(c config.Config, stderr io.Writer) (*slog.Logger, func(), error) {
	w, done := stderr, func() {}
	if c.LogDir != "" {
		f, err := os.OpenFile(filepath.Join(c.LogDir, "app.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("LOG_DIR: %w", err)
		}
		w, done = io.MultiWriter(stderr, f), func() { f.Close() }
	}
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.LogLevel})
	return slog.New(correlation.NewLogHandler(h)), done, nil
}

// keyRing takes SECRET_KEY; without one, in development, it makes one and keeps it
// in VAR_DIR, so that tokens survive a restart.
func keyRing(c config.Config) (*keys.Ring, error) {
	secret := c.SecretKey.Reveal()
	if secret == "" {
		var err error
		if secret, err = keptSecret(filepath.Join(c.VarDir, "secret")); err != nil {
			return nil, err
		}
	}
	var previous [][]byte
	for _, p := range c.SecretKeyPrevious {
		previous = append(previous, []byte(p.Reveal()))
	}
	return keys.New([]byte(secret), previous...), nil
}

func keptSecret(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err == nil && len(text) >= 32 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return "", err
	}
	var raw [48]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	secret := base64.StdEncoding.EncodeToString(raw[:])
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(secret)
	return secret, errors.Join(err, f.Close())
}

// frontend is STATIC_DIR, a real "flutter build web" for example, or the embedded app.
func frontend(c config.Config) (fs.FS, error) {
	if c.StaticDir == "" {
		return web.FS, nil
	}
	app, err := spa.OpenDir(c.StaticDir)
	if err != nil {
		return nil, fmt.Errorf("STATIC_DIR: %w", err)
	}
	return app, nil
}

// providers are those that are configured, or the development provider twice: as
// Google and as Microsoft, so that both ways of logging in are used every day.
func providers(c config.Config, idp *devidp.IDP) []auth.Provider {
	if idp != nil {
		return idp.Providers()
	}
	var all []auth.Provider
	if c.Google.Configured() {
		all = append(all, auth.Provider{
			Name: "google", Issuer: "https://accounts.google.com",
			ClientID: c.Google.ClientID, ClientSecret: c.Google.ClientSecret.Reveal(),
		})
	}
	if c.Microsoft.Configured() {
		tenant := cmp.Or(c.MicrosoftTenant, "common")
		all = append(all, auth.Provider{
			Name: "microsoft", Issuer: "https://login.microsoftonline.com/" + tenant + "/v2.0", Tenant: tenant,
			ClientID: c.Microsoft.ClientID, ClientSecret: c.Microsoft.ClientSecret.Reveal(),
		})
	}
	return all
}

// newHub makes chat, or, without a provider, what says that it is not configured.
func newHub(c config.Config, db *data.DB, p server.Parts, log *slog.Logger) (*chat.Hub, error) {
	h := chat.Config{
		Data: db, Limits: p.ChatLimits, Places: p.ChatPlaces, MaxTokens: c.AI.MaxTokens, StreamMax: c.StreamMax, Log: log,
	}
	for i, limit := range c.RateAITokens {
		if burst := max(limit.Burst, limit.Requests); i == 0 || burst < h.Budget {
			h.Budget = burst
		}
	}
	if len(c.AI.Order) > 0 {
		var err error
		if h.Provider, err = ai.New(c.AI.Settings(), &http.Client{Transport: p.Transport(ai.NewTransport())}); err != nil {
			return nil, err
		}
	}
	return chat.New(h), nil
}

// redisLog takes the client's own lines, of which an outage makes one for each
// attempt to connect. The server writes one for all.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis", "client", fmt.Sprintf(format, v...))
}

// limits shares the rate limits through Redis. That it does not answer now is no
// reason not to start: the limits hold in this process until it does.
func limits(ctx context.Context, c config.Config, log *slog.Logger) (*redisstore.Store, func(), error) {
	redis.SetLogger(redisLog{log})
	client, err := config.RedisClient(c.RedisURL)
	if err != nil {
		return nil, nil, errors.New("REDIS_URL: is no Redis URL") // the error would repeat the password
	}
	store, err := redisstore.New(redisstore.Config{Client: client, Prefix: "gatehouse:", Timeout: c.RedisTimeout})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := store.Ping(ctx); errors.Is(err, redisstore.ErrUnchecked) {
		log.Info("redis", "unchecked", err) // the smallest ACL does not show more
	} else if err != nil {
		log.Warn("redis", "error", err)
	}
	return store, func() { store.Close(); client.Close() }, nil
}
