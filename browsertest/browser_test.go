package browsertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// One Chromium serves all tests of the package; every tab is a profile of its
// own. Names under .example lead to loopback, so that tests can use the hosts
// that the documentation uses; no name leads outside.
var (
	chromiumOnce sync.Once
	chromium     context.Context
	chromiumErr  error
	stopChromium = func() {}
)

func TestMain(m *testing.M) {
	code := m.Run()
	stopChromium()
	os.Exit(code)
}

func startChromium(path string) {
	dir, err := os.MkdirTemp("", "gatehouse-chromium-")
	if err != nil {
		chromiumErr = err
		return
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(dir),
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.Headless,
		chromedp.DisableGPU,
		chromedp.NoSandbox, // CI runs as root
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-popup-blocking", true),
		chromedp.Flag("short-reporting-delay", true),     // the Reporting API else waits a minute
		chromedp.Flag("ignore-certificate-errors", true), // the test servers' certificates
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1, MAP example 127.0.0.1, EXCLUDE localhost, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"),
		chromedp.WSURLReadTimeout(60 * time.Second),
	}
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancelCtx := chromedp.NewContext(alloc)
	stopChromium = func() {
		cancelCtx()
		cancelAlloc()
		os.RemoveAll(dir)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		chromiumErr = fmt.Errorf("start %s: %w", path, err)
		return
	}
	chromium = ctx
}

// A tab is one page in a fresh profile. It gathers what the page complains of.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []string
}

// violation is a securitypolicyviolation event of the page.
type violation struct {
	Directive, BlockedURI, Disposition, Source string
}

const watchViolations = `
	self.__violations = [];
	document.addEventListener('securitypolicyviolation', e => self.__violations.push({
		Directive: e.effectiveDirective, BlockedURI: e.blockedURI,
		Disposition: e.disposition, Source: e.sourceFile + ':' + e.lineNumber }));`

// newTab opens a blank page and closes it with the test.
func newTab(t *testing.T) *tab {
	t.Helper()
	path := testenv.Command(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	chromiumOnce.Do(func() { startChromium(path) })
	if chromiumErr != nil {
		t.Fatal(chromiumErr)
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	tb := &tab{t: t, ctx: ctx}
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: watchViolations})
		return err
	}))
	messages := chromedp.Console(ctx)
	go func() { // ends with the context
		for m, err := range messages {
			if err != nil {
				return
			}
			tb.mu.Lock()
			tb.console = append(tb.console, m.String()+" "+m.URL)
			tb.mu.Unlock()
		}
	}()
	return tb
}

// complaints is what the console shows so far: logs, exceptions, and the
// browser's own messages.
func (tb *tab) complaints() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return append([]string(nil), tb.console...)
}

// limit bounds one step of a test; the first step of a context must not have
// a deadline, since it would be the browser's.
const limit = 30 * time.Second

// run runs the actions or fails the test with what the console shows.
func (tb *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.fatal(err)
	}
}

func (tb *tab) fatal(err error) {
	tb.t.Helper()
	tb.t.Fatalf("%v\nconsole:\n%s", err, strings.Join(tb.complaints(), "\n"))
}

// open navigates and waits for the load event.
func (tb *tab) open(url string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		tb.fatal(fmt.Errorf("open %s: %w", url, err))
	}
}

// eval runs a script in the page, waits for its promise, and decodes the JSON
// of its value into T; undefined is null.
func eval[T any](tb *tab, script string) T {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`(async () => JSON.stringify((await (`+script+`)) ?? null))()`, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.fatal(fmt.Errorf("eval %s: %w", script, err))
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		tb.fatal(fmt.Errorf("eval %s: %w: %s", script, err, text))
	}
	return v
}

// eventually waits until the script's value is true.
func (tb *tab) eventually(script string) {
	tb.t.Helper()
	for deadline := time.Now().Add(limit); !eval[bool](tb, `!!(`+script+`)`); {
		if time.Now().After(deadline) {
			tb.fatal(fmt.Errorf("never true: %s\npage: %s", script,
				eval[string](tb, `document.documentElement.outerHTML.slice(0, 4000)`)))
		}
		time.Sleep(20 * time.Millisecond) // another process, real time
	}
}

// violations returns the policy violations of the page so far.
func (tb *tab) violations() []violation {
	tb.t.Helper()
	return eval[[]violation](tb, `self.__violations`)
}

// serve runs h on a free loopback port until the test ends and returns the
// port, to be used with any host under .example, localhost or 127.0.0.1.
func serve(t *testing.T, h http.Handler) (port string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return portOf(t, srv.Listener.Addr().String())
}

// serveTLS is serve with a certificate that the tests' Chromium accepts.
func serveTLS(t *testing.T, h http.Handler) (port string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return portOf(t, srv.Listener.Addr().String())
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
