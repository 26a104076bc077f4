package e2e_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAFreshStartNeedsNoEnvironment(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client()
	for _, user := range []struct{ provider, id, name string }{
		{"google", "ada", "Ada Lovelace"}, {"microsoft", "alan", "Alan Turing"},
	} {
		c := p.client()
		c.login(user.provider, user.id)
		assert.Equal(t, user.name, c.do("GET", "/api/me", nil).json(t)["name"])
	}

	navigation := set(map[string]string{"Sec-Fetch-Dest": "document", "Accept": "text/html"})
	tests := []struct {
		name, method, path string
		edit               func(*http.Request)
		status             int
		mediaType          string
	}{
		{"the page", "GET", "/", navigation, 200, "text/html"},
		{"a deep link", "GET", "/threads/0198", navigation, 200, "text/html"},
		{"the callback page", "GET", "/auth/callback?error=access_denied", navigation, 200, "text/html"},
		{"a missing asset", "GET", "/assets/gone-AbCdEf12.js", navigation, 404, ""},
		{"an unknown API path, also as a page", "GET", "/api/none", navigation, 404, "application/problem+json"},
		{"another method", "PUT", "/api/threads", nil, 405, "application/problem+json"},
		{"no token", "GET", "/api/threads", nil, 401, "application/problem+json"},
		{"no JSON", "POST", "/auth/google/initiate", nil, 415, "application/problem+json"},
		{"health", "GET", "/health", nil, 200, "application/json"},
		{"health by a platform's host", "GET", "/health", set(map[string]string{"Host": "healthcheck.example"}), 200, "application/json"},
		{"ready", "GET", "/health/ready", nil, 200, "application/json"},
		{"a foreign host", "GET", "/", set(map[string]string{"Host": "attacker.example"}), 400, "application/problem+json"},
	}
	for _, tt := range tests {
		edit := tt.edit
		if edit == nil {
			edit = func(*http.Request) {}
		}
		got := c.do(tt.method, tt.path, nil, edit)
		assert.Equal(t, tt.status, got.StatusCode, tt.name)
		assert.Contains(t, got.Header.Get("Content-Type"), tt.mediaType, tt.name)
		assert.NotEmpty(t, got.Header.Get("X-Correlation-ID"), tt.name)
		assert.Contains(t, got.Header.Get("Content-Security-Policy"), "default-src 'self'", tt.name)
		assert.NotContains(t, got.text, "attacker", tt.name)
	}

	for name, mode := range map[string]os.FileMode{"var": 0o700, "var/secret": 0o600, "var/app.db": 0o600} {
		info, err := os.Stat(filepath.Join(p.dir, name))
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), name)
	}
	assert.Contains(t, p.text(), p.url+"  (", "the banner has the URL")
}

func TestDevelopmentListensOnLoopbackOnly(t *testing.T) {
	p := start(t, t.TempDir())
	_, port, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), ":")
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.IsLoopback() || ip.IP.IsLinkLocalUnicast() {
			continue
		}
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.IP.String(), port), time.Second)
		if !assert.Error(t, err, ip.IP.String()) {
			_ = conn.Close()
		}
	}
}

// production is a good environment for a program that is not asked to serve.
func production() []string {
	return []string{
		"ENVIRONMENT=production", "SECRET_KEY=f7Kq2pLz9XwR4tVn8bYc3mHd6sJg1aQe5uTi0oEr",
		"BACKEND_URL=https://api.example.com", "FRONTEND_URL=https://app.example.com",
		"DATABASE_URL=postgresql+asyncpg://app:Tr0ub4dor-and-3@db.example.com/app", "REDIS_URL=rediss://:R3dis-horse-battery@redis.example.com:6379/0",
		"GOOGLE_CLIENT_ID=client-id-of-google", "GOOGLE_CLIENT_SECRET=GOCSPX-staple-of-google",
		"ANTHROPIC_API_KEY=sk-ant-correct-horse", "ANTHROPIC_MODEL=a-model", "REPLICAS=2", "PLATFORM=railway",
	}
}

func TestABadProductionEnvironmentListsEveryMistakeAndOpensNoPort(t *testing.T) {
	taken, err := net.Listen("tcp", ":0") // had it tried to listen, that would be its error
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	dir := t.TempDir()
	out, err := runIn(t, dir, []string{
		"ENVIRONMENT=production", "PORT=" + port, "SECRET_KEY=change-me-in-production", "SECRET_KEY_PREVIOUS=tooshort-tooshort",
		"BACKEND_URL=http://api.example.com", "FRONTEND_URL=https://app.example.com/path",
		"ALLOWED_HOSTS=*", "CORS_ORIGINS=*", "PLATFORM=rail way", "DATABASE_URL=sqlite+aiosqlite:///./app.db",
		"REDIS_URL=http://:hunter2-hunter2@redis", "RATE_LIMIT_DEFAULT=0/minute", "RATE_LIMIT_AI=many",
		"MICROSOFT_CLIENT_SECRET=half-a-registration", "TOKEN_DELIVERY=query", "REPLICAS=none",
		"STATIC_DIR=/no/such/directory", "LOG_LEVEL=loud", "SHUTDOWN_TIMEOUT=soon",
	})
	require.Error(t, err)
	assert.NotZero(t, exitCode(err))
	for _, name := range []string{
		"SECRET_KEY", "SECRET_KEY_PREVIOUS", "BACKEND_URL", "FRONTEND_URL", "ALLOWED_HOSTS", "CORS_ORIGINS", "PLATFORM", "DATABASE_URL",
		"REDIS_URL", "RATE_LIMIT_DEFAULT", "RATE_LIMIT_AI", "MICROSOFT_CLIENT_ID", "GOOGLE_CLIENT_ID", "TOKEN_DELIVERY", "REPLICAS",
		"STATIC_DIR", "LOG_LEVEL", "SHUTDOWN_TIMEOUT",
	} {
		assert.Regexp(t, `(?m)^`+name+`: .`, out)
	}
	assert.NotContains(t, out, "PORT: ")
	for _, secret := range []string{"change-me", "tooshort", "hunter2", "half-a-registration"} {
		assert.NotContains(t, out, secret)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing was begun")
}

func TestDevelopmentRefusesToStartOnAPlatform(t *testing.T) {
	for _, variable := range []string{"RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_NAME", "RENDER", "FLY_APP_NAME", "DYNO", "K_SERVICE"} {
		for _, environment := range []string{"", "development"} {
			out, err := runIn(t, t.TempDir(), []string{"PORT=0", variable + "=x", "ENVIRONMENT=" + environment})
			require.Error(t, err, variable)
			assert.Contains(t, out, "ENVIRONMENT: must be \"production\" here: "+variable, variable)
		}
	}
}

func TestProductionServesBehindItsProxyOnly(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "ENVIRONMENT=production", "DATABASE_URL=sqlite:///"+dir+"/app.db", "PLATFORM=railway", "BACKEND_URL=https://app.example.com",
		"SECRET_KEY=f7Kq2pLz9XwR4tVn8bYc3mHd6sJg1aQe5uTi0oEr", "GOOGLE_CLIENT_ID=client-id-of-google",
		"GOOGLE_CLIENT_SECRET=GOCSPX-staple-of-google", "ALLOW_EPHEMERAL_SQLITE=true")
	p.secret("SECRET_KEY", "f7Kq2pLz9XwR4tVn8bYc3mHd6sJg1aQe5uTi0oEr")
	p.secret("GOOGLE_CLIENT_SECRET", "GOCSPX-staple-of-google")
	c := p.client()
	edge := set(map[string]string{"Host": "app.example.com", "X-Forwarded-Proto": "https", "X-Real-IP": "192.0.2.7", "Accept": "text/html"})

	page := c.do("GET", "/threads", nil, edge)
	assert.Equal(t, 200, page.StatusCode)
	assert.Equal(t, "max-age=63072000; includeSubDomains", page.Header.Get("Strict-Transport-Security"))
	assert.Equal(t, "192.0.2.7", c.do("GET", "/api/stack", nil, edge).json(t)["client_address"])
	plain := c.do("GET", "/threads", nil, set(map[string]string{"Host": "app.example.com", "X-Forwarded-Proto": "http"}))
	assert.Equal(t, 308, plain.StatusCode)
	assert.Equal(t, "https://app.example.com/threads", plain.Header.Get("Location"))
	assert.Equal(t, 400, c.do("GET", "/", nil, set(map[string]string{"X-Forwarded-Proto": "https"})).StatusCode, "localhost is no host of ours")
	assert.Equal(t, 404, c.do("GET", "/dev/idp/google/authorize", nil, edge).StatusCode, "no development login")
	assert.Equal(t, []any{object{"name": "google", "label": "Google"}}, c.do("GET", "/auth/providers", nil, edge).json(t)["providers"])
	assert.NotContains(t, p.text(), "development")

	port := p.url[strings.LastIndexByte(p.url, ':')+1:]
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		if free, err := net.Listen("tcp", net.JoinHostPort(loopback, "0")); err != nil {
			t.Logf("this machine has no %s", loopback)
			continue
		} else if err := free.Close(); err != nil {
			t.Error(err)
		}
		assert.Equal(t, 200, c.do("GET", "http://"+net.JoinHostPort(loopback, port)+"/health", nil).StatusCode, loopback)
	}
}

func TestConfigCheckPrintsTheConfigurationWithoutSecrets(t *testing.T) {
	out, err := runIn(t, t.TempDir(), production(), "config", "check")
	require.NoError(t, err, out)
	for _, row := range []string{
		`ENVIRONMENT +production`, `SECRET_KEY +\[redacted\]`, `BACKEND_URL +https://api\.example\.com`, `CORS_ORIGINS +https://app\.example\.com`,
		`DATABASE_URL +postgres(ql)?://app:\[redacted\]@db\.example\.com`, `GOOGLE_CLIENT_ID +client-id-of-google`, `GOOGLE_CLIENT_SECRET +\[redacted\]`,
	} {
		assert.Regexp(t, `(?m)^`+row, out)
	}
	for _, v := range production() {
		name, value, _ := strings.Cut(v, "=")
		switch name {
		case "SECRET_KEY", "GOOGLE_CLIENT_SECRET", "ANTHROPIC_API_KEY":
			assert.NotContains(t, out, value, name)
		}
	}
	assert.NotContains(t, out, "Tr0ub4dor")
	assert.NotContains(t, out, "R3dis-horse")
}

func TestTheSmallCommands(t *testing.T) {
	dir := t.TempDir()
	out, err := runIn(t, dir, nil, "version")
	require.NoError(t, err)
	assert.Contains(t, out, "go1.")
	out, err = runIn(t, dir, nil, "help")
	require.NoError(t, err)
	assert.Contains(t, out, "config check")
	out, err = runIn(t, dir, nil, "frobnicate")
	require.Error(t, err)
	assert.Contains(t, out, "usage:")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)

	out, err = runIn(t, dir, nil, "migrate")
	require.NoError(t, err, out)
	assert.FileExists(t, filepath.Join(dir, "var/app.db"))
	out, err = runIn(t, dir, nil, "migrate")
	require.NoError(t, err, "twice: %s", out)
}

func TestHealthcheckAsksTheServerOnPORT(t *testing.T) {
	p := start(t, t.TempDir())
	port := "PORT=" + p.url[strings.LastIndexByte(p.url, ':')+1:]
	out, err := runIn(t, t.TempDir(), []string{port}, "healthcheck")
	require.NoError(t, err, out)
	p.end(syscall.SIGTERM)
	out, err = runIn(t, t.TempDir(), []string{port}, "healthcheck")
	require.Error(t, err)
	assert.NotZero(t, exitCode(err))
	assert.NotEmpty(t, out)
}

func TestABackupMadeWhileServingIsRestored(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	c := p.client()
	c.login("google", "ada")
	id, _ := c.do("POST", "/api/threads", object{"title": "before the backup"}).json(t)["id"].(string)
	require.NotEmpty(t, id)
	c.do("POST", "/api/threads/"+id+"/messages", object{"content": "kept"})
	out, err := runIn(t, dir, nil, "backup", "copy.db")
	require.NoError(t, err, out)
	require.Equal(t, 201, c.do("POST", "/api/threads", object{"title": "after the backup"}).StatusCode)
	out, err = runIn(t, dir, nil, "backup", "copy.db")
	require.Error(t, err, "a backup overwrites nothing: %s", out)

	p.end(syscall.SIGTERM)
	out, err = runIn(t, dir, nil, "restore", "copy.db")
	require.Error(t, err, "restore overwrites nothing")
	assert.Contains(t, out, "move it away")
	for _, name := range []string{"app.db", "app.db-wal", "app.db-shm"} {
		_ = os.Rename(filepath.Join(dir, "var", name), filepath.Join(dir, "old-"+name))
	}
	out, err = runIn(t, dir, nil, "restore", "copy.db")
	require.NoError(t, err, out)

	_, port, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), ":")
	p = start(t, dir, "PORT="+port) // a token is for one origin
	again := p.client()
	again.token = c.token // var/secret is kept, so a session outlives a restart
	threads := again.do("GET", "/api/threads", nil)
	require.Equal(t, 200, threads.StatusCode, threads.text)
	assert.Contains(t, threads.text, "before the backup")
	assert.NotContains(t, threads.text, "after the backup")
	assert.Contains(t, again.do("GET", "/api/threads/"+id+"/messages", nil).text, "kept")
}

// A request is under way when the signal comes: it gets its answer, and the
// program ends with 0.
func TestSignalsDrain(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			p := start(t, t.TempDir())
			c := p.client()
			c.login("google", "ada")
			reader, writer := io.Pipe()
			defer writer.Close()
			r, err := http.NewRequestWithContext(t.Context(), "POST", p.url+"/api/threads", reader)
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+c.token)
			status := make(chan int, 1)
			go func() {
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					status <- 0
					return
				}
				_ = resp.Body.Close()
				status <- resp.StatusCode
			}()
			_, err = writer.Write([]byte(`{"title": `))
			require.NoError(t, err)
			time.Sleep(200 * time.Millisecond) // another process: it has the header now

			require.NoError(t, p.cmd.Process.Signal(signal))
			require.Eventually(t, func() bool { return strings.Contains(p.text(), `"draining"`) }, 5*time.Second, 10*time.Millisecond)
			require.Eventually(t, func() bool {
				conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			}, 5*time.Second, 10*time.Millisecond, "no new connection")
			_, err = writer.Write([]byte(`"slow"}`))
			require.NoError(t, err)
			require.NoError(t, writer.Close())
			assert.Equal(t, 201, <-status, "the request under way is answered")
			p.end(signal)
			assert.NoError(t, p.err, "exit code 0")
		})
	}
}

func TestWhatTakesTooLongIsCutAfterTheShutdownTimeout(t *testing.T) {
	p := start(t, t.TempDir(), "SHUTDOWN_TIMEOUT=1s")
	c := p.client()
	c.login("google", "ada")
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /api/threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+c.token+
		"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	time.Sleep(200 * time.Millisecond) // another process: it has the header now
	begun := time.Now()
	p.end(syscall.SIGTERM)
	assert.Less(t, time.Since(begun), 5*time.Second)
	assert.NoError(t, p.err)
}

func TestEveryLogLineOfARequestHasTheIDThatItsAnswerHas(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client()
	c.login("microsoft", "ada")
	id := c.do("GET", "/api/me", nil, set(map[string]string{"X-Correlation-ID": "my-own-id-1"})).Header.Get("X-Correlation-ID")
	assert.Equal(t, "my-own-id-1", id)
	p.end(syscall.SIGTERM)
	found := false
	for _, line := range p.lines() {
		if line["correlation_id"] == id {
			found = true
			assert.Equal(t, "/api/me", line["http.route"])
			assert.Regexp(t, regexp.MustCompile(`^[0-9a-f-]{36}$`), line["user.id"])
		}
	}
	assert.True(t, found)
}

func TestLOG_DIRHasTheSameLogAndEachAnswerItsLine(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "LOG_DIR="+dir)
	c := p.client()
	c.login("google", "ada")
	asked := c.stream("POST", c.thread()+"/chat", object{"content": "one two"}, set(map[string]string{"X-Correlation-ID": "asked-here-1"}))
	_, _, last := asked.rest()
	require.Equal(t, "done", last.name)
	p.end(syscall.SIGTERM)
	var answers []any
	for _, line := range p.lines() {
		if line["msg"] == "answer" {
			answers = append(answers, line["correlation_id"], line["provider"], line["model"], line["input_tokens"], line["output_tokens"])
		}
	}
	assert.Equal(t, []any{"asked-here-1", "echo", "echo", 2.0, 2.0}, answers)

	name := filepath.Join(dir, "app.log")
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	assert.Equal(t, regexp.MustCompile(`(?m)^[^{].*\n`).ReplaceAllString(p.text(), ""), string(file), "but for the banner")
	info, err := os.Stat(name)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func exitCode(err error) int {
	if e, ok := err.(interface{ ExitCode() int }); ok {
		return e.ExitCode()
	}
	return -1
}
