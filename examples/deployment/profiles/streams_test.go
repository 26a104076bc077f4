//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

// half is where the vendor pauses.
const half = "THE-SECOND-HALF"

// pausing lets the vendor write no second half before the gate is open.
type pausing struct {
	http.ResponseWriter
	gate <-chan struct{}
}

func (p pausing) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(half)) {
		<-p.gate
	}
	return p.ResponseWriter.Write(b)
}

func (p pausing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// A reader is a browser with an answer open.
type reader struct {
	c              *client
	thread         string // its path
	message        string // its ID
	id, text       string // what it has
	told           int    // how often to come back
	began, resumed *sync.WaitGroup
}

// follow reads until the answer is done, and comes back whenever it is told to.
func (r *reader) follow() error {
	resp, err := r.send("POST", r.thread+"/chat", `{"content":"Tell me."}`)
	for first := true; ; first = false {
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusNoContent && !first {
			return nil
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s", resp.Request.URL, resp.Status)
		}
		if !first {
			r.resumed.Done()
		}
		done, err := r.read(resp.Body, first)
		resp.Body.Close()
		if done || err != nil {
			return err
		}
		if resp, err = r.send("GET", r.thread+"/messages/"+r.message+"/stream", ""); err != nil {
			return err
		}
	}
}

func (r *reader) send(method, path, body string) (*http.Response, error) {
	req, err := http.NewRequest(method, r.c.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.c.token)
	req.Header.Set("Content-Type", "application/json")
	if r.id != "" {
		req.Header.Set("Last-Event-ID", r.id)
	}
	return r.c.http.Do(req)
}

// read reads one response. An end without a word is an error.
func (r *reader) read(body io.Reader, first bool) (done bool, err error) {
	told := false
	for events := sse.NewReader(body, 1<<20); ; {
		e, err := events.Next()
		if err != nil {
			if err == io.EOF && told {
				return false, nil
			}
			return false, fmt.Errorf("cut after %q: %w", r.text, err)
		}
		var data struct {
			Text    string
			Message struct{ ID string }
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return false, err
		}
		switch string(e.Type) {
		case "message":
			r.message = data.Message.ID
		case "delta":
			if r.text == "" && first {
				r.began.Done()
			}
			r.text, r.id = r.text+data.Text, string(e.ID)
		case "reconnect":
			told, r.told = true, r.told+1
		case "done":
			return true, nil
		default:
			return false, fmt.Errorf("%s: %s", e.Type, e.Data)
		}
	}
}

// Twenty answers stream from one replica when it is told to end. Every reader is
// told, comes back to another replica, and gets the rest of what the first one
// still pays for: nothing is asked for twice.
func TestSIGTERMTellsTwentyStreamsAndLosesNone(t *testing.T) {
	t.Parallel()
	const n = 20
	vendor := aitest.New(t, ai.Anthropic)
	vendor.Set(aitest.Script{Pieces: []string{"The first half. ", half, " and the end."}})
	gate := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vendor.ServeHTTP(pausing{w, gate}, r)
	}))
	defer upstream.Close()
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	r := start(t, "replicas", options{production: true}, "RATE_LIMIT_DEFAULT=100000/minute", "RATE_LIMIT_AI=1000/minute",
		"RATE_LIMIT_AI_TOKENS=100000000/day", "AI_CONCURRENT=20", "DRAIN_DELAY=1s", "SHUTDOWN_TIMEOUT=60s",
		"ANTHROPIC_API_KEY="+aitest.Key, "ANTHROPIC_BASE_URL="+upstream.URL, "ANTHROPIC_MODEL="+aitest.Model)
	ada := r.client("127.9.0.1")
	r.loginBeside(ada, "google", "ada")

	// The other two are not there, so that all twenty are at the first.
	ending, others := r.replicas[0], r.replicas[1:]
	for _, p := range others {
		require.NoError(t, p.end())
	}
	var began, resumed, finished sync.WaitGroup
	began.Add(n)
	resumed.Add(n)
	readers := make([]*reader, n)
	for i := range readers {
		made := ada.do("POST", "/api/threads", object{"title": "a thread"})
		require.Equal(t, 201, made.StatusCode, made.text)
		c := r.client(fmt.Sprintf("127.9.%d.1", i+1))
		c.token = ada.token
		c.http.Transport.(*http.Transport).ForceAttemptHTTP2 = i%2 == 0
		readers[i] = &reader{c: c, thread: made.Header.Get("Location"), began: &began, resumed: &resumed}
		finished.Go(func() { assert.NoError(t, readers[i].follow(), "reader %d", i) })
	}
	within(t, &began, "twenty answers begin")
	const me = `"http.route":"/api/me"`
	for _, p := range others {
		before := lines(t, p, me)
		require.NoError(t, p.again())
		require.Eventually(t, func() bool {
			return ada.do("GET", "/api/me", nil).StatusCode == 200 && lines(t, p, me) > before
		}, patience, patience/1000, "%s gets requests again", p.name)
	}

	ending.signal(syscall.SIGTERM)
	within(t, &resumed, "all are told and come back")
	open()
	within(t, &finished, "all answers are done")
	require.NoError(t, ending.ended())
	assert.Zero(t, ending.cmd.ProcessState.ExitCode())
	assert.Zero(t, lines(t, ending, "were cut"))
	for i, reader := range readers {
		assert.Equal(t, "The first half. "+half+" and the end.", reader.text, "reader %d", i)
		assert.Equal(t, 1, reader.told, "reader %d", i)
		saved := ada.do("GET", reader.thread+"/messages", nil)
		assert.Contains(t, saved.text, half+" and the end.", "reader %d", i)
		assert.Contains(t, saved.text, `"state":"done"`, "reader %d", i)
	}
	assert.Len(t, vendor.Requests(), n, "each answer was paid for once")
}

// within waits for the group, but not for ever.
func within(t *testing.T, group *sync.WaitGroup, what string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	require.Eventually(t, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, patience, patience/1000, what)
}
