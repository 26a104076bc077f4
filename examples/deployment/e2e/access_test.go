package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Every page, logged in.
var pages = []string{"/threads", "/thread", "/stack", "/nowhere"}

func (tb *tab) page(name string) {
	tb.t.Helper()
	switch name {
	case "/thread":
		tb.open("/threads")
		tb.send("#new-thread", "One of many")
		tb.send("#message", "hello")
		tb.until(`document.querySelector('.message.assistant:not([aria-busy])')`)
	default:
		tb.open(name)
		tb.until(`document.querySelector('#view h1') && document.querySelector('#account summary')`)
	}
}

func TestTheFocusFollowsTheRoute(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/")
	tb.login("google", "ada", "/threads")
	tb.open("/threads")
	tb.until(heading("Threads"))
	assert.Equal(t, "BODY", eval[string](tb, `document.activeElement.tagName`), "the first page is the browser's")
	tb.press(tabKey)
	assert.Equal(t, "Skip to the content", eval[string](tb, `document.activeElement.textContent`))
	assert.GreaterOrEqual(t, eval[float64](tb, `document.activeElement.getBoundingClientRect().top`), 0.0, "and it is seen")
	tb.press(enterKey)
	assert.Equal(t, "/threads MAIN", eval[string](tb, `location.pathname + ' ' + document.activeElement.tagName`))
	eval[any](tb, `document.querySelector('.brand').focus()`)
	for range 2 {
		tb.press(tabKey)
	}
	assert.Equal(t, "How it was decided", eval[string](tb, `document.activeElement.textContent`))
	tb.press(enterKey)
	tb.until(heading("How this request was decided"))
	assert.Equal(t, "H1", eval[string](tb, `document.activeElement.tagName`), "a screen reader begins with the new page")
	assert.Equal(t, "/stack", eval[string](tb, `document.querySelector('nav [aria-current=page]').pathname`))
	assert.Equal(t, "How this request was decided · Gatehouse", eval[string](tb, `document.title`))
	eval[any](tb, `history.back()`)
	tb.until(heading("Threads"))
	assert.Equal(t, "H1", eval[string](tb, `document.activeElement.tagName`))
	tb.quiet()
}

// What every page must have; the value is what is wrong.
const structure = `(() => {
	const wrong = [];
	const need = (ok, what) => { if (!ok) wrong.push(what); };
	for (const [selector, n] of [['h1', 1], ['main', 1], ['header', 1], ['nav[aria-label]', 1], ['[role=status]#news', 1]]) {
		need(document.querySelectorAll(selector).length === n, selector);
	}
	need(document.documentElement.lang, 'lang');
	const seen = e => e.checkVisibility();
	for (const e of document.querySelectorAll('input, textarea')) if (seen(e)) need(e.labels?.length || e.ariaLabel, 'label of ' + e.outerHTML);
	for (const e of document.querySelectorAll('button, a, summary')) if (seen(e)) need(e.textContent.trim() || e.ariaLabel, 'name of ' + e.outerHTML);
	for (const e of document.querySelectorAll('button, input, textarea, summary')) if (seen(e)) need(e.getBoundingClientRect().height >= 24, 'small: ' + e.outerHTML);
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	need(new Set(ids).size === ids.length, 'double id');
	let last = 0;
	for (const e of document.querySelectorAll('h1, h2, h3')) { const l = +e.tagName[1]; need(l <= last + 1, 'skipped level: ' + e.textContent); last = l; }
	need(document.documentElement.scrollWidth <= innerWidth, 'wider than the window');
	return wrong;
})()`

// Text with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3), with the formula of
// the standard.
const contrast = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
	const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
	const luminance = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
	const weak = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility() || e.closest('.hidden, noscript, [aria-disabled=true]')) continue;
		const [a, b] = [luminance(rgba(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) weak.push(ratio.toFixed(2) + ' ' + n.data.trim());
	}
	return weak;
})()`

func TestEveryPageCanBeReadAndOperated(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/")
	tb.until(heading("Come in."))
	check := func(name string) {
		for _, scheme := range []string{"light", "dark"} {
			tb.scheme(scheme)
			assert.Empty(t, eval[[]string](tb, contrast), "contrast of %s, %s", name, scheme)
		}
		for _, width := range []int64{360, 1200} {
			tb.width(width)
			assert.Empty(t, eval[[]string](tb, structure), "%s, %d pixels wide", name, width)
		}
	}
	check("log in")
	tb.login("google", "ada", "/threads")
	for _, name := range pages {
		tb.page(name)
		check(name)
	}
	tb.page("/thread")
	tb.click(".heading .danger")
	tb.until(`document.querySelector('dialog')?.open`)
	check("a dialog")
	assert.Equal(t, "Cancel", eval[string](tb, `document.activeElement.textContent`), "Enter does not delete")
	tb.quiet()
}
