package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

// An event is one of a stream.
type event struct {
	name, id string
	data     object
}

// A live is a stream that is being read.
type live struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
}

// stream begins a request and leaves its answer open.
func (c *client) stream(method, path string, body any, edits ...func(*http.Request)) *live {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(c.t, err)
		reader = strings.NewReader(string(text))
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, reader)
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.token)
	for _, edit := range edits {
		edit(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { resp.Body.Close() })
	return &live{c.t, resp, bufio.NewReader(resp.Body)}
}

// next reads one event; false at the end. Comments and retry are left out.
func (l *live) next() (e event, ok bool) {
	l.t.Helper()
	for {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return e, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			require.NoError(l.t, json.Unmarshal([]byte(value), &e.data), value)
		case "":
			if e.name != "" {
				return e, true
			}
		}
	}
}

// rest reads to the end: the text, the last ID, the last event.
func (l *live) rest() (text, id string, last event) {
	l.t.Helper()
	for {
		e, ok := l.next()
		if !ok {
			return text, id, last
		}
		if last = e; e.name == "delta" {
			piece, _ := e.data["text"].(string)
			text, id = text+piece, e.id
		}
	}
}

func (c *client) thread() string {
	c.t.Helper()
	made := c.do("POST", "/api/threads", object{"title": "t"})
	require.Equal(c.t, 201, made.StatusCode, made.text)
	return made.Header.Get("Location")
}

func TestAnAnswerStreamsAndIsKept(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.client()
	c.login("google", "ada")
	thread := c.thread()
	question := "one two three\nfour <b> \u2028 日本語"
	s := c.stream("POST", thread+"/chat", object{"content": question})
	require.Equal(t, 200, s.resp.StatusCode)
	assert.Equal(t, "text/event-stream", s.resp.Header.Get("Content-Type"))
	assert.Equal(t, "no-store", s.resp.Header.Get("Cache-Control"))
	assert.Equal(t, "no", s.resp.Header.Get("X-Accel-Buffering"))
	hello, ok := s.next()
	require.True(t, ok)
	assert.Equal(t, "message", hello.name)
	assert.Equal(t, question, hello.data["user_message"].(object)["content"])
	mid := hello.data["message"].(object)["id"].(string)
	text, id, last := s.rest()
	assert.Equal(t, question, text)
	assert.Equal(t, "done", last.name)
	assert.EqualValues(t, object{"input_tokens": 6.0, "output_tokens": 6.0}, last.data["usage"])
	assert.Equal(t, "done", last.data["message"].(object)["state"])

	path := thread + "/messages/" + mid + "/stream"
	again := c.do("GET", path, nil, set(map[string]string{"Last-Event-ID": id}))
	assert.Equal(t, 204, again.StatusCode)
	text, _, last = c.stream("GET", path, nil, set(map[string]string{"Last-Event-ID": "8"})).rest()
	assert.Equal(t, question[8:], text)
	assert.Equal(t, "done", last.name)
	whole := c.do("GET", path, nil, set(map[string]string{"Accept": "application/json"}))
	require.Equal(t, 200, whole.StatusCode)
	assert.Equal(t, question, whole.json(t)["message"].(object)["content"])
}

// The vendors, and the variables of each.
var vendors = map[string]struct{ key, prefix string }{
	ai.Anthropic: {"ANTHROPIC_API_KEY", "ANTHROPIC"},
	ai.Gemini:    {"GOOGLE_API_KEY", "GEMINI"},
	ai.DeepSeek:  {"DEEPSEEK_API_KEY", "DEEPSEEK"},
}

// fakes starts a fake of each vendor and returns the environment that uses them.
func fakes(t *testing.T, names ...string) (map[string]*aitest.Server, []string) {
	all, env := map[string]*aitest.Server{}, []string{"AI_PROVIDER_ORDER=" + strings.Join(names, ",")}
	for _, name := range names {
		s := aitest.New(t, name)
		v := vendors[name]
		env = append(env, v.key+"="+aitest.Key, v.prefix+"_MODEL="+aitest.Model, v.prefix+"_BASE_URL="+s.URL)
		all[name] = s
	}
	return all, env
}

func TestEveryVendorAnswers(t *testing.T) {
	t.Parallel()
	all, env := fakes(t, ai.Anthropic, ai.Gemini, ai.DeepSeek)
	p := start(t, t.TempDir(), append(env, "AI_MAX_TOKENS=100", "RATE_LIMIT_AI_TOKENS=1000/year")...)
	p.secret("the vendors' key", aitest.Key)
	c := p.client()
	c.login("google", "ada")
	pieces := []string{"Grüße", " aus\n", "\n日本 ", "<b>", "👩‍👩‍👧"}
	for _, name := range []string{ai.Anthropic, ai.Gemini, ai.DeepSeek} { // each is asked while those before it are away
		all[name].Set(aitest.Script{Pieces: pieces, EveryByte: true, Noise: true})
		s := c.stream("POST", c.thread()+"/chat", object{"content": "Say hello."}, set(map[string]string{"X-Correlation-ID": "e2e-" + name}))
		hello, ok := s.next()
		require.True(t, ok, name)
		require.Equal(t, "message", hello.name)
		text, _, last := s.rest()
		require.Equal(t, "done", last.name, "%s: %v", name, last.data)
		assert.Equal(t, strings.Join(pieces, ""), text)
		m := last.data["message"].(object)
		assert.Equal(t, []any{name, "done"}, []any{m["provider"], m["state"]})
		assert.EqualValues(t, aitest.Input, m["input_tokens"], name)
		assert.EqualValues(t, len(pieces), m["output_tokens"], name)
		requests := all[name].Requests()
		require.Len(t, requests, 1, "nothing is asked twice")
		assert.Equal(t, "e2e-"+name, requests[0].Header.Get("X-Correlation-ID"))
		assert.Contains(t, string(requests[0].Body), "Say hello.")
		all[name].Set(aitest.Script{Fault: aitest.Overloaded, RetryAfter: "7"})
	}
	thread := c.thread()
	refused := c.do("POST", thread+"/chat", object{"content": "Is anybody there?"})
	assert.Equal(t, 503, refused.StatusCode)
	assert.Equal(t, "7", refused.Header.Get("Retry-After"))
	assert.Empty(t, c.do("GET", thread+"/messages", nil).json(t)["messages"])

	all[ai.Anthropic].Set(aitest.Script{Pieces: []string{"half", " more"}, Fault: aitest.CutAfterText})
	text, _, last := c.stream("POST", thread+"/chat", object{"content": "Break off."}).rest()
	assert.Equal(t, []string{"half", "failed"}, []string{text, last.name})
	assert.EqualValues(t, 502, last.data["status"])
	kept := c.do("GET", thread+"/messages", nil).json(t)["messages"].([]any)
	require.Len(t, kept, 2)
	assert.Equal(t, []any{"half", "failed", "cut"}, []any{
		kept[1].(object)["content"], kept[1].(object)["state"], kept[1].(object)["failure"],
	})
	// All that was booked leaves this much of the budget, and not this much more.
	all[ai.Anthropic].Set(aitest.Script{Pieces: []string{"ok"}})
	denied := c.do("POST", thread+"/chat", object{"content": strings.Repeat("x", 2700)})
	require.Equal(t, 429, denied.StatusCode, denied.text)
	assert.Contains(t, denied.text, `"violated-policies":["ai-tokens"]`)
}

func TestAClientThatHangsUpEndsThePaidCall(t *testing.T) {
	t.Parallel()
	all, env := fakes(t, ai.Anthropic)
	all[ai.Anthropic].Set(aitest.Script{Pieces: slices.Repeat([]string{"word "}, 10_000), Delay: 20 * time.Millisecond})
	p := start(t, t.TempDir(), env...)
	c := p.client()
	c.login("google", "ada")
	thread := c.thread()
	s := c.stream("POST", thread+"/chat", object{"content": "Talk."})
	_, _ = s.next()
	_, _ = s.next()
	require.NoError(t, s.resp.Body.Close())
	require.Equal(t, 1, all[ai.Anthropic].Open())
	require.Eventually(t, func() bool { return all[ai.Anthropic].Open() == 0 }, 20*time.Second, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		kept := c.do("GET", thread+"/messages", nil).json(t)["messages"].([]any)
		m := kept[1].(object)
		return m["state"] == "stopped" && strings.HasPrefix(m["content"].(string), "word word ") && m["input_tokens"].(float64) == aitest.Input
	}, 5*time.Second, 100*time.Millisecond)
}

// pair starts two processes on one database, as during a deployment.
func pair(t *testing.T, env ...string) (one, two *program, c, d *client) {
	dir := t.TempDir()
	one = start(t, dir, env...)
	two = start(t, dir, append(env, "BACKEND_URL="+one.url)...)
	c, d = one.client(), two.client()
	c.login("google", "ada")
	d.token = c.token
	return one, two, c, d
}

func TestSIGTERMWithTwentyOpenStreams(t *testing.T) {
	t.Parallel()
	all, env := fakes(t, ai.DeepSeek)
	all[ai.DeepSeek].Set(aitest.Script{Pieces: slices.Repeat([]string{"word "}, 500), Delay: 20 * time.Millisecond})
	one, _, c, d := pair(t, append(env, "AI_CONCURRENT=20", "RATE_LIMIT_AI=100/minute", "RATE_LIMIT_AI_TOKENS=1000000/day",
		"RATE_LIMIT_DEFAULT=1000/minute", "SHUTDOWN_TIMEOUT=5s")...)
	type open struct {
		*live
		path, text, id string
	}
	streams := make([]*open, 20)
	for i := range streams {
		thread := c.thread()
		o := &open{live: c.stream("POST", thread+"/chat", object{"content": "Talk."})}
		hello, ok := o.next()
		require.True(t, ok)
		o.path = thread + "/messages/" + hello.data["message"].(object)["id"].(string) + "/stream"
		streams[i] = o
	}
	began := time.Now()
	require.NoError(t, one.cmd.Process.Signal(syscall.SIGTERM))
	for _, o := range streams {
		var last event
		o.text, o.id, last = o.rest()
		assert.Equal(t, "reconnect", last.name)
	}
	assert.Less(t, time.Since(began), 3*time.Second, "every client is told at once")

	var wg sync.WaitGroup
	for _, o := range streams[:10] { // half of them come back, elsewhere
		wg.Go(func() {
			s := d.stream("GET", o.path, nil, set(map[string]string{"Last-Event-ID": o.id}))
			text, _, last := s.rest()
			if assert.Equal(t, "failed", last.name) {
				m := last.data["message"].(object)
				assert.Equal(t, "interrupted", m["failure"])
				assert.Equal(t, m["content"], o.text+text, "without a gap, and nothing twice")
			}
		})
	}
	select {
	case <-one.done:
	case <-time.After(10 * time.Second):
	}
	assert.Less(t, time.Since(began), 6*time.Second)
	assert.NoError(t, one.err)
	wg.Wait()
	assert.Zero(t, all[ai.DeepSeek].Open())
	assert.Len(t, all[ai.DeepSeek].Requests(), 20)
	for _, o := range streams {
		m := d.do("GET", o.path, nil, set(map[string]string{"Accept": "application/json"})).json(t)["message"].(object)
		assert.Equal(t, "failed", m["state"])
		assert.Greater(t, len(m["content"].(string)), len("word ")*100, "it went on until near the end")
	}
}

func TestAProcessThatIsKilledLeavesItsTextBehind(t *testing.T) {
	t.Parallel()
	all, env := fakes(t, ai.Gemini)
	all[ai.Gemini].Set(aitest.Script{Pieces: slices.Repeat([]string{"word "}, 10_000), Delay: 20 * time.Millisecond})
	one, _, c, d := pair(t, env...)
	thread := c.thread()
	s := c.stream("POST", thread+"/chat", object{"content": "Talk."})
	hello, _ := s.next()
	path := thread + "/messages/" + hello.data["message"].(object)["id"].(string) + "/stream"
	for range 100 {
		_, _ = s.next()
	}
	require.NoError(t, one.cmd.Process.Kill())
	<-one.done
	_, id, _ := s.rest()
	began := time.Now()
	s = d.stream("GET", path, nil, set(map[string]string{"Last-Event-ID": id}))
	_, _, end := s.rest()
	require.Equal(t, "failed", end.name)
	assert.WithinDuration(t, began.Add(15*time.Second), time.Now(), 5*time.Second)
	m := end.data["message"].(object)
	assert.Equal(t, "interrupted", m["failure"])
	assert.Greater(t, len(m["content"].(string)), len("word ")*50)
	all[ai.Gemini].Set(aitest.Script{})
	text, _, last := d.stream("POST", thread+"/chat", object{"content": "Again."}).rest()
	assert.Equal(t, []string{"Hello, world!", "done"}, []string{text, last.name})
}

func TestALimitIsToldToAScriptOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "RATE_LIMIT_AI=1/hour", "CORS_ORIGINS=http://www.localhost:3000")
	c := p.client()
	c.login("google", "ada")
	origin := set(map[string]string{"Origin": "http://www.localhost:3000"})
	s := c.stream("POST", c.thread()+"/chat", object{"content": "x"}, origin)
	assert.Equal(t, "http://www.localhost:3000", s.resp.Header.Get("Access-Control-Allow-Origin"))
	s.rest()
	thread := c.thread()
	denied := c.do("POST", thread+"/chat", object{"content": "x"}, origin)
	require.Equal(t, 429, denied.StatusCode)
	assert.Equal(t, "http://www.localhost:3000", denied.Header.Get("Access-Control-Allow-Origin"))
	assert.Contains(t, denied.Header.Get("Access-Control-Expose-Headers"), "Retry-After")
	assert.Equal(t, "3600", denied.Header.Get("Retry-After"))
	assert.Equal(t, []any{"ai"}, denied.json(t)["violated-policies"])
	assert.Empty(t, c.do("GET", thread+"/messages", nil).json(t)["messages"])
}
