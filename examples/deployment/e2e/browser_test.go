package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/internal/testenv"
)

// One Chromium serves all tests of the package; every tab is a profile of its
// own. No name but localhost leads anywhere.
var shared struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func chromium(t *testing.T) context.Context {
	t.Helper()
	path := chromiumPath(t)
	shared.once.Do(func() {
		shared.ctx, shared.stop, shared.err = newChromium(path, "EXCLUDE localhost, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND")
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.ctx
}

// stopChromium is for the end of all tests.
func stopChromium() {
	if shared.stop != nil {
		shared.stop()
	}
}

func chromiumPath(t *testing.T) string {
	t.Helper()
	return testenv.Command(t, "chromium", "chromium", "chromium-browser", "google-chrome")
}

// newChromium starts one that knows the hosts of the rules.
func newChromium(path, hosts string, flags ...chromedp.ExecAllocatorOption) (context.Context, func(), error) {
	dir, err := os.MkdirTemp("", "deployment-chromium-")
	if err != nil {
		return nil, func() {}, err
	}
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, // CI runs as root
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", hosts),
		chromedp.WSURLReadTimeout(60 * time.Second),
	}, flags...)...)
	ctx, cancel := chromedp.NewContext(alloc)
	stop := func() {
		cancel()
		cancelAlloc()
		_ = os.RemoveAll(dir)
	}
	return ctx, stop, chromedp.Do(ctx, chromedp.Navigate("about:blank"))
}

// A tab is one page in a fresh profile, on the server p. Everything secret that
// goes over its address bar is noted.
type tab struct {
	*program
	ctx    context.Context
	origin string // of the pages; "": the program's own

	logged sync.Mutex
	lines  []string
}

const watchViolations = `
	self.__violations = [];
	document.addEventListener('securitypolicyviolation', e => self.__violations.push(e.effectiveDirective + ' ' + e.blockedURI));`

func (p *program) tab() *tab {
	p.t.Helper()
	return p.tabIn(chromium(p.t))
}

func (p *program) tabIn(browser context.Context) *tab {
	p.t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p.t.Cleanup(cancel)
	tb := &tab{program: p, ctx: ctx}
	tb.before(watchViolations)
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}))
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	go func() { // ends with the context
		for m, err := range console {
			if err != nil {
				return
			}
			tb.logged.Lock()
			tb.lines = append(tb.lines, m.String()+" "+m.URL)
			tb.logged.Unlock()
		}
	}()
	go func() { // ends with the context
		for e, err := range requests {
			if err != nil {
				return
			}
			p.secretsOf(e.Request.URL)
		}
	}()
	return tb
}

// console is what the page and the browser complained of so far; a policy
// violation is in it too, whatever page it was on.
func (tb *tab) console() []string {
	tb.logged.Lock()
	defer tb.logged.Unlock()
	return append([]string(nil), tb.lines...)
}

// quiet fails the test if there was a violation, or any line in the console that
// has none of the expected texts.
func (tb *tab) quiet(expected ...string) {
	tb.t.Helper()
	assert.Empty(tb.t, eval[[]string](tb, `self.__violations`))
	for _, line := range tb.console() {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(line, e)
		}
		assert.True(tb.t, known, "console: %s", line)
	}
}

const limit = 20 * time.Second

func (tb *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.fatal(err)
	}
}

func (tb *tab) fatal(err error) {
	tb.t.Helper()
	tb.t.Fatalf("%v\nconsole:\n%s", err, strings.Join(tb.console(), "\n"))
}

func (tb *tab) open(path string) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(cmp.Or(tb.origin, tb.url)+path)); err != nil {
		tb.fatal(fmt.Errorf("open %s: %w", path, err))
	}
}

// eval runs a script in the page and waits for its promise.
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

// until waits until the script's value is true, also over navigations.
func (tb *tab) until(script string) {
	tb.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) { // another process, real time
		ctx, cancel := context.WithTimeout(tb.ctx, limit)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!(`+script+`)`))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			tb.fatal(fmt.Errorf("never true: %s (%v)\npage: %s", script, err, eval[string](tb, `location.pathname + document.body.outerHTML`)))
		}
	}
}

// click clicks as soon as the element is there.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf(`document.querySelector(%q)`, selector))
	eval[any](tb, fmt.Sprintf(`document.querySelector(%q).click()`, selector))
}

// send fills a field and submits its form.
func (tb *tab) send(selector, text string) {
	tb.t.Helper()
	tb.until(fmt.Sprintf(`document.querySelector(%q)`, selector))
	eval[any](tb, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %s; e.form.requestSubmit(); })()`, selector, quoted(text)))
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// press presses a key as a user does.
func (tb *tab) press(key string) { tb.run(chromedp.KeyEvent(key)) }

const tabKey, enterKey = kb.Tab, kb.Enter

// scheme switches between light and dark, at once.
func (tb *tab) scheme(value string) {
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return err
	}))
}

func (tb *tab) width(pixels int64) {
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride,
			emulation.SetDeviceMetricsOverrideParams{Width: pixels, Height: 800, DeviceScaleFactor: 1})
		return err
	}))
}

// before runs a script in every document before the document's own.
func (tb *tab) before(script string) {
	tb.run(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// login begins on the page that is open, and ends on the page "until".
func (tb *tab) login(provider, user, path string) {
	tb.t.Helper()
	tb.click(`[data-provider=` + provider + `]`)
	tb.until(`location.pathname === '/dev/idp/` + provider + `/authorize'`)
	tb.click(`#user-` + user)
	tb.until(`location.pathname === ` + quoted(path) + ` && document.querySelector('#account summary')`)
	raw := eval[string](tb, `sessionStorage.getItem('gatehouse.session') ?? '{}'`)
	var kept struct{ Token string }
	if err := json.Unmarshal([]byte(raw), &kept); err != nil {
		tb.fatal(err)
	}
	tb.secret("the token of the page", kept.Token)
}
