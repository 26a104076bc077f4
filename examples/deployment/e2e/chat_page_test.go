package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/web"
	"github.com/gatehouse-go/gatehouse/secheaders"
	"github.com/gatehouse-go/gatehouse/spa"
)

// A connection is what a stand-in for the server does with one stream: it sends
// the text up to a byte, and ends it in some way.
type connection struct {
	until int    // of the text's bytes; -1: all
	back  int    // begins so many bytes before what was asked for
	end   string // "done", "failed", "reconnect", "cut", "silence"
	early bool   // ends before the first event
	code  int    // answers with this status instead
	head  map[string]string
	body  string
}

// A standIn speaks the protocol of the chat and has every fault that the real
// server shows seldom.
type standIn struct {
	text        string
	connections []connection // the first is the answer to the question

	mu       sync.Mutex
	posts    int
	attached []string // the Last-Event-ID of each
	stopped  int
	messages []object
}

const (
	standInThread = "0198aaaa-0000-7000-8000-000000000001"
	standInAnswer = "0198aaaa-0000-7000-8000-00000000000a"
)

func (s *standIn) message(id, role, content, state string) object {
	return object{"id": id, "thread_id": standInThread, "role": role, "content": content, "state": state, "created_at": time.Now().UTC()}
}

// page starts the stand-in, behind the real app and the real headers, and opens
// the thread in a tab that is logged in.
func (s *standIn) page(t *testing.T) *tab {
	t.Helper()
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, encoded(v))
	}
	thread := "/api/threads/" + standInThread
	mux.HandleFunc("GET /auth/providers", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"delivery": "code", "providers": []object{}})
	})
	mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"id": "1", "name": "Ada Lovelace", "email": "ada@example.com"})
	})
	mux.HandleFunc("GET "+thread, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"id": standInThread, "title": "A talk", "created_at": time.Now()})
	})
	mux.HandleFunc("GET "+thread+"/messages", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		at := slices.IndexFunc(s.messages, func(m object) bool { return m["id"] == r.FormValue("after") })
		reply(w, object{"messages": append([]object{}, s.messages[at+1:]...)})
	})
	mux.HandleFunc("POST "+thread+"/chat", s.ask)
	mux.HandleFunc("GET "+thread+"/messages/{mid}/stream", s.attach)
	mux.HandleFunc("DELETE "+thread+"/messages/{mid}/stream", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stopped++
		w.WriteHeader(http.StatusNoContent)
	})
	app, err := spa.New(spa.Config{FS: web.FS})
	require.NoError(t, err)
	headers, err := secheaders.New(secheaders.Default())
	require.NoError(t, err)
	server := httptest.NewServer(headers.Handler(app.Handler(mux)))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // a stream may be silent
	tb := (&program{t: t, url: server.URL, secrets: map[string]string{}}).tab()
	tb.before(`sessionStorage.setItem('gatehouse.session', JSON.stringify({token: 'a-token', until: Date.now() + 1e7}));
		const random = Math.random; Math.random = () => random() / 10;`)
	tb.open("/threads/" + standInThread)
	tb.until(heading("A talk"))
	return tb
}

// asked is how often a question came.
func (s *standIn) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// resumed are the Last-Event-IDs with which the answer was taken up again.
func (s *standIn) resumed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attached)
}

// whole is the byte at or after n where a character begins, or the end for -1.
func (s *standIn) whole(n int) int {
	if n < 0 {
		return len(s.text)
	}
	for n < len(s.text) && !utf8.RuneStart(s.text[n]) {
		n++
	}
	return min(n, len(s.text))
}

func (s *standIn) ask(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.posts++
	c := s.connections[0]
	if c.code == 0 {
		content := strings.TrimSuffix(strings.TrimPrefix(string(body), `{"content":"`), `"}`)
		s.messages = append(s.messages, s.message("0198aaaa-0000-7000-8000-000000000009", "user", content, "done"),
			s.message(standInAnswer, "assistant", "", "streaming"))
	}
	s.mu.Unlock()
	s.serve(w, r, c, 0)
}

func (s *standIn) attach(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept") == "application/json" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, encoded(object{"message": s.message(standInAnswer, "assistant", s.text, "stopped")}))
		return
	}
	s.mu.Lock()
	s.attached = append(s.attached, r.Header.Get("Last-Event-ID"))
	c := s.connections[min(len(s.attached), len(s.connections)-1)]
	s.mu.Unlock()
	from, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	s.serve(w, r, c, from)
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request, c connection, from int) {
	if c.code != 0 {
		for name, value := range c.head {
			w.Header().Set(name, value)
		}
		w.WriteHeader(c.code)
		_, _ = io.WriteString(w, c.body)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	_, _ = io.WriteString(w, "retry: 100\n\n: hello\n\n")
	_ = flush()
	if c.early {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "event: message\ndata: %s\n\n", encoded(object{
		"user_message": s.message("0198aaaa-0000-7000-8000-000000000009", "user", "How?", "done"),
		"message":      s.message(standInAnswer, "assistant", "", "streaming"),
	}))
	until := s.whole(c.until)
	for at := s.whole(max(0, from-c.back)); at < until; {
		to := at + 1
		for to < until && (to-at < 7 || !utf8.RuneStart(s.text[to])) { // whole characters
			to++
		}
		fmt.Fprintf(w, "id: %d\nevent: delta\ndata: %s\n\n", to, encoded(object{"text": s.text[at:to]}))
		_ = flush()
		at = to
	}
	switch c.end {
	case "done":
		fmt.Fprintf(w, "event: done\ndata: %s\n\n", encoded(object{
			"message": s.message(standInAnswer, "assistant", s.text[:until], "done"), "usage": object{"input_tokens": 3, "output_tokens": 9},
		}))
	case "failed":
		fmt.Fprintf(w, "event: failed\ndata: %s\n\n", c.body)
	case "reconnect":
		_, _ = io.WriteString(w, "event: reconnect\ndata: {}\n\n")
	case "cut":
		_, _ = io.WriteString(w, "id: 100000\nevent: delta\ndata: {\"text\":\"half an ev")
		_ = flush()
		panic(http.ErrAbortHandler)
	case "silence":
		_ = flush()
		<-r.Context().Done()
	}
}

// shown waits until the answer is on the page, whole, and no longer being written.
func (tb *tab) shown(text string) {
	tb.t.Helper()
	tb.until(`document.querySelector('.message.assistant:not([aria-busy]) .text')?.textContent === ` + quoted(text))
}

const answerText = "Größe — “naïve” 日本語 👩‍👩‍👧 text. <b>Not bold</b> & <img src=x onerror='self.hacked = 1'>. " +
	"It goes on, sentence by sentence. Until it is done!\n\nAnd a second paragraph: 1, 2, 3."

func TestAnAnswerIsShownOnceHoweverItsConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{
		{until: 30, end: "reconnect"},
		{until: 70, end: "cut"},
		{until: 110, back: 20, end: "reconnect"}, // what is known already comes again
		{code: 502},
		{code: 503, head: map[string]string{"Retry-After": "1"}},
		{code: 200, body: "<p>a proxy's own page"},
		{until: 140, back: -9, end: "reconnect"}, // something is missing
		{until: -1, end: "done"},
	}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.shown(answerText)
	assert.Equal(t, 1, s.asked(), "a question costs money")
	require.Len(t, s.resumed(), 7)
	cut, err := strconv.Atoi(s.resumed()[1])
	require.NoError(t, err)
	assert.LessOrEqual(t, cut, 70, "what a cut connection still carried may be lost")
	at := strconv.Itoa(s.whole(110))
	assert.Equal(t, []string{"31", strconv.Itoa(cut), at, at, at, at, at}, s.resumed(), "where the page stands, to the byte")
	assert.Equal(t, 2, eval[int](tb, `document.querySelectorAll('.message').length`))
	assert.Equal(t, 0, eval[int](tb, `document.querySelectorAll('.message img, .message b').length`))
	assert.False(t, eval[bool](tb, `'hacked' in self`))
	assert.Empty(t, eval[string](tb, `document.querySelector('#message').value`))
	assert.Equal(t, []string{
		"Größe — “naïve” 日本語 👩‍👩‍👧 text.", "<b>Not bold</b> & <img src=x onerror='self.hacked = 1'>.",
		"It goes on, sentence by sentence.", "Until it is done!", "And a second paragraph:", "1, 2, 3.",
	}, spoken(tb), "each sentence is heard once")
	tb.until(`document.querySelector('#news').textContent === 'The answer is complete'`)
	tb.quiet("ERR_INCOMPLETE_CHUNKED_ENCODING", "502 (Bad Gateway)", "503 (Service Unavailable)")
}

// spoken is what a screen reader heard, by sentence.
func spoken(tb *tab) []string {
	var all []string
	for _, p := range eval[[]string](tb, `[...document.querySelectorAll('#spoken p')].map((p) => p.textContent)`) {
		for s := range strings.SplitSeq(strings.ReplaceAll(p, "! ", "!\n"), "\n") {
			for part := range strings.SplitAfterSeq(s, ". ") {
				if part = strings.TrimSpace(part); part != "" {
					all = append(all, part)
				}
			}
		}
	}
	return all
}

func encoded(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// Nothing is left to stream: how it ended is asked.
func TestAnAnswerThatEndedMeanwhileSaysHow(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{until: -1, end: "reconnect"}, {code: 204}}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.shown(answerText)
	assert.Equal(t, "Stopped. This is what was written until then.", eval[string](tb, `document.querySelector('.message .ending').textContent`))
	tb.quiet()
}

// What the page asked for while its answer was being written goes on after a
// reload, where it was.
func TestAPageThatIsLoadedWhileAnAnswerIsWrittenGoesOnWithIt(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{}, {until: 120, end: "reconnect"}, {until: -1, end: "done"}}}
	s.messages = []object{s.message("1", "user", "How?", "done"), s.message(standInAnswer, "assistant", answerText[:31], "streaming")}
	tb := s.page(t)
	tb.shown(answerText)
	assert.Zero(t, s.asked())
	assert.Equal(t, []string{"31", "120"}, s.resumed())
	tb.quiet()
}

// A line that is cut without a word, as by a phone that changes its network.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{until: 30, end: "silence"}, {until: -1, end: "done"}}}
	tb := s.page(t)
	eval[any](tb, `(() => { const later = setTimeout; self.setTimeout = (f, ms) => later(f, ms === 45000 ? 300 : ms); })()`)
	tb.send("#message", "How?")
	tb.shown(answerText)
	assert.Equal(t, 1, s.asked())
	assert.Equal(t, []string{"31"}, s.resumed())
	tb.quiet()
}

func TestAQuestionWhoseAnswerNeverBeganIsNotSentTwice(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{early: true}, {until: -1, end: "done"}}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.shown(answerText)
	assert.Equal(t, 1, s.asked(), "it was found among the messages")
	assert.Equal(t, []string{"0"}, s.resumed())
	assert.Empty(t, eval[string](tb, `document.querySelector('#message').value`))
	tb.quiet("ERR_INCOMPLETE_CHUNKED_ENCODING")
}

func TestARefusedQuestionSaysWhichLimitAndHowLong(t *testing.T) {
	t.Parallel()
	refused := func(policy string, wait int, policies string) connection {
		return connection{code: 429, body: encoded(object{
			"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "title": "x", "status": 429, "violated-policies": []string{policy},
		}), head: map[string]string{
			"Content-Type": "application/problem+json", "Retry-After": strconv.Itoa(wait), "RateLimit-Policy": policies,
		}}
	}
	tests := []struct {
		name               string
		answer             connection
		title, text, until string
	}{
		{"per minute", refused("ai", 40, `"user";q=100;w=60, "ai";q=10;w=60`), "Enough questions for now", "You can ask 10 in a minute.", "You can try again in 40 seconds."},
		{"two at once", refused("ai-streams", 1, `"ai";q=10;w=60, "ai-streams";q=2;qu="concurrent-requests"`), "Other answers are still coming", "The server writes 2 at once for you. Stop one, or wait until it has ended.", ""},
		{"today's budget", refused("ai-tokens", 10000, `"ai-tokens";q=200000;w=86400`), "Your budget for answers is used up", "It fills up again little by little, all of it within a day.", "You can try again in 3 hours."},
		{"minutes", refused("ai-minute", 600, ``), "Enough questions for now", "You can ask only so many in a time.", "You can try again in 10 minutes."},
		{"an unknown rule", refused("something", 40, ``), "Too many requests", "The server takes only so many requests in a time.", "You can try again in 40 seconds."},
		{"503", connection{code: 503, body: encoded(object{"title": "Service Unavailable", "status": 503, "detail": "No AI provider answers."}), head: map[string]string{
			"Content-Type": "application/problem+json", "Retry-After": "30",
		}}, "Not available right now", "No AI provider answers.", "You can try again in 30 seconds."},
	}
	s := &standIn{connections: []connection{{}}}
	tb := s.page(t)
	for i, tt := range tests {
		s.mu.Lock()
		s.connections[0] = tt.answer
		s.mu.Unlock()
		tb.open("/threads/" + standInThread)
		tb.send("#message", "How?")
		tb.until(`document.querySelector('.composer .failure')`)
		assert.Equal(t, tt.title, eval[string](tb, `document.querySelector('.failure h2').textContent`), tt.name)
		assert.Equal(t, tt.text, eval[string](tb, `document.querySelector('.failure p').textContent`), tt.name)
		assert.Equal(t, "How?", eval[string](tb, `document.querySelector('#message').value`), "%s: the text stays", tt.name)
		if tt.until == "" {
			tb.until(`document.querySelector('#send').getAttribute('aria-disabled') === null`)
			continue
		}
		assert.Equal(t, tt.until, eval[string](tb, `document.querySelector('.wait .hidden').textContent`), tt.name)
		assert.Equal(t, "true", eval[string](tb, `document.querySelector('#send').getAttribute('aria-disabled')`), tt.name)
		tb.send("#message", "How?")
		assert.Equal(t, i+1, s.asked(), "%s: held until then", tt.name)
	}
	tb.quiet("429 (Too Many Requests)", "503 (Service Unavailable)")
}

func TestAnAnswerThatBreaksOffSaysSo(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{until: 30, end: "failed", body: encoded(object{
		"status": 503, "title": "Service Unavailable", "detail": "The server was restarted before the answer was complete.",
	})}}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.until(`document.querySelector('.message .failure')`)
	assert.Equal(t, "The server was restarted before the answer was complete.", eval[string](tb, `document.querySelector('.failure p').textContent`))
	assert.Equal(t, answerText[:31], eval[string](tb, `document.querySelector('.message.assistant .text').textContent`), "what came is kept")
	tb.until(`document.querySelector('#send').getAttribute('aria-disabled') === null && document.querySelector('#stop').hidden`)

	// And whoever comes later sees it too.
	for state, words := range map[string]string{
		"failed": "This answer broke off. What was written until then is kept.", "stopped": "Stopped. This is what was written until then.",
	} {
		s := &standIn{}
		s.messages = []object{s.message(standInAnswer, "assistant", "Half", state)}
		tb := s.page(t)
		assert.Equal(t, words, eval[string](tb, `document.querySelector('.message .ending').textContent`))
		assert.Empty(t, s.resumed())
	}
}

func TestThePageGivesUpInTheEndAndCanTryAgain(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{until: 30, end: "reconnect"}, {code: 404}, {until: -1, end: "done"}}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.until(`document.querySelector('.message .failure h2')?.textContent === 'Not found'`)
	tb.click(".message .failure button")
	tb.shown(answerText)
	assert.Equal(t, 1, s.asked())
	assert.Equal(t, []string{"31", "31"}, s.resumed())
	tb.quiet("404 (Not Found)")
}

// A text without an end of a sentence is heard in parts, not all at the end.
func TestATextWithoutPunctuationIsHeardToo(t *testing.T) {
	t.Parallel()
	s := &standIn{text: strings.Repeat("word ", 200) + strings.Repeat("x", 900), connections: []connection{{until: -1, end: "done"}}}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.shown(s.text)
	parts := eval[[]string](tb, `[...document.querySelectorAll('#spoken p')].map((p) => p.textContent)`)
	assert.GreaterOrEqual(t, len(parts), 4)
	assert.Equal(t, strings.ReplaceAll(s.text, " ", ""), strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
}

// With every control of a streaming answer on the page.
func TestAnAnswerCanBeReadAndOperatedWhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := &standIn{text: answerText, connections: []connection{{until: 150, end: "silence"}}}
	s.messages = []object{s.message("1", "assistant", "Half", "failed"), s.message("2", "assistant", "Half", "stopped")}
	tb := s.page(t)
	tb.send("#message", "How?")
	tb.until(assistantText + ` && document.querySelector('[aria-busy] .text')?.textContent.length > 100`)
	for _, scheme := range []string{"light", "dark"} {
		tb.scheme(scheme)
		tb.until(`document.querySelector('#send').getAttribute('aria-disabled') === 'true'`)
		assert.Empty(t, eval[[]string](tb, contrast), scheme)
	}
	for _, width := range []int64{360, 1200} {
		tb.width(width)
		assert.Empty(t, eval[[]string](tb, structure), "%d pixels wide", width)
	}
	assert.Equal(t, "message", eval[string](tb, `document.activeElement.id`))
	tb.press(tabKey)
	assert.Equal(t, "stop", eval[string](tb, `document.activeElement.id`), "one step from the text")
	tb.press(enterKey)
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.stopped == 1
	}, 5*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{"status", "log"}, eval[[]string](tb, `['#news', '#spoken'].map((s) => document.querySelector(s).role)`), "both are polite")
	tb.quiet()
}

// The parser gets every stream whole, cut at every byte, and byte by byte: always
// the same events, those that the standard says (HTML, section 9.2.6).
func TestTheEventStreamParserDoesNotMindWhereItIsCut(t *testing.T) {
	t.Parallel()
	tb := (&standIn{}).page(t)
	names := eval[[]string](tb, `[...document.querySelectorAll('link[rel=modulepreload]')].map((l) => l.getAttribute('href')).filter((n) => n.startsWith('/assets/sse-'))`)
	require.Len(t, names, 1)
	tests := []struct{ name, stream, events string }{
		{"a delta", "id: 7\nevent: delta\ndata: {\"text\":\"é👩‍👧\"}\n\n", `delta|{"text":"é👩‍👧"}|7`},
		{"CRLF", "event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", `a|1|,message|2|`},
		{"CR", "event: a\rdata: 1\r\rdata: 2\r\r", `a|1|,message|2|`},
		{"mixed", "data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r", `message|1|,message|2|,message|3|`},
		{"comments and fields unknown", ": ping\n\n:\nfoo: bar\ndata: x\n: more\n\n", `message|x|`},
		{"several lines", "data: a\ndata:\ndata:  b\n\n", "message|a\n\n b|"},
		{"no colon", "data\n\ndata\ndata\n\n", "message||,message|\n|"},
		{"no data, no event", "event: x\n\ndata: 1\n\n", `message|1|`},
		{"the ID stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", `message|a|1,message|b|1,message|c|`},
		{"an ID with NUL", "id: 1\x00\ndata: a\n\n", `message|a|`},
		{"a BOM", "\ufeffdata: a\n\n", `message|a|`},
		{"no end", "data: a\n\ndata: b\n", `message|a|`},
		{"colons", "data: a: b\ndata::c\n\n", "message|a: b\n:c|"},
		{"retry", "retry: 2500\nretry: 1x\ndata: a\n\n", `message|a|`},
	}
	for _, tt := range tests {
		got := eval[[]string](tb, `(async () => {
			const {events} = await import(`+quoted(path.Clean(names[0]))+`);
			const bytes = new TextEncoder().encode(`+quoted(tt.stream)+`);
			const read = async (pieces) => {
				const out = []; let retry = 0, heard = 0;
				const stream = new ReadableStream({start(c) { for (const p of pieces) c.enqueue(p); c.close(); }});
				for await (const e of events(stream.getReader(), {heard: () => heard++, retry: (ms) => { retry = ms; }})) out.push([e.event, e.data, e.id].join('|'));
				if (heard !== pieces.length) out.push('heard ' + heard);
				if (retry !== (`+quoted(tt.name)+` === 'retry' ? 2500 : 0)) out.push('retry ' + retry);
				return out.join(',');
			};
			const all = new Set([await read([bytes]), await read([...bytes].map((b) => new Uint8Array([b])))]);
			for (let i = 0; i <= bytes.length; i++) all.add(await read([bytes.slice(0, i), bytes.slice(i)]));
			return [...all];
		})()`)
		assert.Equal(t, []string{tt.events}, got, tt.name)
	}
	tb.quiet()
}
