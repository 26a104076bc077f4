package e2e_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A wire is a TCP proxy in front of the program that can be cut.
type wire struct {
	to    string
	ln    net.Listener
	mu    sync.Mutex
	open  map[net.Conn]bool
	dead  bool // takes no connection
	ended sync.WaitGroup
}

func newWire(t *testing.T) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	w := &wire{ln: ln, open: map[net.Conn]bool{}}
	w.ended.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.ended.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		w.cut()
		w.ended.Wait()
	})
	return w
}

func (w *wire) url() string {
	_, port, _ := net.SplitHostPort(w.ln.Addr().String())
	return "http://localhost:" + port
}

func (w *wire) carry(c net.Conn) {
	defer c.Close()
	w.mu.Lock()
	to, dead := w.to, w.dead
	w.open[c] = true
	w.mu.Unlock()
	if dead {
		return
	}
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	w.ended.Go(func() {
		_, _ = io.Copy(s, c)
		_ = s.Close()
	})
	_, _ = io.Copy(c, s)
}

// lead sends connections to the program from now on.
func (w *wire) lead(p *program) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = strings.TrimPrefix(p.url, "http://")
}

// cut resets every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	clear(w.open)
}

// die cuts and takes no connection for a while.
func (w *wire) die(d time.Duration) {
	w.set(true)
	w.cut()
	time.Sleep(d) // another process, real time
	w.set(false)
}

func (w *wire) set(dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = dead
}

// wired starts the program behind a wire, and opens a new thread over it.
func wired(t *testing.T, env ...string) (*program, *wire, *tab) {
	t.Helper()
	w := newWire(t)
	p := start(t, t.TempDir(), append([]string{"BACKEND_URL=" + w.url()}, env...)...)
	w.lead(p)
	tb := p.tab()
	tb.origin = w.url()
	tb.open("/")
	tb.login("google", "ada", "/threads")
	tb.send("#new-thread", "A talk")
	tb.until(heading("A talk"))
	return p, w, tb
}

// long is a text that the echo, which says it again, takes some time for.
func long(words int) string {
	all := make([]string, words)
	for i := range all {
		all[i] = fmt.Sprint("wörd", i)
	}
	return strings.Join(all, " ") + "."
}

// questions counts the paid calls.
func (p *program) questions() (n int) {
	for _, line := range p.lines() {
		if path, _ := line["url.path"].(string); strings.HasSuffix(path, "/chat") && line["http.request.method"] == "POST" {
			n++
		}
	}
	return n
}

const assistantText = `(document.querySelector('.message.assistant .text')?.textContent ?? '')`

func TestAnAnswerComesWholeThroughANetworkThatBreaks(t *testing.T) {
	t.Parallel()
	p, w, tb := wired(t, "STREAM_MAX=1500ms")
	question := long(150) // three seconds of the echo's time
	tb.send("#message", question)
	tb.until(assistantText + `.length > 100`)
	assert.False(t, eval[bool](tb, `document.querySelector('#stop').hidden`))
	w.cut()
	tb.until(assistantText + `.length > 400`)
	w.die(300 * time.Millisecond)
	tb.until(assistantText + `.length > 600`)
	eval[any](tb, `location.reload()`) // in mid-answer
	tb.until(`performance.getEntriesByType('navigation')[0].type === 'reload' && ` + assistantText + `.length > 600`)
	tb.until(`!document.querySelector('[aria-busy]') && ` + assistantText)
	said := eval[string](tb, assistantText)
	assert.Equal(t, 1, strings.Count(said, question), "whole, once")
	saved := eval[string](tb, `location.pathname`)
	c := p.client()
	c.token = eval[string](tb, `JSON.parse(sessionStorage.getItem('gatehouse.session')).token`)
	messages, _ := c.do("GET", "/api"+saved+"/messages", nil).json(t)["messages"].([]any)
	require.Len(t, messages, 2)
	answer, _ := messages[1].(object)
	assert.Equal(t, answer["content"], said, "what is shown is what is saved")
	assert.Equal(t, "done", answer["state"])
	assert.Equal(t, 1, p.questions(), "and paid for once")
	for _, line := range tb.console() { // what the network did, and nothing else
		assert.Regexp(t, `net::ERR_`, line)
	}
	assert.Empty(t, eval[[]string](tb, `self.__violations`))
}

// The program is replaced by another while it writes: the page is told, and gets
// the rest from the other, which reads it in the database. Nobody notices.
func TestAnAnswerOutlivesTheReplacementOfItsServer(t *testing.T) {
	t.Parallel()
	p, w, tb := wired(t)
	question := long(250)
	tb.send("#message", question)
	tb.until(assistantText + `.length > 50`)
	next := start(t, p.dir, "BACKEND_URL="+w.url()) // its own PORT, the same database
	w.lead(next)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	tb.shown(question)
	assert.Equal(t, 1, p.questions())
	assert.Zero(t, next.questions())
	assert.Contains(t, next.text(), "/stream", "the page came to it")
	tb.quiet()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Error("the old one still runs")
	}
}

func TestAnAnswerCanBeStopped(t *testing.T) {
	t.Parallel()
	p, _, tb := wired(t)
	question := long(1000) // twenty seconds
	tb.send("#message", question)
	tb.until(assistantText + `.length > 50`)
	tb.click("#stop")
	tb.until(`document.querySelector('.message .ending')?.textContent.startsWith('Stopped.')`)
	said := eval[string](tb, assistantText)
	assert.Less(t, len(said), len(question)/2)
	tb.until(`document.querySelector('#stop').hidden && document.querySelector('#send').getAttribute('aria-disabled') === null`)
	eval[any](tb, `location.reload()`)
	tb.until(`performance.getEntriesByType('navigation')[0].type === 'reload' && document.querySelector('.message .ending')?.textContent.startsWith('Stopped.')`)
	assert.Equal(t, said, eval[string](tb, assistantText), "what was there is kept")
	assert.Equal(t, 1, p.questions())
	tb.quiet()
}

// The limits themselves are tested elsewhere; this is what their refusals look like.
func TestTheLimitsOfChatAreToldInWords(t *testing.T) {
	t.Parallel()
	p, _, tb := wired(t, "RATE_LIMIT_AI=2/hour", "AI_CONCURRENT=1")
	failure := func(tb *tab) string {
		tb.t.Helper()
		tb.until(`document.querySelector('.composer .failure')`)
		return eval[string](tb, `[...document.querySelectorAll('.failure h2, .failure p:not(.fine):not(.wait), .failure .wait .hidden')].map((e) => e.textContent).join(' / ')`)
	}
	tb.send("#message", long(1000))
	tb.until(assistantText + `.length > 50`)
	tb.until(`document.querySelector('.last .limit').textContent === '1 of 2 questions left'`)
	second := p.tab()
	second.origin = tb.origin
	second.open("/")
	second.login("google", "ada", "/threads")
	second.send("#new-thread", "Another")
	second.until(heading("Another"))
	second.send("#message", "And you?")
	assert.Regexp(t, `^Other answers are still coming / The server writes (1|only so many) at once for you\. Stop one, or wait until it has ended\. / You can try again in \d+ seconds?\.$`, failure(second))
	tb.click("#stop")
	tb.until(`document.querySelector('.message .ending')`)
	second.until(`document.querySelector('#send').getAttribute('aria-disabled') === null`)
	eval[any](second, `document.querySelector('#message').form.requestSubmit()`) // the text is still there
	second.until(`document.querySelector('.message.assistant:not([aria-busy])')`)
	tb.send("#message", "Too much?")
	assert.Regexp(t, `^Enough questions for now / You can ask 2 in an hour\. / You can try again in (2\d|30) minutes\.$`, failure(tb))
	assert.Equal(t, "true", eval[string](tb, `document.querySelector('#send').getAttribute('aria-disabled')`))
	tb.quiet("429 (Too Many Requests)")
	second.quiet("429 (Too Many Requests)")
}

func TestTheBudgetOfADayIsToldInWords(t *testing.T) {
	t.Parallel()
	_, _, tb := wired(t, "RATE_LIMIT_AI_TOKENS=2000/day", "AI_MAX_TOKENS=2000")
	tb.send("#message", long(40))
	tb.until(assistantText + `.length > 50`)
	tb.until(`document.querySelector('.message.assistant:not([aria-busy])')`)
	tb.send("#message", "More?")
	tb.until(`document.querySelector('.composer .failure')`)
	assert.Equal(t, "Your budget for answers is used up", eval[string](tb, `document.querySelector('.failure h2').textContent`))
	assert.Regexp(t, `^You can try again in \d+ (hours?|minutes?)\.$`, eval[string](tb, `document.querySelector('.failure .wait .hidden').textContent`))
}
