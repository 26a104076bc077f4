package ai_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/aitest"
)

func TestTheRequestsAreWhatTheVendorsDocument(t *testing.T) {
	conversation := ai.Request{MaxTokens: 77, Messages: []ai.Message{
		{ai.Assistant, "Welcome!"}, // before the first question: dropped
		{ai.System, "Be brief."},
		{ai.User, "One"},
		{ai.Assistant, " "}, // an answer that failed
		{ai.User, "Two"},
		{ai.Assistant, "Three"},
		{ai.System, "Be kind."},
		{ai.User, "Four \"five\""},
	}}
	for vendor, want := range map[string]struct{ uri, body string }{
		ai.Anthropic: {"/v1/messages", `{"model":"test-model","max_tokens":77,"stream":true,"system":"Be brief.\n\nBe kind.","messages":[
			{"role":"user","content":"One\n\nTwo"},{"role":"assistant","content":"Three"},{"role":"user","content":"Four \"five\""}]}`},
		ai.Gemini: {"/v1beta/models/test-model:streamGenerateContent?alt=sse", `{"systemInstruction":{"parts":[{"text":"Be brief.\n\nBe kind."}]},"generationConfig":{"maxOutputTokens":77},"contents":[
			{"role":"user","parts":[{"text":"One\n\nTwo"}]},{"role":"model","parts":[{"text":"Three"}]},{"role":"user","parts":[{"text":"Four \"five\""}]}]}`},
		ai.DeepSeek: {"/chat/completions", `{"model":"test-model","max_tokens":77,"stream":true,"stream_options":{"include_usage":true},"messages":[
			{"role":"system","content":"Be brief.\n\nBe kind."},{"role":"user","content":"One\n\nTwo"},{"role":"assistant","content":"Three"},{"role":"user","content":"Four \"five\""}]}`},
	} {
		fake := aitest.New(t, vendor)
		_, err := provider(t, settings(fake)).Stream(t.Context(), conversation, func(string) error { return nil })
		require.NoError(t, err, vendor)
		got := fake.Requests()[0]
		assert.Equal(t, "POST", got.Method)
		assert.Equal(t, want.uri, got.URI, "without the key")
		assert.JSONEq(t, want.body, string(got.Body), vendor)
		assert.Equal(t, "identity", got.Header.Get("Accept-Encoding"), "a compressor would hold pieces back")
		assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
		assert.Empty(t, got.Header.Get("Idempotency-Key"), "it would make net/http repeat the call")
	}
}

func TestAConversationThatNobodyCouldAnswerIsNotSent(t *testing.T) {
	for name, messages := range map[string][]ai.Message{
		"nothing":             nil,
		"no text":             {{ai.User, " \n"}},
		"only a system":       {{ai.System, "x"}},
		"an answer at last":   {{ai.User, "x"}, {ai.Assistant, "y"}},
		"a role of their own": {{"tool", "x"}, {ai.User, "x"}},
	} {
		for _, vendor := range vendors {
			fake := aitest.New(t, vendor)
			_, err := provider(t, settings(fake)).Stream(t.Context(), ai.Request{Messages: messages}, nil)
			var e *ai.Error
			require.ErrorAs(t, err, &e, name)
			assert.Equal(t, ai.Rejected, e.Kind)
			assert.Empty(t, fake.Requests())
		}
	}
}

func TestTheCorrelationIDGoesToTheVendorsAndNobodyElse(t *testing.T) {
	a, d := aitest.New(t, ai.Anthropic), aitest.New(t, ai.DeepSeek)
	a.Set(aitest.Script{Fault: aitest.Overloaded})
	s := settings(a, d)
	ids, err := correlation.New(correlation.Config{PropagateTo: s.Hosts()})
	require.NoError(t, err)
	p, err := ai.New(s, &http.Client{Transport: ids.Transport(ai.NewTransport())})
	require.NoError(t, err)
	ctx, err := correlation.NewContext(t.Context(), "abc-123")
	require.NoError(t, err)
	_, _, err = ask(ctx, p)
	require.NoError(t, err)
	assert.Equal(t, "abc-123", a.Requests()[0].Header.Get("X-Correlation-ID"))
	assert.Equal(t, "abc-123", d.Requests()[0].Header.Get("X-Correlation-ID"))

	keyed := ai.Endpoint{Key: "k", Model: "m"}
	assert.Equal(t, []string{"api.anthropic.com:443", "api.deepseek.com:443", "generativelanguage.googleapis.com:443"},
		ai.Settings{Anthropic: keyed, Gemini: keyed, DeepSeek: keyed}.Hosts())
	assert.Empty(t, ai.Settings{}.Hosts(), "the echo asks nobody")
}

// dying serves HTTP/1: it answers the first request of a connection and closes it
// when the second one has come wholly. It counts requests.
func dying(t *testing.T, answer string) (base string, requests *atomic.Int32) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	requests = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for i := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					requests.Add(1)
					if i == 0 {
						_, _ = io.WriteString(conn, answer)
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), requests
}

// http.Transport sends a request again if a connection that was used before dies
// under it and the request can be replayed. A call that was read may be paid for.
func TestACallThatDiedOnAReusedConnectionIsNotSentAgain(t *testing.T) {
	// 429 is read to its end, so that the connection is used again.
	base, requests := dying(t, "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	p := provider(t, ai.Settings{Anthropic: ai.Endpoint{Key: "k", Model: "m", BaseURL: base}})
	_, _, err := ask(t.Context(), p)
	require.ErrorContains(t, err, "429")
	_, _, err = ask(t.Context(), p)
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.Unreachable, e.Kind)
	assert.Equal(t, int32(2), requests.Load())

	// The control: what net/http does with a POST that says it may be repeated.
	transport := ai.NewTransport()
	defer transport.CloseIdleConnections()
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Idempotency-Key", "1")
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
	}
	assert.Equal(t, int32(2+3), requests.Load(), "the second one was sent twice")
}

// refusing serves HTTP/2 and refuses each stream when its request has come wholly.
func refusing(t *testing.T) (base string, client *http.Client, requests *atomic.Int32) {
	pki := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(pki.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: pki.TLS.Certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	requests = new(atomic.Int32)
	serve := func(conn net.Conn) {
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, conn)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.DataFrame:
				if frame.StreamEnded() {
					requests.Add(1)
					_ = f.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
				}
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	transport := ai.NewTransport()
	transport.TLSClientConfig = pki.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + l.Addr().String(), &http.Client{Transport: transport}, requests
}

func TestACallThatHTTP2RefusedIsNotSentAgain(t *testing.T) {
	base, client, requests := refusing(t)
	p, err := ai.New(ai.Settings{DeepSeek: ai.Endpoint{Key: "k", Model: "m", BaseURL: base}}, client)
	require.NoError(t, err)
	_, _, err = ask(t.Context(), p)
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.Unreachable, e.Kind)
	assert.Equal(t, int32(1), requests.Load())

	// The control: NewRequest gives a bytes.Reader its GetBody.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, strings.NewReader("{}"))
	require.NoError(t, err)
	go func() {
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	assert.Eventually(t, func() bool { return requests.Load() >= 3 }, testWait, testTick, "it would be sent up to seven times")
}

func TestHTTP2StreamsAndIsClosedStreamByStream(t *testing.T) {
	fake := aitest.New(t, ai.Anthropic)
	server := httptest.NewUnstartedServer(fake)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := ai.NewTransport()
	transport.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	defer transport.CloseIdleConnections()
	s := settings(fake)
	s.Anthropic.BaseURL = server.URL
	p, err := ai.New(s, &http.Client{Transport: transport})
	require.NoError(t, err)
	text, _, err := ask(t.Context(), p)
	require.NoError(t, err)
	assert.Equal(t, "Hello, world!", text)

	fake.Set(aitest.Script{Fault: aitest.CutAfterText})
	_, _, err = ask(t.Context(), p)
	var e *ai.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, ai.Cut, e.Kind)

	fake.Set(aitest.Script{Fault: aitest.HangsAtEnd})
	_, _, err = ask(t.Context(), p)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return fake.Open() == 0 }, testWait, testTick)
}

// net/http takes X-Api-Key along to whomever a redirect names, with GET for 301 to
// 303 and with the question for 307 and 308.
func TestNoRedirectIsFollowed(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		var followed atomic.Int32
		attacker := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
		vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, attacker.URL, status)
		}))
		p := provider(t, ai.Settings{Anthropic: ai.Endpoint{Key: "k", Model: "m", BaseURL: vendor.URL}})
		_, _, err := ask(t.Context(), p)
		var e *ai.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, ai.Malformed, e.Kind)
		assert.Equal(t, status, e.Status)
		assert.ErrorContains(t, err, "check the base URL")
		assert.Zero(t, followed.Load(), status)
		vendor.Close()
		attacker.Close()
	}
}

func TestNoKeyIsInAnyErrorLogOrDump(t *testing.T) {
	s := ai.Settings{Order: []string{ai.Anthropic}, Anthropic: ai.Endpoint{Key: "sk-hush hush\n", BaseURL: "http://user:hush@vendor.example/?key=hush"}}
	_, err := ai.New(s, nil)
	require.Error(t, err)
	var b bytes.Buffer
	b.WriteString(err.Error())
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x", s, s, s, s.Anthropic, s.Anthropic.Key, s.Anthropic.Key)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("settings", "all", s, "key", s.Anthropic.Key)
	slog.New(slog.NewTextHandler(&b, nil)).Info("settings", "all", s, "key", s.Anthropic.Key)
	require.NoError(t, json.NewEncoder(&b).Encode(s.Anthropic.Key))
	s.Anthropic.BaseURL = ""
	assert.NotContains(t, strings.ReplaceAll(b.String(), "user:hush@vendor.example/?key=hush", ""), "hush")
	assert.NotContains(t, err.Error(), "hush")

	// Somebody else's server, told nothing but the key, repeats it.
	for name, answer := range map[string]string{
		"in the status line": "HTTP/1.1 " + aitest.Key + " \r\n\r\n",
		"in a header":        "HTTP/1.1 200 OK\r\n" + aitest.Key + "\r\n\r\n",
		"in the body":        "HTTP/1.1 500 X\r\nContent-Length: 31\r\n\r\n{ " + aitest.Key + "   }",
		"in the type":        "HTTP/1.1 200 OK\r\nContent-Type: text/" + aitest.Key + "\r\nContent-Length: 0\r\n\r\n",
		"in an event":        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + aitest.Key + "\n\n",
		"in a stop reason":   "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"choices\":[{\"finish_reason\":\"" + aitest.Key + "\"}]}\n\n",
		"in the location":    "HTTP/1.1 307 X\r\nLocation: http://" + aitest.Key + "\x7f/\r\nContent-Length: 0\r\n\r\n",
	} {
		base, _ := dying(t, answer)
		p := provider(t, ai.Settings{DeepSeek: ai.Endpoint{Key: aitest.Key, Model: "m", BaseURL: base}, FirstByte: testWait})
		_, _, err := ask(t.Context(), p)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), aitest.Key, name)
		assert.Less(t, len(err.Error()), 800, name)
	}
}
