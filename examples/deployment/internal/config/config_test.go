package config

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/forwarded"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

const goodKey = "hT9v0cXq2Lr7mZ4sWk1uYb8eNf5dGj3a"

// valid is a production environment without a mistake.
func valid() map[string]string {
	return map[string]string{
		"ENVIRONMENT": "production", "SECRET_KEY": goodKey, "BACKEND_URL": "https://app.example.com",
		"DATABASE_URL":     "postgresql+asyncpg://app:db-hu%24h@db.example.com/app?ssl=require",
		"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "google-hush", "PLATFORM": "railway",
	}
}

func TestNoEnvironmentIsACompleteDevelopmentConfig(t *testing.T) {
	c, err := Load(env(nil))
	require.NoError(t, err)
	assert.Equal(t, "development", c.Environment)
	assert.Equal(t, 8000, c.Port)
	assert.Equal(t, "http://localhost:8000", c.BackendURL.String())
	assert.Equal(t, []string{"localhost", "127.0.0.1", "[::1]"}, c.AllowedHosts)
	assert.Equal(t, Database{Driver: "sqlite", DSN: filepath.Join("var", "app.db")}, c.Database)
	assert.True(t, c.DevIDP)
	assert.Equal(t, "code", c.TokenDelivery)
}

func TestAProductionEnvironmentLoads(t *testing.T) {
	c, err := Load(env(valid()))
	require.NoError(t, err)
	assert.Equal(t, []string{"app.example.com"}, c.AllowedHosts)
	assert.Equal(t, "postgres://app:db-hu$h@db.example.com/app?sslmode=require", c.Database.DSN)
	assert.False(t, c.DevIDP)
	assert.Empty(t, c.CORSOrigins)
}

func TestEveryMistakeIsNamedByItsVariable(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"ENVIRONMENT", "prod", "is neither"},
		{"PORT", "http", "is not a number"},
		{"PORT", "65536", "is not a number"},
		{"SECRET_KEY", "", "is required"},
		{"SECRET_KEY", "short", "shorter than 32"},
		{"SECRET_KEY", strings.Repeat("ab", 20), "repeats itself"},
		{"SECRET_KEY", "dev-secret-key-change-in-production", "placeholder"},
		{"SECRET_KEY_PREVIOUS", goodKey, "repeats another key"},
		{"BACKEND_URL", "", "is required"},
		{"BACKEND_URL", "http://app.example.com", "must be https"},
		{"BACKEND_URL", "https://app.example.com/api", "is no origin"},
		{"FRONTEND_URL", "http://www.example.com", "must be https"},
		{"ALLOWED_HOSTS", "*", "lets every client choose"},
		{"ALLOWED_HOSTS", "https://app.example.com", "ALLOWED_HOSTS"},
		{"CORS_ORIGINS", "*", "CORS_ORIGINS"},
		{"CORS_ORIGINS", "https://app.example.com/", "did you mean"},
		{"PLATFORM", "hal", "is none of"},
		{"PLATFORM", "cloudflare", "Proxies"},
		{"DATABASE_URL", "", "is required"},
		{"DATABASE_URL", "mysql://x/y", "has the scheme mysql"},
		{"DATABASE_URL", "sqlite:///./var/app.db", "not on a volume"},
		{"DATABASE_UNPOOLED_URL", "sqlite:////data/app.db", "is sqlite where"},
		{"REDIS_URL", "http://x", "is no URL like redis"},
		{"RATE_LIMIT_DEFAULT", "none", "RATE_LIMIT_DEFAULT"},
		{"RATE_LIMIT_AI", "0/minute", "RATE_LIMIT_AI"},
		{"REDIS_URL", "redis://h:1?addr=h:2&nonsense=1", "addr=host2"},
		{"RATE_LIMIT_AI_TOKENS", "lots", "RATE_LIMIT_AI_TOKENS"},
		{"RATE_LIMIT_AI_TOKENS", "4095/day", "AI_MAX_TOKENS is 4096"},
		{"AI_PROVIDER_ORDER", "echo", "repeats what it is told"},
		{"AI_PROVIDER_ORDER", "openai", "is none of"},
		{"AI_PROVIDER_ORDER", "gemini", "GOOGLE_API_KEY is missing"},
		{"AI_PROVIDER_ORDER", "deepseek,deepseek", "twice"},
		{"AI_MAX_TOKENS", "many", "is not a number"},
		{"AI_CONCURRENT", "0", "is not a number"},
		{"STREAM_MAX", "-1s", "is not a duration"},
		{"STREAM_MAX", "1ns", "is too short"},
		{"ANTHROPIC_BASE_URL", "http://gateway.example.com", "must be https"},
		{"GEMINI_BASE_URL", "https://user:pass@gateway.example.com", "no user"},
		{"DEEPSEEK_BASE_URL", "gateway.example.com", "is no URL"},
		{"GEMINI_BASE_URL", "http://10.0.0.7", "must be https"},
		{"DEEPSEEK_MODEL", "a model", "is no model's name"},
		{"GOOGLE_CLIENT_SECRET", "", "is missing"},
		{"MICROSOFT_CLIENT_ID", "only", "is missing"},
		{"TOKEN_DELIVERY", "query", "access logs"},
		{"TOKEN_DELIVERY", "mail", "is none of"},
		{"REPLICAS", "3", "is required with REPLICAS"},
		{"REPLICAS", "0", "is not a number"},
		{"STATIC_DIR", "/does/not/exist", "is no directory"},
		{"LOG_LEVEL", "loud", "is none of"},
		{"SHUTDOWN_TIMEOUT", "soon", "is not a duration"},
		{"REDIS_TIMEOUT", "11s", "at most 10s"},
		{"DRAIN_DELAY", "soon", "is not a duration"},
		{"DRAIN_DELAY", "25s", "is not shorter than SHUTDOWN_TIMEOUT"},
		{"TRUSTED_PROXIES", "haproxy", "TRUSTED_PROXIES"},
		{"TRUSTED_PROXIES", "10.0.0.1/8", "TRUSTED_PROXIES"},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			e := valid()
			e[tt.name] = tt.value
			_, err := Load(env(e))
			require.Error(t, err)
			assert.Contains(t, err.Error(), tt.want)
			assert.Contains(t, err.Error(), strings.TrimSuffix(strings.TrimSuffix(tt.name, "_SECRET"), "_ID"))
		})
	}
}

func TestTrustedProxiesAreBelievedAloneAndWithAPlatform(t *testing.T) {
	for platform, want := range map[string]forwarded.Config{
		"none":       {ProtoHeader: "X-Forwarded-Proto"},
		"alb":        {ProtoHeader: "X-Forwarded-Proto", Hops: 1},
		"cloudflare": {ProtoHeader: "X-Forwarded-Proto", Header: "CF-Connecting-IP"},
	} {
		e := valid()
		e["PLATFORM"], e["TRUSTED_PROXIES"] = platform, "192.0.2.10, 2001:db8::/32"
		c, err := Load(env(e))
		require.NoError(t, err, platform)
		got, err := c.Forwarded()
		require.NoError(t, err)
		want.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8::/32")}
		assert.Equal(t, want, got, platform)
	}
}

func TestTheDrainDelayFitsIntoTheShutdown(t *testing.T) {
	for _, tt := range []struct {
		environment, delay, timeout string
		want                        time.Duration
	}{
		{"production", "", "", 3 * time.Second},
		{"production", "", "4s", time.Second},
		{"production", "0", "", 0},
		{"production", "0s", "", 0},
		{"production", "10s", "", 10 * time.Second},
		{"development", "", "", 0},
		{"development", "2s", "", 2 * time.Second},
	} {
		e := valid()
		e["ENVIRONMENT"], e["DRAIN_DELAY"], e["SHUTDOWN_TIMEOUT"] = tt.environment, tt.delay, tt.timeout
		if tt.environment == "development" {
			e["PLATFORM"] = ""
		}
		c, err := Load(env(e))
		require.NoError(t, err, "%+v", tt)
		assert.Equal(t, tt.want, c.DrainDelay, "%+v", tt)
	}
}

func TestAllMistakesComeAtOnceAndNoneShowsASecret(t *testing.T) {
	e := map[string]string{
		"ENVIRONMENT": "production", "SECRET_KEY": "hush-secret", "BACKEND_URL": "http://x.example.com",
		"DATABASE_URL": "mysql://u:hush@h/d", "REDIS_URL": "http://:hush@h", "GOOGLE_CLIENT_SECRET": "hush",
		"PORT": "x", "RATE_LIMIT_AI": "x", "FRONTEND_URL": "https://u:hush@app.example.com",
	}
	_, err := Load(env(e))
	require.Error(t, err)
	for name := range e {
		if name != "ENVIRONMENT" && name != "GOOGLE_CLIENT_SECRET" {
			assert.Contains(t, err.Error(), name+": ")
		}
	}
	assert.NotContains(t, err.Error(), "hush")
}

func TestDevelopmentIsRefusedOnAPlatform(t *testing.T) {
	for _, variable := range []string{"RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT", "RENDER", "FLY_APP_NAME", "DYNO", "K_SERVICE"} {
		for _, environment := range []string{"", "development"} {
			_, err := Load(env(map[string]string{variable: "x", "ENVIRONMENT": environment}))
			require.Error(t, err, variable)
			assert.Contains(t, err.Error(), "ENVIRONMENT: ")
			assert.Contains(t, err.Error(), variable)
		}
	}
}

func TestThePlatformIsToldByItsOwnVariables(t *testing.T) {
	for variable, want := range map[string]string{"RENDER": "render", "FLY_APP_NAME": "fly", "DYNO": "heroku", "K_SERVICE": "cloudrun"} {
		e := valid()
		delete(e, "PLATFORM")
		e[variable] = "x"
		c, err := Load(env(e))
		require.NoError(t, err)
		assert.Equal(t, want, c.Platform)
	}
}

func TestSQLiteInProductionNeedsAVolume(t *testing.T) {
	e := valid()
	e["DATABASE_URL"] = "sqlite+aiosqlite:////mnt/volume/app.db"
	_, err := Load(env(e))
	require.Error(t, err)
	e["RAILWAY_VOLUME_MOUNT_PATH"] = "/mnt/volume"
	c, err := Load(env(e))
	require.NoError(t, err)
	assert.Equal(t, Database{Driver: "sqlite", DSN: "/mnt/volume/app.db"}, c.Database)
	delete(e, "RAILWAY_VOLUME_MOUNT_PATH")
	e["ALLOW_EPHEMERAL_SQLITE"] = "true"
	_, err = Load(env(e))
	require.NoError(t, err)
}

func TestTheAnswersComeFromWhoHasAKey(t *testing.T) {
	keys := map[string]string{
		"ANTHROPIC_API_KEY": "sk-1", "ANTHROPIC_MODEL": "a", "DEEPSEEK_API_KEY": "sk-2", "DEEPSEEK_MODEL": "d",
		"DEEPSEEK_BASE_URL": "http://127.0.0.1:9/v1/",
	}
	for _, tt := range []struct {
		name string
		base map[string]string
		add  map[string]string
		want []string
	}{
		{"nothing in development", nil, nil, []string{"echo"}},
		{"nothing in production: the rest of the application works", valid(), nil, nil},
		{"two keys", valid(), keys, []string{"anthropic", "deepseek"}},
		{"keys in development", nil, keys, []string{"anthropic", "deepseek"}},
		{"another order", valid(), map[string]string{"AI_PROVIDER_ORDER": "deepseek, anthropic"}, []string{"deepseek", "anthropic"}},
		{"the echo in spite of keys", nil, map[string]string{"AI_PROVIDER_ORDER": "echo"}, []string{"echo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := map[string]string{}
			maps.Copy(e, tt.base)
			if tt.add["AI_PROVIDER_ORDER"] != "" {
				maps.Copy(e, keys)
			}
			maps.Copy(e, tt.add)
			c, err := Load(env(e))
			require.NoError(t, err)
			assert.Equal(t, tt.want, c.AI.Order)
			if e["DEEPSEEK_API_KEY"] != "" {
				assert.Equal(t, Endpoint{Key: "sk-2", BaseURL: "http://127.0.0.1:9/v1", Model: "d"}, c.AI.DeepSeek)
			}
		})
	}
	for name, want := range map[string]string{"ANTHROPIC_MODEL": "ANTHROPIC_MODEL: is missing", "ANTHROPIC_API_KEY": "copied with a line break", "DEEPSEEK_MODEL": "no model's name"} {
		e := valid()
		maps.Copy(e, keys)
		e[name] = map[string]string{"ANTHROPIC_API_KEY": "sk-hush\n", "DEEPSEEK_MODEL": "../d"}[name]
		_, err := Load(env(e))
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hush")
	}
}

func TestRedisIsOneServerAClusterOrSentinel(t *testing.T) {
	for url, want := range map[string]any{
		"redis://u:p@h:6379/0":                                      &redis.Client{},
		"rediss://u:p@h":                                            &redis.Client{},
		"redis://u:p@a:6379?addr=b:6379&addr=c:6379":                &redis.ClusterClient{},
		"redis://a:26379/0?master_name=main&addr=b:26379":           &redis.Client{},
		"redis://a:26379/0?master_name=main&addr=b:1&password=hush": &redis.Client{},
	} {
		client, err := RedisClient(Secret(url))
		require.NoError(t, err, url)
		assert.IsType(t, want, client, url)
		if cluster, ok := client.(*redis.ClusterClient); ok {
			assert.Equal(t, []string{"a:6379", "b:6379", "c:6379"}, cluster.Options().Addrs)
		}
		require.NoError(t, client.Close())
		assert.NotContains(t, redactURL(url), "hush")
	}
	_, err := RedisClient("redis://h/0?adr=x")
	require.Error(t, err)
}

func TestReplicasShareTheDatabaseAndTheLimits(t *testing.T) {
	e := valid()
	e["REPLICAS"], e["DATABASE_URL"], e["ALLOW_EPHEMERAL_SQLITE"] = "2", "sqlite:////data/app.db", "true"
	_, err := Load(env(e))
	require.ErrorContains(t, err, "REDIS_URL: is required with REPLICAS=2")
	require.ErrorContains(t, err, "SQLite is one process's; REPLICAS=2 needs PostgreSQL")
	e["DATABASE_URL"], e["REDIS_URL"] = valid()["DATABASE_URL"], "redis://limits.example.com"
	c, err := Load(env(e))
	require.NoError(t, err)
	assert.Equal(t, 2, c.Replicas)
}

func TestAnotherFrontendIsAnAllowedOrigin(t *testing.T) {
	e := valid()
	e["FRONTEND_URL"] = "https://www.example.org"
	c, err := Load(env(e))
	require.NoError(t, err)
	assert.Equal(t, []string{"https://www.example.org"}, c.CORSOrigins)
}

func TestNothingPrintsASecret(t *testing.T) {
	e := valid()
	e["REDIS_URL"] = "redis://user:redis-hush@redis.example.com:6379/0"
	e["ANTHROPIC_API_KEY"], e["ANTHROPIC_MODEL"] = "sk-hush", "a-model"
	e["SECRET_KEY_PREVIOUS"] = "Zq8wLx3nVt6yBk2mRc9jHd4pSf7gTa1e"
	c, err := Load(env(e))
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, c.Print(&b))
	fmt.Fprintf(&b, "%v %+v %#v %s", c, c, c, c.Google)
	for _, hush := range []string{goodKey, "hush", "hu$h", "Zq8wLx3n", "sk-"} {
		assert.NotContains(t, b.String(), hush)
	}
	assert.Contains(t, b.String(), "app.example.com")
}

func TestEveryVariableThatIsReadIsPrinted(t *testing.T) {
	read := map[string]bool{}
	c, err := Load(func(name string) string { read[name] = true; return "" })
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, c.Print(&b))
	for _, p := range platforms {
		delete(read, p.variable)
	}
	for name := range read {
		assert.Contains(t, b.String(), name+" ")
	}
}

func TestDirectoriesAreChecked(t *testing.T) {
	dir := t.TempDir()
	c, err := Load(env(map[string]string{"STATIC_DIR": dir, "LOG_DIR": dir, "VAR_DIR": dir}))
	require.NoError(t, err)
	assert.Equal(t, dir, c.StaticDir)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Load(env(map[string]string{"STATIC_DIR": file}))
	require.ErrorContains(t, err, "STATIC_DIR")
}

func TestTheTemplateHoldsEveryVariableThatIsReadAndNoOther(t *testing.T) {
	text, err := os.ReadFile("../../.env.production.example")
	require.NoError(t, err)
	template := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			template[name] = value
		}
	}
	read := map[string]bool{}
	sqlite := map[string]string{"ENVIRONMENT": "production", "DATABASE_URL": "sqlite:///./app.db"}
	for _, e := range []map[string]string{nil, template, sqlite} {
		_, _ = Load(func(name string) string { read[name] = true; return e[name] })
	}
	for _, p := range platforms {
		delete(read, p.variable)
	}
	for name := range read {
		assert.Contains(t, template, name)
	}
	for name := range template {
		assert.Contains(t, read, name)
	}

	// Filled in, the template is a valid production environment.
	template["SECRET_KEY"], template["GOOGLE_CLIENT_ID"], template["GOOGLE_CLIENT_SECRET"] = goodKey, "id", "secret"
	_, err = Load(env(template))
	require.NoError(t, err)

	// The README's table has the same variables, and the defaults that hold.
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(readme), "\n## Variables\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	unset, err := Load(env(nil))
	require.NoError(t, err)
	documented, defaults := map[string]string{}, 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*`) \\| (.*?) ?\\| ").FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			documented[strings.Trim(name, "`")] = ""
		}
		if name := strings.Trim(row[1], "`"); regexp.MustCompile(`^[a-z0-9/]+$`).MatchString(row[2]) {
			set, err := Load(env(map[string]string{name: row[2]}))
			require.NoError(t, err)
			assert.Equal(t, unset, set, "%s=%s is the default", name, row[2])
			defaults++
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(template)), slices.Collect(maps.Keys(documented)))
	assert.GreaterOrEqual(t, defaults, 15)
}
