package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheFileStaysReadableInOneSitting(t *testing.T) {
	text, err := os.ReadFile("main.go")
	require.NoError(t, err)
	assert.Less(t, bytes.Count(text, []byte("\n")), 150)
}

func TestEveryMistakeIsListedByTheVariablesName(t *testing.T) {
	env := map[string]string{
		"PORT":          "eighty",
		"ALLOWED_HOSTS": "https://example.com,exa mple.com",
		"CORS_ORIGINS":  "https://app.example.com/,null",
		"RATE_LIMIT":    "many/minute",
		"PLATFORM":      "rail way",
	}
	_, err := newHandler(t.Context(), func(name string) string { return env[name] })
	require.Error(t, err)
	for name := range env {
		assert.Contains(t, err.Error(), name+": ")
	}
	assert.Contains(t, err.Error(), `"https://app.example.com"`, "the repair is in the message")
	for line := range strings.Lines(err.Error()) {
		assert.Regexp(t, `^(PORT|ALLOWED_HOSTS|CORS_ORIGINS|RATE_LIMIT|PLATFORM): `, line, "each by its variable's name")
	}
}

// A program is the built quickstart, running.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	done chan error
	mu   sync.Mutex
	log  []map[string]any
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quickstart-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "quickstart")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return bin, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := buildOnce(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

func startProgram(t *testing.T, env ...string) *program {
	t.Helper()
	bin, err := buildOnce()
	require.NoError(t, err)
	p := &program{t: t, cmd: exec.Command(bin), done: make(chan error, 1)}
	p.cmd.Env = append([]string{"PORT=0"}, env...)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill() })
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			var line map[string]any
			if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
				t.Errorf("not a JSON line: %s", sc.Bytes())
				continue
			}
			p.mu.Lock()
			p.log = append(p.log, line)
			p.mu.Unlock()
		}
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	p.url = strings.TrimSuffix(strings.TrimSpace(line), "/")
	require.Regexp(t, `^http://localhost:\d+$`, p.url)
	go func() { <-logged; p.done <- p.cmd.Wait() }()
	return p
}

// stop sends SIGTERM and returns all of its log, and how it ended.
func (p *program) stop() ([]map[string]any, error) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.done:
		return p.log, err
	case <-time.After(10 * time.Second):
		p.t.Fatal("still running 10 s after SIGTERM")
		return nil, nil
	}
}

func (p *program) do(method, path string, edits ...func(*http.Request)) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.url+path, nil)
	require.NoError(p.t, err)
	for _, edit := range edits {
		edit(r)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp, string(body)
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestAFreshStartAnswersAsTheREADMESays(t *testing.T) {
	p := startProgram(t, "CORS_ORIGINS=https://app.example.com", "RATE_LIMIT=3/minute")
	asset := firstAsset(t)
	tests := []struct {
		name, method, path string
		edits              []func(*http.Request)
		status             int
		mediaType, body    string
	}{
		{"ping", "GET", "/api/ping", nil, 200, "application/json", `{"pong":true}`},
		{"health", "GET", "/health", nil, 200, "text/plain", "ok"},
		{"health by HEAD", "HEAD", "/health", nil, 200, "text/plain", ""},
		{"a platform's probe", "GET", "/health", []func(*http.Request){foreignHost}, 200, "text/plain", "ok"},
		{"a foreign host", "GET", "/api/ping", []func(*http.Request){foreignHost}, 400, "application/problem+json", ""},
		{"the page", "GET", "/", nil, 200, "text/html", "<!doctype html>"},
		{"a deep link", "GET", "/projects/42", []func(*http.Request){set("Sec-Fetch-Dest", "document")}, 200, "text/html", "<!doctype html>"},
		{"an asset", "GET", asset, nil, 200, "text/javascript", "client-side router"},
		{"a missing asset", "GET", "/assets/gone-AbCdEf12.js", nil, 404, "", ""},
		{"an unknown API path", "GET", "/api/none", []func(*http.Request){set("Sec-Fetch-Dest", "document")}, 404, "", ""},
		{"ping again", "GET", "/api/ping", nil, 200, "application/json", ""},
		{"ping too often", "GET", "/api/ping", []func(*http.Request){set("Origin", "https://app.example.com")}, 429, "application/problem+json", ""},
	}
	for _, tt := range tests {
		resp, body := p.do(tt.method, tt.path, tt.edits...)
		require.Equal(t, tt.status, resp.StatusCode, tt.name)
		assert.Contains(t, resp.Header.Get("Content-Type"), tt.mediaType, tt.name)
		assert.Contains(t, body, tt.body, tt.name)
		assert.NotContains(t, body, "attacker", tt.name)
		assert.NotEmpty(t, resp.Header.Get("X-Correlation-ID"), tt.name)
		assert.NotEmpty(t, resp.Header.Get("Content-Security-Policy"), tt.name)
		if tt.status == 429 {
			assert.Equal(t, "https://app.example.com", resp.Header.Get("Access-Control-Allow-Origin"))
			assert.Contains(t, resp.Header.Get("Access-Control-Expose-Headers"), "X-Correlation-Id")
			assert.NotEmpty(t, resp.Header.Get("Retry-After"))
		}
	}
	resp, _ := p.do("GET", asset)
	assert.Contains(t, resp.Header.Get("Cache-Control"), "immutable")
	resp, _ = p.do("GET", "/")
	assert.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
	for range 20 { // files have ten times as much, health has no limit
		resp, _ = p.do("GET", "/health")
		require.Equal(t, 200, resp.StatusCode)
	}

	log, err := p.stop()
	require.NoError(t, err, "SIGTERM ends the program cleanly")
	byStatus := map[float64]int{}
	pong := 0
	for _, line := range log {
		if s, ok := line["http.response.status_code"].(float64); ok {
			byStatus[s]++
		}
		if line["msg"] == "pong" {
			pong++
			assert.NotEmpty(t, line["correlation_id"], "the application's own line has the ID")
		}
	}
	assert.Equal(t, 2, pong)
	assert.Equal(t, 1, byStatus[400])
	assert.Equal(t, 1, byStatus[429])
	assert.Equal(t, 2, byStatus[404])
}

func foreignHost(r *http.Request) { r.Host = "attacker.example" }

func firstAsset(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("dist/assets/*.js")
	require.NoError(t, err)
	require.Len(t, names, 1)
	return strings.TrimPrefix(names[0], "dist")
}

func TestFilesHaveTenTimesTheLimit(t *testing.T) {
	p := startProgram(t, "RATE_LIMIT=2/hour")
	for range 20 {
		resp, _ := p.do("GET", "/")
		require.Equal(t, 200, resp.StatusCode)
	}
	resp, _ := p.do("GET", "/")
	require.Equal(t, 429, resp.StatusCode)
}

func TestSIGTERMEndsAnOpenStreamAndItsLineTellsTheWholeDuration(t *testing.T) {
	p := startProgram(t)
	resp, err := http.Get(p.url + "/api/stream")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	events := bufio.NewReader(resp.Body)
	begun := time.Now()
	for range 6 { // two events of three lines each, one second apart
		_, err := events.ReadString('\n')
		require.NoError(t, err)
	}
	open := time.Since(begun)
	log, err := p.stop()
	require.NoError(t, err)
	rest, err := io.ReadAll(events)
	require.NoError(t, err, "the stream ends, it is not cut")
	assert.Empty(t, rest)
	last := log[len(log)-1]
	assert.Equal(t, "/api/stream", last["http.route"])
	assert.GreaterOrEqual(t, last["duration"], open.Seconds()*0.9)
	assert.Less(t, last["ttfb"], 0.9)
}

func TestPlatformTakesTheClientsAddressAndScheme(t *testing.T) {
	p := startProgram(t, "PLATFORM=railway", "RATE_LIMIT=1/hour", "ALLOWED_HOSTS=shop.example.com")
	host := func(r *http.Request) { r.Host = "shop.example.com" }
	resp, _ := p.do("GET", "/api/ping", host, set("X-Real-IP", "192.0.2.1"), set("X-Forwarded-Proto", "https"))
	require.Equal(t, 200, resp.StatusCode)
	assert.NotEmpty(t, resp.Header.Get("Strict-Transport-Security"))
	resp, _ = p.do("GET", "/api/ping", host, set("X-Real-IP", "192.0.2.2"))
	require.Equal(t, 200, resp.StatusCode, "another client has a bucket of its own")
	resp, _ = p.do("GET", "/api/ping", host, set("X-Real-IP", "192.0.2.1"), set("X-Forwarded-For", "192.0.2.9"))
	require.Equal(t, 429, resp.StatusCode, "X-Forwarded-For gains nothing")
	log, _ := p.stop()
	assert.Equal(t, "192.0.2.1", log[len(log)-1]["client.address"])
}

func TestABadVariableEndsTheProgramAtOnce(t *testing.T) {
	bin, err := buildOnce()
	require.NoError(t, err)
	cmd := exec.Command(bin)
	cmd.Env = []string{"PORT=0", "RATE_LIMIT=none", "CORS_ORIGINS=*"}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "RATE_LIMIT: ")
	assert.Contains(t, string(out), "CORS_ORIGINS: ")
	assert.NotContains(t, string(out), "http://localhost")
}
