package chat

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

func TestAnAnswerStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(20, 100*time.Millisecond))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		id := s.hello()
		assert.Equal(t, "text/event-stream", s.header.Get("Content-Type"))
		assert.Equal(t, "no-store", s.header.Get("Cache-Control"))
		assert.Equal(t, "no", s.header.Get("X-Accel-Buffering"))
		assert.NotEmpty(t, s.header.Get("RateLimit"))
		text, last, done := s.rest()
		assert.Equal(t, said(20), text)
		assert.Equal(t, strconv.Itoa(len(text)), last)
		require.Equal(t, "done", done.name)
		assert.Equal(t, object{"input_tokens": 10.0, "output_tokens": 20.0}, done.data["usage"])
		assert.Equal(t, "end", done.data["stop_reason"])

		all := w.messages("ada", thread)
		require.Len(t, all, 2)
		m := all[1]
		assert.Equal(t, []string{id, text, data.Done, "p", "m"}, []string{m.ID, m.Content, m.State, m.Provider, m.Model})
		assert.Equal(t, []int64{10, 20}, []int64{m.InputTokens, m.OutputTokens})
		assert.Equal(t, 1, strings.Count(w.log.String(), `"msg":"answer"`))
		assert.Contains(t, w.log.String(), `"state":"done","provider":"p","model":"m","stop_reason":"end","input_tokens":10,"output_tokens":20,"duration":"2s"`)
	})
}

// What clients, proxies and other replicas rely on. The other tests count with the
// constants.
func TestTheTimesAreThoseThatTheREADMETells(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for words, at := range map[string]time.Duration{
		"A comment every 15 seconds":                    heartbeat,
		"An answer that nobody has read for 10 seconds": grace,
		"its process has not saved for 15 seconds":      data.Abandoned,
		"The text is saved twice a second":              saveEvery,
	} {
		assert.Contains(t, string(readme), words)
		if n := regexp.MustCompile(`\d+`).FindString(words); n != "" {
			assert.Equal(t, n+"s", at.String(), words)
		}
	}
	assert.Equal(t, time.Second/2, saveEvery)
}

func TestAClientThatComesBackGetsTheRestAndNothingIsPaidTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		calls := 0
		r := w.replica(script(func(ctx context.Context, req ai.Request, emit func(string) error) (ai.Result, error) {
			calls++
			return counts(100, 100*time.Millisecond)(ctx, req, emit)
		}))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		id := s.hello()
		var text, last string
		for range 30 {
			e, _ := s.next()
			text, last = text+e.data["text"].(string), e.id
		}
		s.leave()
		time.Sleep(3 * time.Second)
		s = r.attachTo("ada", thread, id, "Last-Event-ID", last)
		require.Equal(t, id, s.hello())
		rest, last, done := s.rest()
		assert.Equal(t, said(100), text+rest)
		assert.Equal(t, "done", done.name)
		assert.Equal(t, 1, calls)

		s = r.attachTo("ada", thread, id, "Last-Event-ID", last)
		assert.Empty(t, s.body())
		assert.Equal(t, 204, s.status)
		s = r.attachTo("ada", thread, id, "Last-Event-ID", "20")
		s.hello()
		rest, _, done = s.rest()
		assert.Equal(t, said(100)[20:], rest)
		assert.Equal(t, "done", done.name)
		for _, garbage := range []string{"", "-1", "x", "0x10", "1e3", "99999999999999999999"} {
			s = r.attachTo("ada", thread, id, "Last-Event-ID", garbage)
			s.hello()
			all, _, _ := s.rest()
			assert.Equal(t, said(100), all, "who sends no ID of ours has no text of ours: %q", garbage)
		}
		s = r.attachTo("ada", thread, id, "Last-Event-ID", "1000000")
		s.hello()
		rest, _, done = s.rest()
		assert.Empty(t, rest)
		assert.Equal(t, said(100), done.data["message"].(object)["content"], "it can find out what is true")

		s = r.send("ada", "HEAD", "/api/threads/"+thread+"/messages/"+id+"/stream", "")
		<-s.over
		assert.Equal(t, "text/event-stream", s.header.Get("Content-Type"))
		question := w.messages("ada", thread)[0].ID
		for _, path := range []string{thread + "/messages/" + question, thread + "/messages/x", w.thread("ada") + "/messages/" + id} {
			s = r.send("ada", "GET", "/api/threads/"+path+"/stream", "")
			assert.EqualValues(t, 404, s.body()["status"], path)
		}
		s = r.attachTo("alan", thread, id)
		assert.EqualValues(t, 404, s.body()["status"], "it is another's")
	})
}

func TestAClientThatLeftCancelsTheCallAfterAGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(1000, 100*time.Millisecond))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		id := s.hello()
		time.Sleep(5 * time.Second)
		s.leave()
		<-s.over
		time.Sleep(grace - time.Second)
		assert.EqualValues(t, 1, r.left(rulePlaces, "ada"), "the provider is still paid")
		time.Sleep(2 * time.Second)
		m := w.messages("ada", thread)[1]
		assert.Equal(t, data.Stopped, m.State)
		assert.GreaterOrEqual(t, len(m.Content), 2*140)
		assert.LessOrEqual(t, len(m.Content), 2*160)
		assert.Equal(t, m.OutputTokens, max(int64(len(m.Content)/2), guess(len(m.Content))))
		assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
		assert.Equal(t, budgetTokens-m.InputTokens-m.OutputTokens, r.left(ruleTokens, "ada"), "booked to the token")

		s = r.attachTo("ada", thread, id)
		s.hello()
		text, _, done := s.rest()
		assert.Equal(t, m.Content, text)
		assert.Equal(t, "done", done.name)
		assert.Equal(t, data.Stopped, done.data["message"].(object)["state"])
	})
}

func TestAStopKeepsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(1000, 100*time.Millisecond))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		path := "/api/threads/" + thread + "/messages/" + s.hello() + "/stream"
		time.Sleep(2 * time.Second)
		alan := r.send("alan", "DELETE", path, "")
		assert.EqualValues(t, 404, alan.body()["status"], "not another's")
		stop := r.send("ada", "DELETE", path, "")
		<-stop.begun
		assert.Equal(t, 204, stop.status)
		text, _, done := s.rest()
		assert.Equal(t, "done", done.name)
		assert.Equal(t, data.Stopped, done.data["message"].(object)["state"])
		assert.Equal(t, text, w.messages("ada", thread)[1].Content)
		stop = r.send("ada", "DELETE", path, "")
		<-stop.begun
		assert.Equal(t, 204, stop.status, "twice is once")

		// The thread is free at once, and what was said so far is told.
		s = r.ask("ada", thread, "again")
		s.hello()
		s.leave()
		time.Sleep(time.Minute)
	})
}

func TestAProviderThatFailsBeforeTheFirstWordIsAStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		retry  string
	}{
		{"busy", &ai.Error{Kind: ai.RateLimited, RetryAfter: 42 * time.Second, Message: "org-hush: slow down"}, 503, "42"},
		{"overloaded", &ai.Error{Kind: ai.Overloaded}, 503, "5"},
		{"late", &ai.Error{Kind: ai.TimedOut}, 504, "5"},
		{"cut", &ai.Error{Kind: ai.Cut}, 502, "5"},
		{"a key that is wrong", &ai.Error{Kind: ai.Account, Message: "key sk-hush"}, 502, ""},
		{"a conversation that is too long", &ai.Error{Kind: ai.Rejected}, 422, ""},
		{"a policy", &ai.Error{Kind: ai.Blocked}, 422, ""},
		{"anything else", errors.New("hush"), 500, ""},
	} {
		for _, accept := range []string{"text/event-stream", "application/json"} {
			t.Run(tt.name+" as "+accept, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					r := w.replica(fails("", time.Second, tt.err))
					thread := w.thread("ada")
					s := r.ask("ada", thread, "why?", "Accept", accept)
					body := s.body()
					assert.Equal(t, tt.status, s.status)
					assert.EqualValues(t, tt.status, body["status"])
					assert.Equal(t, "application/problem+json", s.header.Get("Content-Type"))
					assert.Equal(t, tt.retry, s.header.Get("Retry-After"))
					assert.NotContains(t, body["detail"], "hush", "the provider's words are for the log")
					assert.Contains(t, w.log.String(), tt.err.Error())
					assert.Empty(t, w.messages("ada", thread), "nothing is left of it: it can be sent again")
					assert.EqualValues(t, budgetTokens, r.left(ruleTokens, "ada"))
					assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
				})
			})
		}
	}
}

func TestAProviderThatFailsLaterIsAnEvent(t *testing.T) {
	for name, text := range map[string]string{"after text": "half an ans", "before text": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.replica(fails(text, 5*time.Second, &ai.Error{Kind: ai.Cut, Message: "hush"}))
				thread := w.thread("ada")
				began := time.Now()
				s := r.ask("ada", thread, "why?")
				id := s.hello()
				assert.Equal(t, firstText, time.Since(began), "the headers do not wait for ever")
				got, _, last := s.rest()
				assert.Equal(t, text, got)
				require.Equal(t, "failed", last.name)
				assert.EqualValues(t, 502, last.data["status"])
				assert.EqualValues(t, 5, last.data["retry_after"])
				assert.NotContains(t, last.data["detail"], "hush")
				m := w.messages("ada", thread)[1]
				assert.Equal(t, []string{id, text, data.Failed, "cut"}, []string{m.ID, m.Content, m.State, m.Failure})
				cost := guess(len("why?")) + guess(len(text))
				if text == "" {
					cost = 0
				}
				assert.Equal(t, budgetTokens-cost, r.left(ruleTokens, "ada"))

				s = r.attachTo("ada", thread, id)
				s.hello()
				_, _, last = s.rest()
				assert.Equal(t, "failed", last.name)
				s = r.attachTo("ada", thread, id, "Accept", "application/json")
				whole := s.body()
				assert.Equal(t, 200, s.status)
				assert.Equal(t, data.Failed, whole["message"].(object)["state"])
				assert.EqualValues(t, 502, whole["problem"].(object)["status"])
			})
		})
	}
}

func TestTheWholeAnswerAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(60, time.Second))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count", "Accept", "application/json")
		body := s.body()
		require.Equal(t, 200, s.status)
		assert.Equal(t, "application/json", s.header.Get("Content-Type"))
		assert.Equal(t, said(60), body["message"].(object)["content"])
		assert.Equal(t, "count", body["user_message"].(object)["content"])
		assert.Equal(t, object{"input_tokens": 10.0, "output_tokens": 60.0}, body["usage"])

		r = w.replica(counts(60, time.Second), func(c *Config) { c.StreamMax = 20 * time.Second })
		s = r.ask("ada", thread, "count", "Accept", "application/json")
		s.body()
		require.Equal(t, 202, s.status, "no response is longer than the platform allows")
		path := s.header.Get("Location")
		for range 2 {
			s = r.send("ada", "GET", path, "", "Accept", "application/json;q=1, text/event-stream;q=0.1")
			s.body()
			assert.Equal(t, 202, s.status)
		}
		s = r.send("ada", "GET", path, "", "Accept", "application/json")
		assert.Equal(t, said(60), s.body()["message"].(object)["content"])
	})
}

func TestHeartbeatsAndTheTimeToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(fails("late", 6*time.Minute, nil))
		thread := w.thread("ada")
		began := time.Now()
		s := r.ask("ada", thread, "why?")
		id := s.hello()
		text, _, last := s.rest()
		assert.Equal(t, "reconnect", last.name)
		assert.Empty(t, text)
		assert.Equal(t, 4*time.Minute, time.Since(began).Truncate(10*time.Second))
		assert.InDelta(t, 4*time.Minute/heartbeat, s.pings, 1)
		s = r.attachTo("ada", thread, id)
		s.hello()
		text, _, last = s.rest()
		assert.Equal(t, []string{"late", "done"}, []string{text, last.name})
	})
}

func TestASlowReaderHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(100, 100*time.Millisecond))
		thread := w.thread("ada")
		began := time.Now()
		s := r.ask("ada", thread, "count")
		id := s.hello()
		slow := r.attachTo("ada", thread, id) // takes nothing before the end
		quick := r.attachTo("ada", thread, id)
		quick.hello()
		text, _, _ := quick.rest()
		assert.Equal(t, said(100), text)
		assert.Equal(t, 10*time.Second, time.Since(began).Truncate(time.Second))
		slow.hello()
		text, _, last := slow.rest()
		assert.Equal(t, []string{said(100), "done"}, []string{text, last.name})
		s.leave()
	})
}

func TestWhatAModelSaysIsStoredAndSentAsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		says := "a\x00b\xff\n\ndata: {}\nevent: done\r\n<script>alert(1)</script>\u2028日"
		r := w.replica(fails(says, 0, nil))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "say")
		s.hello()
		text, _, last := s.rest()
		want := "a\uFFFDb\uFFFD\n\ndata: {}\nevent: done\r\n<script>alert(1)</script>\u2028日"
		assert.Equal(t, want, text)
		assert.Equal(t, "done", last.name)
		assert.Equal(t, want, w.messages("ada", thread)[1].Content)
	})
}

func TestAnAnswerThatNeverEndsIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(script(func(_ context.Context, _ ai.Request, emit func(string) error) (ai.Result, error) {
			for {
				time.Sleep(time.Millisecond)
				if err := emit(strings.Repeat("x", 1000)); err != nil {
					return ai.Result{}, err
				}
			}
		}))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "say")
		s.hello()
		text, _, last := s.rest()
		assert.LessOrEqual(t, len(text), maxText)
		assert.Greater(t, len(text), maxText-1001)
		assert.Equal(t, "failed", last.name)
		assert.Equal(t, failureTooLong, w.messages("ada", thread)[1].Failure)
		assert.EqualValues(t, 0, r.left(ruleTokens, "ada"), "in debt")
	})
}

func TestAPanicInAProviderEndsItsAnswerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(script(func(_ context.Context, _ ai.Request, emit func(string) error) (ai.Result, error) {
			_ = emit("half")
			panic("hush")
		}))
		thread := w.thread("ada")
		s := r.ask("ada", thread, "say")
		s.hello()
		text, _, last := s.rest()
		assert.Equal(t, []string{"half", "failed"}, []string{text, last.name})
		assert.EqualValues(t, 500, last.data["status"])
		assert.Contains(t, w.log.String(), "hush")
		assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
		assert.Equal(t, budgetTokens-guess(3)-guess(4), r.left(ruleTokens, "ada"))
	})
}

func TestWhatIsAskedIsTheEndOfTheThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked ai.Request
		r := w.replica(script(func(_ context.Context, req ai.Request, emit func(string) error) (ai.Result, error) {
			asked = req
			return ai.Result{}, emit("ok")
		}))
		thread := w.thread("ada")
		add := func(role, content, state string) {
			if role == "user" {
				_, err := w.db.AddMessage(t.Context(), w.users["ada"].ID, thread, role, content)
				require.NoError(t, err)
				return
			}
			_, m, err := w.db.StartAnswer(t.Context(), w.users["ada"].ID, thread, "q")
			require.NoError(t, err)
			m.Content, m.State = content, state
			require.NoError(t, w.db.EndAnswer(t.Context(), m))
		}
		add("user", "too long ago "+strings.Repeat("x", historyBytes), "")
		add("user", "one", "")
		add("assistant", "two", data.Done)
		add("assistant", "", data.Stopped)
		add("assistant", "half", data.Failed)
		add("assistant", "three", data.Stopped)
		r.ask("ada", thread, "last").rest()
		var got []string
		for _, m := range asked.Messages {
			got = append(got, m.Role+": "+m.Content)
		}
		assert.Equal(t, []string{
			"user: one", "user: q", "assistant: two", "user: q", "user: q", "user: q", "assistant: three", "user: last",
		}, got)
		assert.Equal(t, 1000, asked.MaxTokens)
	})
}

func TestWithoutAProviderChatSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(nil)
		s := r.ask("ada", w.thread("ada"), "why?")
		body := s.body()
		assert.Equal(t, 503, s.status)
		assert.Contains(t, body["detail"], "not configured")
	})
}
