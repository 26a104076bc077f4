// Package config reads the environment once, checks all of it at once, and is
// the only place that knows the names of the variables.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/gatehouse-go/gatehouse/forwarded"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// Config is everything that differs between deployments.
type Config struct {
	// Environment is "development" or "production".
	Environment string
	// Port to listen on; development listens on loopback only.
	Port int
	// SecretKey is what all other keys are derived from; SecretKeyPrevious are
	// those that still verify and decrypt after a rotation.
	SecretKey         Secret
	SecretKeyPrevious []Secret
	// BackendURL is this service's own origin: OAuth redirect URIs are built from
	// it, never from a request. FrontendURL is where users are sent after logging in.
	BackendURL, FrontendURL *url.URL
	AllowedHosts            []string
	CORSOrigins             []string
	// Platform is a name that forwarded.Platform knows.
	Platform string
	// TrustedProxies are the load balancers of one's own. See [Config.Forwarded].
	TrustedProxies []netip.Prefix
	Database       Database
	// RedisURL shares the rate limits between replicas; empty: in memory. Package
	// server knows its forms: one server, a cluster, Sentinel.
	RedisURL Secret
	// RedisTimeout is how long a request waits for Redis at most, everything
	// included. Then it counts as away.
	RedisTimeout time.Duration
	// RateDefault is per client address on /api and /auth, RateAI per user: the
	// answers asked for. RateAITokens is what they may cost one user, in tokens.
	RateDefault, RateAI, RateAITokens []ratelimit.Limit
	Google, Microsoft                 OAuth
	// MicrosoftTenant is "common", "organizations", "consumers" or a tenant's ID.
	MicrosoftTenant string
	// TokenDelivery is "code" (default), "cookie", or "query" (development only).
	TokenDelivery string
	// Replicas of this service, for the limits while Redis is away.
	Replicas int
	// StaticDir holds a built frontend; empty: the embedded one.
	StaticDir string
	// VarDir holds what the process keeps: the SQLite file, the generated secret.
	VarDir   string
	LogDir   string
	LogLevel slog.Level
	AI       AI
	// StreamMax is how long one HTTP response streams before the client is told
	// to come back: less than what the platform allows a response.
	StreamMax time.Duration
	// ShutdownTimeout bounds the drain after SIGTERM, DrainDelay included: how long
	// everything is served as before except readiness, until the load balancer has
	// noticed.
	ShutdownTimeout, DrainDelay time.Duration
	// DevIDP serves the development identity provider under /dev/idp/: in
	// development, where no real provider is configured.
	DevIDP bool
}

// AI says who answers.
type AI struct {
	// Order names the providers: the first that takes a call answers it. Empty:
	// chat is not configured. "echo", alone, is the one without a key.
	Order                       []string
	Anthropic, Gemini, DeepSeek Endpoint
	// MaxTokens is the longest answer, in the provider's tokens.
	MaxTokens int
	// Concurrent is how many answers one user may have running.
	Concurrent int
}

// Endpoint is one AI provider.
type Endpoint struct {
	Key Secret
	// BaseURL is another than the vendor's own: a gateway, a fake.
	BaseURL string
	Model   string
}

// OAuth is what a provider gave us when the application was registered there.
type OAuth struct {
	ClientID     string
	ClientSecret Secret
}

// Configured tells whether the provider can be used.
func (o OAuth) Configured() bool { return o.ClientID != "" && o.ClientSecret != "" }

// Forwarded says where the client's address is: where Platform has it, believed
// only from TrustedProxies if there are any. Without a platform those are walked
// past in X-Forwarded-For, from the right; the client is the first that is none.
func (c Config) Forwarded() (forwarded.Config, error) {
	f, err := forwarded.Platform(c.Platform)
	if err != nil || len(c.TrustedProxies) == 0 {
		return f, err
	}
	f.Proxies, f.InsecureAnyPeer, f.ProtoHeader = c.TrustedProxies, false, "X-Forwarded-Proto"
	return f, nil
}

// Production tells whether real users are served.
func (c Config) Production() bool { return c.Environment == Production }

// The environments.
const (
	Development = "development"
	Production  = "production"
)

// Secret is a string that no log, error or dump prints.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String is "[redacted]", or "" where there is none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString keeps %#v from printing it.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue keeps slog from printing it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON from printing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
