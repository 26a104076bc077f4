package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func heading(text string) string {
	return `document.querySelector('#view h1')?.textContent === ` + quoted(text)
}

func TestBothProvidersLogInOnOneOrigin(t *testing.T) {
	p := start(t, t.TempDir())
	for _, provider := range []string{"google", "microsoft"} {
		tb := p.tab()
		tb.open("/")
		tb.until(heading("Come in."))
		tb.login(provider, "ada", "/threads")
		assert.Equal(t, "Ada Lovelace", eval[string](tb, `document.querySelector('#account summary').textContent`))
		assert.Empty(t, eval[string](tb, `location.search + location.hash`))
		assert.Nil(t, eval[any](tb, `sessionStorage.getItem('gatehouse.login')`), "the verifier is gone")
		assert.Empty(t, eval[string](tb, `document.cookie`))

		// The same person at two providers is two users.
		tb.until(heading("Threads"))
		assert.Equal(t, 0, eval[int](tb, `document.querySelectorAll('.threads li').length`))
		tb.send("#new-thread", "of "+provider)
		tb.until(heading("of " + provider))
		tb.quiet()
	}
}

func TestAThreadFromItsTitleToItsDeletion(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/")
	tb.login("google", "alan", "/threads")
	tb.send("#new-thread", "On <b>computable</b> numbers")
	tb.until(heading("On <b>computable</b> numbers"))
	path := eval[string](tb, `location.pathname`)
	assert.Regexp(t, `^/threads/[0-9a-f-]{36}$`, path)

	markup := "line one\n<img src=x onerror=\"self.hacked = 1\"><script>self.hacked = 1</script>"
	written := `document.querySelectorAll('.message:not([aria-busy]) .text').length === `
	tb.send("#message", markup)
	tb.until(written + `2 && document.querySelector('#send').getAttribute('aria-disabled') === null`) // the question and its answer
	eval[any](tb, `(() => {
		const e = document.querySelector('#message'); e.value = 'second';
		e.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, bubbles: true}));
	})()`)
	tb.until(written + `4`)
	assert.Equal(t, markup, eval[string](tb, `document.querySelector('.message .text').textContent`))
	assert.Contains(t, eval[string](tb, `document.querySelector('.message.assistant .text').textContent`), "<script>self.hacked = 1</script>")
	assert.Equal(t, 0, eval[int](tb, `document.querySelectorAll('.message img, .message script').length`))

	tb.click(`.message:nth-child(3) [aria-label="Edit this message"]`)
	tb.send(`.message textarea`, "second, changed")
	tb.until(`document.querySelector('.message:nth-child(3) .text')?.textContent === 'second, changed'`)
	assert.Equal(t, "Edit", eval[string](tb, `document.activeElement.textContent`), "the focus is where it was")
	for left := 3; left > 1; left-- {
		tb.click(`.message:nth-child(1) [aria-label="Delete this message"]`)
		tb.click(`dialog .danger`)
		tb.until(fmt.Sprintf(`document.querySelectorAll('.message').length === %d && !document.querySelector('dialog')`, left))
	}

	tb.click(`.heading .actions button`)
	tb.send(`#dialog-field`, "Renamed")
	tb.until(heading("Renamed"))

	// Reload, and the deep link.
	eval[any](tb, `location.reload()`)
	tb.until(heading("Renamed") + ` && performance.getEntriesByType('navigation')[0].type === 'reload'`)
	tb.open(path)
	tb.until(heading("Renamed") + ` && document.querySelector('.message .text')?.textContent === 'second, changed'`)
	assert.Equal(t, "Renamed · Gatehouse", eval[string](tb, `document.title`))

	tb.click(`.heading .danger`)
	tb.click(`dialog .danger`)
	tb.until(heading("Threads") + ` && !document.querySelector('.threads')`)
	assert.False(t, eval[bool](tb, `'hacked' in self`))
	tb.quiet()
}

func TestADeepLinkLeadsThroughTheLoginAndBack(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client()
	c.login("microsoft", "ada")
	id, _ := c.do("POST", "/api/threads", object{"title": "linked"}).json(t)["id"].(string)
	require.NotEmpty(t, id)

	tb := p.tab()
	tb.open("/threads/" + id)
	tb.until(heading("Come in."))
	tb.login("microsoft", "ada", "/threads/"+id)
	tb.until(heading("linked"))
	tb.quiet()

	// To anybody else it does not exist.
	other := p.tab()
	other.open("/threads/" + id)
	other.login("microsoft", "alan", "/threads/"+id)
	other.until(`document.querySelector('.failure h2')?.textContent === 'Not found'`)
	other.quiet("404 (Not Found)")
}

func TestALongListIsShownPageByPage(t *testing.T) {
	p := start(t, t.TempDir(), "RATE_LIMIT_DEFAULT=1000/minute")
	c := p.client()
	c.login("google", "ada")
	for i := range 60 {
		require.Equal(t, 201, c.do("POST", "/api/threads", object{"title": fmt.Sprint("number ", i)}).StatusCode)
	}
	tb := p.tab()
	tb.open("/")
	tb.login("google", "ada", "/threads")
	tb.until(`document.querySelectorAll('.threads li').length === 50`)
	tb.click(".threads + .slot button")
	tb.until(`document.querySelectorAll('.threads li').length === 60 && !document.querySelector('.threads + .slot button')`)
	assert.Equal(t, "number 0", eval[string](tb, `document.querySelector('.threads li:last-child a').textContent`))
	assert.Equal(t, "number 9", eval[string](tb, `document.activeElement.textContent`), "the focus goes on where the list went on")
	tb.quiet()
}

func TestTheTokenIsRenewedWhileThePageIsOpen(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.before(`const later = setTimeout; self.setTimeout = (f, ms) => later(f, ms > 60000 ? 500 : ms)`) // in a hurry
	tb.open("/")
	tb.login("google", "ada", "/threads")
	first := eval[string](tb, `sessionStorage.getItem('gatehouse.session')`)
	tb.until(`sessionStorage.getItem('gatehouse.session') !== ` + quoted(first))
	tb.send("#new-thread", "with the new token")
	tb.until(heading("with the new token"))
	tb.quiet()
	assert.Contains(t, p.text(), `"/auth/refresh"`)
}

func TestLogOutEndsTheSession(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/")
	tb.login("google", "ada", "/threads")
	tb.click("#account summary")
	tb.click("#logout")
	tb.until(heading("Come in."))
	assert.Equal(t, 0, eval[int](tb, `sessionStorage.length`))
	assert.False(t, eval[bool](tb, `!!document.querySelector('#account summary')`))
	eval[any](tb, `history.back()`)
	tb.until(heading("Come in."))
	tb.open("/threads")
	tb.until(heading("Come in."))
	tb.quiet()
}

func TestLogOutOnAllDevicesEndsTheOtherSession(t *testing.T) {
	p := start(t, t.TempDir())
	one, two := p.tab(), p.tab()
	for _, tb := range []*tab{one, two} {
		tb.open("/")
		tb.login("google", "ada", "/threads")
	}
	one.click("#account summary")
	one.click("#logout-everywhere")
	one.until(heading("Come in."))
	one.quiet()
	two.send("#new-thread", "unsaved")
	two.until(`document.querySelector('.failure h2')?.textContent === 'Log in first'`)
	assert.Equal(t, "unsaved", eval[string](two, `document.querySelector('#new-thread').value`), "what was typed stays")
	two.click(`nav a[href="/threads"]`)
	two.until(heading("Come in."))
	two.quiet("401 (Unauthorized)")
}

func TestALoginThatIsNotFinishedIsToldInWords(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/")
	tb.click(`[data-provider=google]`)
	tb.click(`#cancel`)
	tb.until(`document.querySelector('.failure p')?.textContent.startsWith('You did not allow it')`)
	assert.Equal(t, "/auth/callback", eval[string](tb, `location.pathname + location.search`))
	tb.login("google", "alan", "/threads")

	// A link with somebody else's code would log the user in to that one's account.
	stranger := p.tab()
	before := strings.Count(p.text(), `"/auth/token"`)
	stranger.open("/auth/callback?code=" + strings.Repeat("A", 43) + "&state=" + strings.Repeat("B", 43))
	stranger.until(`document.querySelector('.failure p')?.textContent.startsWith('It was begun in another tab')`)
	assert.Equal(t, "/auth/callback", eval[string](stranger, `location.pathname + location.search`), "cleared")
	assert.Equal(t, before, strings.Count(p.text(), `"/auth/token"`), "it was not even tried")
	stranger.open("/auth/callback?error=<b>your+bank</b>")
	stranger.until(`document.querySelector('.failure')`)
	assert.NotContains(t, eval[string](stranger, `document.body.textContent`), "bank")
	tb.quiet()
	stranger.quiet()
}

func TestARefusalByTheLimitsSaysHowLongToWait(t *testing.T) {
	p := start(t, t.TempDir(), "RATE_LIMIT_DEFAULT=20/minute")
	tb := p.tab()
	tb.open("/stack")
	tb.until(heading("How this request was decided"))
	tb.until(`document.querySelector('.meters meter')`)
	tb.click("#until-refused")
	tb.until(`document.querySelector('.failure h2')?.textContent === 'Too many requests'`)
	assert.Regexp(t, `^You can try again in \d+ seconds?\.$`, eval[string](tb, `document.querySelector('.failure .wait [aria-hidden]').textContent`))
	assert.Equal(t, "true", eval[string](tb, `document.querySelector('.failure button').getAttribute('aria-disabled')`))
	id := eval[string](tb, `document.querySelector('.failure code').textContent`)
	assert.Equal(t, "alert", eval[string](tb, `document.querySelector('.failure').getAttribute('role')`))
	tb.until(`document.querySelector('.failure button').getAttribute('aria-disabled') === null`)
	tb.click(".failure button")
	tb.until(`!document.querySelector('.failure') || document.querySelector('.failure code').textContent !== ` + quoted(id))
	tb.quiet("429 (Too Many Requests)")

	p.end(syscall.SIGTERM)
	status := 0.0
	for _, line := range p.lines() {
		if line["correlation_id"] == id {
			status, _ = line["http.response.status_code"].(float64)
		}
	}
	assert.EqualValues(t, 429, status, "the ID that the page shows is in the log")
}

func TestAServerThatIsGoneIsToldInWords(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/stack")
	tb.until(`document.querySelector('.facts')`)
	p.end(syscall.SIGTERM)
	tb.click(".row button.primary")
	tb.until(`document.querySelector('.failure h2')?.textContent === 'The server does not answer'`)
	tb.quiet("ERR_CONNECTION")
}

func TestThePageShowsWhatTheAnswerSays(t *testing.T) {
	p := start(t, t.TempDir())
	tb := p.tab()
	tb.open("/stack")
	tb.until(`document.querySelectorAll('.facts').length === 2`)
	shown := eval[string](tb, `document.querySelector('#view').innerText`)
	resp := p.client().do("GET", "/api/stack", nil)
	for _, header := range []string{"Content-Security-Policy", "Permissions-Policy", "Cross-Origin-Opener-Policy", "Referrer-Policy"} {
		require.NotEmpty(t, resp.Header.Get(header))
		assert.Contains(t, shown, resp.Header.Get(header), header)
	}
	assert.Contains(t, shown, "127.0.0.1")
	assert.Regexp(t, `\d+ of 100 left`, shown)
	assert.Regexp(t, `\d+ of 1000 left`, shown)
	tb.click(".row button.primary")
	tb.until(`document.querySelector('.last .request').textContent === 'GET /api/stack'`)
	strip := eval[string](tb, `document.querySelector('.last').innerText`)
	assert.Regexp(t, `(?s)200.*GET /api/stack.*[0-9a-f-]{36}.*\d+ of 100 requests left`, strip)
	tb.quiet()
}

func TestTokenInACookie(t *testing.T) {
	p := start(t, t.TempDir(), "TOKEN_DELIVERY=cookie")
	tb := p.tab()
	tb.open("/")
	tb.until(heading("Come in."))
	tb.login("microsoft", "alan", "/threads")
	assert.Empty(t, eval[string](tb, `document.cookie`), "no script reads it")
	assert.Nil(t, eval[any](tb, `sessionStorage.getItem('gatehouse.session')`))
	tb.send("#new-thread", "by cookie")
	tb.until(heading("by cookie"))
	tb.send("#message", "Who am I?")
	tb.shown("Who am I?") // the stream has the cookie too
	eval[any](tb, `location.reload()`)
	tb.until(heading("by cookie") + ` && document.querySelector('#account summary')`)

	forged := p.client().do("POST", "/api/threads", object{"title": "x"}, set(map[string]string{
		"Sec-Fetch-Site": "cross-site", "Origin": "https://attacker.example",
	}))
	assert.Equal(t, 403, forged.StatusCode)

	tb.click("#account summary")
	tb.click("#logout")
	tb.until(heading("Come in."))
	tb.open("/threads")
	tb.until(heading("Come in."))
	tb.quiet("401 (Unauthorized)") // how the page learns that there is no session
}
