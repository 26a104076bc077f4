package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/corsx"
	"github.com/gatehouse-go/gatehouse/forwarded"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/trustedhost"
)

// Error is one mistake in the environment. It never holds the value of a secret.
type Error struct {
	Variable string
	Reason   string
}

func (e *Error) Error() string { return e.Variable + ": " + e.Reason }

// Load reads the environment. It returns every mistake at once, joined.
func Load(env func(string) string) (Config, error) {
	l := &loader{env: env}
	c := Config{
		Environment:       l.environment(),
		Port:              l.number("PORT", 8000, 1, 65535),
		MicrosoftTenant:   cmp.Or(env("MICROSOFT_TENANT"), "common"),
		TokenDelivery:     l.oneOf("TOKEN_DELIVERY", "code", "cookie", "query"),
		RedisURL:          l.redis("REDIS_URL"),
		RedisTimeout:      l.redisTimeout("REDIS_TIMEOUT"),
		RateDefault:       l.limits("RATE_LIMIT_DEFAULT", "100/minute"),
		RateAI:            l.limits("RATE_LIMIT_AI", "10/minute"),
		RateAITokens:      l.limits("RATE_LIMIT_AI_TOKENS", "200000/day"),
		Google:            l.oauth("GOOGLE"),
		Microsoft:         l.oauth("MICROSOFT"),
		Replicas:          l.number("REPLICAS", 1, 1, 1000),
		StaticDir:         l.dir("STATIC_DIR"),
		VarDir:            cmp.Or(env("VAR_DIR"), "var"),
		LogDir:            l.dir("LOG_DIR"),
		LogLevel:          l.level("LOG_LEVEL"),
		ShutdownTimeout:   l.duration("SHUTDOWN_TIMEOUT", 25*time.Second),
		StreamMax:         l.duration("STREAM_MAX", streamMax),
		SecretKey:         Secret(env("SECRET_KEY")),
		SecretKeyPrevious: l.previous("SECRET_KEY_PREVIOUS"),
	}
	if c.StreamMax < minStreamMax {
		l.bad("STREAM_MAX", "%s is too short: clients would come back more often than they read; %s at least", c.StreamMax, minStreamMax)
	}
	c.BackendURL = l.origin("BACKEND_URL", c, "http://localhost:"+strconv.Itoa(c.Port))
	c.FrontendURL = c.BackendURL
	if env("FRONTEND_URL") != "" {
		c.FrontendURL = l.origin("FRONTEND_URL", c, "")
	}
	c.AllowedHosts = l.hosts(c)
	c.CORSOrigins = l.origins(c)
	c.Platform, c.TrustedProxies = l.platform(), l.prefixes("TRUSTED_PROXIES")
	l.forwarded(c)
	c.DrainDelay = l.drainDelay(c)
	c.Database = l.database(c)
	c.AI = l.ai(c)
	c.DevIDP = !c.Production() && !c.Google.Configured() && !c.Microsoft.Configured()
	l.secrets(c)
	l.production(c)
	if err := errors.Join(l.errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

type loader struct {
	env  func(string) string
	errs []error
}

func (l *loader) bad(variable, format string, args ...any) {
	l.errs = append(l.errs, &Error{variable, fmt.Sprintf(format, args...)})
}

// wrap lists the mistakes that a package found in a variable's value.
func (l *loader) wrap(variable string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			l.wrap(variable, e)
		}
		return
	}
	l.bad(variable, "%s", err)
}

// platforms are the variables that a platform sets in every process, and its
// name for forwarded.Platform. Checked 2026-11.
var platforms = []struct{ variable, name string }{
	{"RAILWAY_PROJECT_ID", "railway"}, // docs.railway.com/variables/reference
	{"RAILWAY_ENVIRONMENT_NAME", "railway"},
	{"RAILWAY_ENVIRONMENT", "railway"},
	{"RAILWAY_SERVICE_ID", "railway"},
	{"RENDER", "render"},      // render.com/docs/environment-variables
	{"FLY_APP_NAME", "fly"},   // fly.io/docs/machines/runtime-environment
	{"DYNO", "heroku"},        // devcenter.heroku.com/articles/dynos
	{"K_SERVICE", "cloudrun"}, // cloud.google.com/run/docs/container-contract
}

// onPlatform returns the variable that gives the platform away, and its name.
func (l *loader) onPlatform() (variable, name string) {
	for _, p := range platforms {
		if l.env(p.variable) != "" {
			return p.variable, p.name
		}
	}
	return "", ""
}

// environment refuses development on a platform: there a missing variable would
// put the development login and its well-known users on the internet.
func (l *loader) environment() string {
	variable, name := l.onPlatform()
	switch v := l.env("ENVIRONMENT"); {
	case v == Production:
		return v
	case v != "" && v != Development:
		l.bad("ENVIRONMENT", "%q is neither %q nor %q", v, Development, Production)
		return Production // check the rest as strictly as can be
	case variable != "":
		l.bad("ENVIRONMENT", "must be %q here: %s is set, so this is %s, and development mode lets anybody log in", Production, variable, name)
		return Production
	}
	return Development
}

func (l *loader) number(variable string, def, low, high int) int {
	v := l.env(variable)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		l.bad(variable, "%q is not a number from %d to %d", v, low, high)
		return def
	}
	return n
}

func (l *loader) duration(variable string, def time.Duration) time.Duration {
	v := l.env(variable)
	if v == "" {
		return def
	}
	d, err := time.ParseDuration(v)
	if n, numErr := strconv.Atoi(v); numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d <= 0 || d > time.Hour {
		l.bad(variable, "%q is not a duration up to an hour, like 25s (a bare number is seconds)", v)
		return def
	}
	return d
}

// oneOf returns the variable's value, the first choice by default.
func (l *loader) oneOf(variable string, choices ...string) string {
	v := cmp.Or(l.env(variable), choices[0])
	if !slices.Contains(choices, v) {
		l.bad(variable, "%q is none of %s", v, strings.Join(choices, ", "))
	}
	return v
}

func (l *loader) level(variable string) slog.Level {
	var level slog.Level
	if v := l.env(variable); v != "" {
		if err := level.UnmarshalText([]byte(v)); err != nil {
			l.bad(variable, "%q is none of debug, info, warn, error", v)
		}
	}
	return level
}

func (l *loader) dir(variable string) string {
	v := l.env(variable)
	if v == "" {
		return ""
	}
	if info, err := os.Stat(v); err != nil || !info.IsDir() {
		l.bad(variable, "%q is no directory", v)
	}
	return v
}

func (l *loader) limits(variable, def string) []ratelimit.Limit {
	limits, err := ratelimit.Parse(cmp.Or(l.env(variable), def))
	l.wrap(variable, err)
	return limits
}

func (l *loader) redis(variable string) Secret {
	v := l.env(variable)
	if v == "" {
		return ""
	}
	if _, err := parseRedis(v); err != nil {
		// the error would repeat the password
		l.bad(variable, "is no URL like redis://user:password@host:6379/0 or rediss://; a cluster's is redis://host1:6379?addr=host2:6379, "+
			"and Sentinel's redis://sentinel1:26379/0?master_name=NAME&addr=sentinel2:26379")
	}
	return Secret(v)
}

// redisTimeout is 25 ms: some twenty trips within a data centre, and nobody feels
// it when Redis is gone.
func (l *loader) redisTimeout(variable string) time.Duration {
	d := l.duration(variable, 25*time.Millisecond)
	if d > 10*time.Second {
		l.bad(variable, "%s is more than a request can wait: at most 10s", d)
	}
	return d
}

// oauth refuses half a registration.
func (l *loader) oauth(prefix string) OAuth {
	o := OAuth{ClientID: l.env(prefix + "_CLIENT_ID"), ClientSecret: Secret(l.env(prefix + "_CLIENT_SECRET"))}
	switch {
	case o.ClientID != "" && o.ClientSecret == "":
		l.bad(prefix+"_CLIENT_SECRET", "is missing; %s_CLIENT_ID is set", prefix)
	case o.ClientID == "" && o.ClientSecret != "":
		l.bad(prefix+"_CLIENT_ID", "is missing; %s_CLIENT_SECRET is set", prefix)
	}
	return o
}

func (l *loader) previous(variable string) []Secret {
	var keys []Secret
	for v := range strings.SplitSeq(l.env(variable), ",") {
		if v = strings.TrimSpace(v); v != "" {
			keys = append(keys, Secret(v))
		}
	}
	return keys
}

// origin reads a URL that is scheme and host only: paths are the program's.
func (l *loader) origin(variable string, c Config, def string) *url.URL {
	v := l.env(variable)
	if v == "" {
		if c.Production() {
			l.bad(variable, "is required in production, like https://app.example.com")
		}
		v = def
	}
	if strings.Contains(v, "@") { // a password, which is not printed
		l.bad(variable, "is no origin like https://app.example.com: it names a user")
		return &url.URL{Scheme: "https", Host: "invalid.example"}
	}
	u, err := url.Parse(strings.TrimSuffix(v, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" ||
		(u.Scheme != "http" && u.Scheme != "https") {
		l.bad(variable, "%q is no origin like https://app.example.com (no path, query or user)", v)
		return &url.URL{Scheme: "https", Host: "invalid.example"}
	}
	if _, err := trustedhost.ParseHost(u.Host); err != nil {
		l.bad(variable, "%q: %s", v, err)
	}
	if c.Production() && u.Scheme != "https" {
		l.bad(variable, "%q must be https in production: tokens and cookies would cross the network in the clear", v)
	}
	return u
}

func (l *loader) list(variable string) []string {
	var all []string
	for v := range strings.SplitSeq(l.env(variable), ",") {
		if v = strings.TrimSpace(v); v != "" {
			all = append(all, v)
		}
	}
	return all
}

// hosts are those of the two URLs, and what ALLOWED_HOSTS adds.
func (l *loader) hosts(c Config) []string {
	hosts := l.list("ALLOWED_HOSTS")
	if slices.Contains(hosts, "*") && c.Production() {
		l.bad("ALLOWED_HOSTS", `"*" lets every client choose the host; list the hosts of this service`)
		return hosts
	}
	if !c.Production() && len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "[::1]"}
	}
	if own := c.BackendURL.Hostname(); !slices.Contains(hosts, own) && !slices.Contains(hosts, "*") {
		if strings.Contains(own, ":") {
			own = "[" + own + "]"
		}
		if !slices.Contains(hosts, own) {
			hosts = append(hosts, own)
		}
	}
	_, err := trustedhost.New(trustedhost.Config{Hosts: hosts})
	l.wrap("ALLOWED_HOSTS", err)
	return hosts
}

// origins are the frontend's, where that is another one, and CORS_ORIGINS.
func (l *loader) origins(c Config) []string {
	origins, err := corsx.ParseOrigins(l.env("CORS_ORIGINS"))
	l.wrap("CORS_ORIGINS", err)
	front := c.FrontendURL.String()
	if front != c.BackendURL.String() && !slices.Contains(origins, front) {
		origins = append(origins, front)
	}
	if err == nil {
		_, err = corsx.New(corsx.Config{Origins: origins})
		l.wrap("CORS_ORIGINS", err)
	}
	return origins
}

// platform is told by PLATFORM; else by the platform's own variables, which
// nothing but the platform sets.
func (l *loader) platform() string {
	_, found := l.onPlatform()
	return cmp.Or(l.env("PLATFORM"), found, "none")
}

func (l *loader) prefixes(variable string) []netip.Prefix {
	all, err := forwarded.ParsePrefixes(l.env(variable))
	l.wrap(variable, err)
	return all
}

func (l *loader) forwarded(c Config) {
	cfg, err := c.Forwarded()
	l.wrap("PLATFORM", err)
	if err == nil {
		_, err = forwarded.New(cfg)
		l.wrap("PLATFORM", err)
	}
}

// drainDelay is none in development, where nobody has to notice.
func (l *loader) drainDelay(c Config) time.Duration {
	v := l.env("DRAIN_DELAY")
	switch {
	case v == "0" || v == "0s" || v == "" && !c.Production():
		return 0
	case v == "":
		return min(3*time.Second, c.ShutdownTimeout/4)
	}
	d := l.duration("DRAIN_DELAY", 0)
	if d >= c.ShutdownTimeout {
		l.bad("DRAIN_DELAY", "%s is not shorter than SHUTDOWN_TIMEOUT, %s", d, c.ShutdownTimeout)
	}
	return d
}

// secrets checks SECRET_KEY and its predecessors. An empty one is allowed in
// development, where the program generates its own.
func (l *loader) secrets(c Config) {
	all := append([]Secret{c.SecretKey}, c.SecretKeyPrevious...)
	for i, s := range all {
		variable := "SECRET_KEY"
		if i > 0 {
			variable = "SECRET_KEY_PREVIOUS"
		}
		if s == "" {
			if c.Production() {
				l.bad(variable, "is required in production; make one with: openssl rand -base64 48")
			}
			continue
		}
		if why := weakKey(s.Reveal()); why != "" && (c.Production() || i == 0) {
			l.bad(variable, "%s; make one with: openssl rand -base64 48", why)
		}
		if slices.Contains(all[:i], s) {
			l.bad(variable, "repeats another key")
		}
	}
}

// weakKey says why a key must not be used, "" if nothing speaks against it.
func weakKey(s string) string {
	lower := strings.ToLower(s)
	for _, word := range []string{"change", "secret-key", "secret_key", "your-", "example", "development", "password"} {
		if strings.Contains(lower, word) {
			return "looks like a placeholder from a template"
		}
	}
	if len(s) < 32 {
		return "is shorter than 32 bytes"
	}
	distinct := map[byte]bool{}
	for i := range len(s) {
		distinct[s[i]] = true
	}
	for n := 1; n <= len(s)/2; n++ {
		if strings.Repeat(s[:n], len(s)/n+1)[:len(s)] == s {
			return "repeats itself"
		}
	}
	if len(distinct) < 10 {
		return "has too few different characters to be random"
	}
	return ""
}

// production refuses what only a development machine may do.
func (l *loader) production(c Config) {
	if c.Replicas > 1 {
		if c.RedisURL == "" {
			l.bad("REDIS_URL", "is required with REPLICAS=%d: each replica would grant the whole rate limit", c.Replicas)
		}
		if c.Database.Driver == "sqlite" {
			l.bad("DATABASE_URL", "SQLite is one process's; REPLICAS=%d needs PostgreSQL", c.Replicas)
		}
	}
	if !c.Production() {
		return
	}
	if !c.Google.Configured() && !c.Microsoft.Configured() {
		l.bad("GOOGLE_CLIENT_ID", "no login is possible: set GOOGLE_CLIENT_ID and _SECRET, or MICROSOFT_CLIENT_ID and _SECRET")
	}
	if c.TokenDelivery == "query" {
		l.bad("TOKEN_DELIVERY", `"query" puts the token into access logs, browser histories and Referer; use "code" or "cookie"`)
	}
	if c.Database.Driver == "sqlite" && !l.onVolume(c.Database.DSN) && l.env("ALLOW_EPHEMERAL_SQLITE") != "true" {
		l.bad("DATABASE_URL", "%s is not on a volume that outlives the deployment, so every deployment would begin empty; "+
			"attach a volume, use PostgreSQL, or set ALLOW_EPHEMERAL_SQLITE=true", c.Database.DSN)
	}
}

// onVolume tells whether a path is below the mount point that Railway reports,
// or below /data or /var/data, where Fly's and Render's guides mount theirs.
func (l *loader) onVolume(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	for _, mount := range []string{l.env("RAILWAY_VOLUME_MOUNT_PATH"), "/data", "/var/data"} {
		if rel, err := filepath.Rel(mount, abs); mount != "" && err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}
