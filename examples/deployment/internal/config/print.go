package config

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// Print writes the result of Load as variables, without any secret.
func (c Config) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(t, "%s\t%v\n", name, value) }
	row("ENVIRONMENT", c.Environment)
	row("PORT", c.Port)
	row("SECRET_KEY", c.SecretKey)
	row("SECRET_KEY_PREVIOUS", fmt.Sprintf("%d keys", len(c.SecretKeyPrevious)))
	row("BACKEND_URL", c.BackendURL)
	row("FRONTEND_URL", c.FrontendURL)
	row("ALLOWED_HOSTS", strings.Join(c.AllowedHosts, ","))
	row("CORS_ORIGINS", strings.Join(c.CORSOrigins, ","))
	row("PLATFORM", c.Platform)
	row("TRUSTED_PROXIES", prefixes(c.TrustedProxies))
	row("DATABASE_URL", redactURL(c.Database.DSN))
	row("DATABASE_UNPOOLED_URL", redactURL(c.Database.UnpooledDSN))
	row("REDIS_URL", redactURL(c.RedisURL.Reveal()))
	row("REDIS_TIMEOUT", c.RedisTimeout)
	row("RATE_LIMIT_DEFAULT", limits(c.RateDefault))
	row("RATE_LIMIT_AI", limits(c.RateAI))
	row("RATE_LIMIT_AI_TOKENS", limits(c.RateAITokens))
	row("GOOGLE_CLIENT_ID", c.Google.ClientID)
	row("GOOGLE_CLIENT_SECRET", c.Google.ClientSecret)
	row("MICROSOFT_CLIENT_ID", c.Microsoft.ClientID)
	row("MICROSOFT_CLIENT_SECRET", c.Microsoft.ClientSecret)
	row("MICROSOFT_TENANT", c.MicrosoftTenant)
	row("TOKEN_DELIVERY", c.TokenDelivery)
	row("REPLICAS", c.Replicas)
	row("STATIC_DIR", c.StaticDir)
	row("VAR_DIR", c.VarDir)
	row("LOG_DIR", c.LogDir)
	row("LOG_LEVEL", c.LogLevel)
	row("AI_PROVIDER_ORDER", strings.Join(c.AI.Order, ","))
	for _, v := range vendors {
		e := v.of(&c.AI)
		row(v.key, e.Key)
		row(v.prefix+"_BASE_URL", e.BaseURL)
		row(v.prefix+"_MODEL", e.Model)
	}
	row("AI_MAX_TOKENS", c.AI.MaxTokens)
	row("AI_CONCURRENT", c.AI.Concurrent)
	row("STREAM_MAX", c.StreamMax)
	row("SHUTDOWN_TIMEOUT", c.ShutdownTimeout)
	row("DRAIN_DELAY", c.DrainDelay)
	return t.Flush()
}

// redactURL hides the password and all parameters, some of which are passwords.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "[redacted]"
	}
	if u.RawQuery != "" {
		u.RawQuery = "[redacted]"
	}
	return strings.ReplaceAll(u.Redacted(), "xxxxx", "[redacted]")
}

func prefixes(all []netip.Prefix) string {
	parts := make([]string, len(all))
	for i, p := range all {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

func limits(all []ratelimit.Limit) string {
	parts := make([]string, len(all))
	for i, l := range all {
		parts[i] = fmt.Sprintf("%d/%s", l.Requests, l.Per)
	}
	return strings.Join(parts, "; ")
}
