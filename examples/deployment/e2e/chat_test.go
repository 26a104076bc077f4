package e2e_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
