package browsertest_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quickstart builds the example of the root module, runs it with the
// environment, and returns its port.
func quickstart(t *testing.T, env ...string) (port string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "quickstart")
	build := exec.Command("go", "build", "-o", bin, "./examples/quickstart")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	cmd := exec.Command(bin)
	cmd.Env = append([]string{"PORT=0", "ALLOWED_HOSTS=localhost,127.0.0.1,api.example"}, env...)
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		assert.NoError(t, cmd.Wait(), "the quickstart ends cleanly")
	})
	line, err := bufio.NewReader(pipe).ReadString('\n')
	require.NoError(t, err)
	return strings.Trim(line[strings.LastIndexByte(line, ':')+1:], "/\n")
}

// otherOrigin serves an empty page, for scripts that call the quickstart from
// another origin.
func otherOrigin(t *testing.T) (port string) {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>frontend</title>")
	}))
}

func TestQuickstartRendersOnADeepLinkWithoutAViolation(t *testing.T) {
	port := quickstart(t)
	tb := newTab(t)
	tb.open("http://localhost:" + port + "/projects/42")
	tb.eventually(`document.querySelector('h1')?.textContent === 'Project 42'`)
	assert.Empty(t, tb.violations())

	eval[any](tb, `document.querySelector('nav a[href="/"]').click()`)
	tb.eventually(`document.querySelector('#answer')?.textContent.includes('pong')`)
	assert.Contains(t, eval[string](tb, `document.querySelector('#answer').textContent`), "Correlation ID")

	eval[any](tb, `document.querySelector('nav a[href="/stream"]').click()`)
	tb.eventually(`document.querySelectorAll('#events li').length >= 2`)
	assert.Empty(t, tb.violations())
	for _, line := range tb.complaints() {
		assert.NotContains(t, strings.ToLower(line), "error", "console")
	}
}

func TestQuickstartBlocksAnInjectedInlineScript(t *testing.T) {
	port := quickstart(t)
	tb := newTab(t)
	tb.open("http://localhost:" + port + "/")
	eval[any](tb, `(() => {
		const s = document.createElement('script');
		s.textContent = 'self.injected = true';
		document.body.append(s);
	})()`)
	tb.eventually(`self.__violations.length > 0`)
	assert.Equal(t, "script-src-elem", tb.violations()[0].Directive)
	assert.False(t, eval[bool](tb, `!!self.injected`))
	eval[any](tb, `(() => { document.body.insertAdjacentHTML('beforeend', '<img src="x:" onerror="self.injected = true">') })()`)
	tb.eventually(`self.__violations.some(v => v.Directive === 'script-src-attr')`)
	assert.False(t, eval[bool](tb, `!!self.injected`))
}

const fetchFrom = `(async url => {
	try {
		const r = await fetch(url);
		return { status: r.status, id: r.headers.get('X-Correlation-ID'), retry: r.headers.get('Retry-After'), body: await r.text() };
	} catch (e) { return { failed: String(e) } }
})`

type fetched struct {
	Status          int
	ID, Retry, Body string
	Failed          string
}

func TestQuickstartAnswersTheAllowedOriginOnly(t *testing.T) {
	page := otherOrigin(t)
	port := quickstart(t, "CORS_ORIGINS=http://localhost:"+page, "RATE_LIMIT=2/hour")
	url := "http://127.0.0.1:" + port + "/api/ping"

	allowed, denied := newTab(t), newTab(t)
	allowed.open("http://localhost:" + page + "/")
	denied.open("http://attacker.example:" + page + "/")

	got := eval[fetched](allowed, fetchFrom+`("`+url+`")`)
	assert.Equal(t, 200, got.Status)
	assert.NotEmpty(t, got.ID, "the ID is exposed")
	got = eval[fetched](denied, fetchFrom+`("`+url+`")`)
	assert.Contains(t, got.Failed, "Failed to fetch")

	// The bucket is empty now (both requests came from this address), and the
	// page can read why.
	got = eval[fetched](allowed, fetchFrom+`("`+url+`")`)
	assert.Equal(t, 429, got.Status)
	assert.NotEmpty(t, got.Retry, "Retry-After is exposed")
	assert.Contains(t, got.Body, "quota-exceeded")
}
