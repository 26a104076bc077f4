package chat

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/pgtest"
)

func TestAnotherReplicaFollowsTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.replica(counts(300, 100*time.Millisecond)), w.replica(nil)
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		var text, last string
		for range 20 {
			e, _ := s.next()
			text, last = text+e.data["text"].(string), e.id
		}
		s.leave()
		<-s.over
		// Three readers there, one of which is ahead of what was saved; together they
		// keep the answer alive for longer than the grace.
		began := time.Now()
		ahead := two.attachTo("ada", thread, id, "Last-Event-ID", last)
		other := two.attachTo("ada", thread, id)
		third := two.attachTo("ada", thread, id, "Last-Event-ID", "17", "Accept", "application/json")
		ahead.hello()
		e, _ := ahead.next()
		assert.Less(t, time.Since(began), 3*saveEvery, "as it grows, not at its end")
		text += e.data["text"].(string)
		rest, _, done := ahead.rest()
		assert.Equal(t, said(300), text+rest)
		assert.Equal(t, "done", done.name)
		assert.Greater(t, time.Since(began), 2*grace)
		assert.Equal(t, object{"input_tokens": 10.0, "output_tokens": 300.0}, done.data["usage"])
		other.hello()
		all, _, _ := other.rest()
		assert.Equal(t, said(300), all)
		assert.Equal(t, said(300), third.body()["message"].(object)["content"])
	})
}

func TestReadersElsewhereThatLeaveCancelTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.replica(counts(3000, 100*time.Millisecond)), w.replica(nil)
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		s.leave()
		s = two.attachTo("ada", thread, id)
		s.hello()
		time.Sleep(30 * time.Second)
		s.leave()
		time.Sleep(grace + markEvery + time.Second)
		m := w.messages("ada", thread)[1]
		assert.Equal(t, data.Stopped, m.State)
		assert.InDelta(t, 40*10*2, len(m.Content), 60)
		two.mu.Lock()
		defer two.mu.Unlock()
		assert.Empty(t, two.live, "nobody follows what nobody reads")
	})
}

func TestAStopOnAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.replica(counts(3000, 100*time.Millisecond)), w.replica(nil)
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		time.Sleep(3 * time.Second)
		began := time.Now()
		stop := two.send("ada", "DELETE", "/api/threads/"+thread+"/messages/"+id+"/stream", "")
		<-stop.begun
		assert.Equal(t, 204, stop.status)
		assert.LessOrEqual(t, time.Since(began), 3*saveEvery)
		_, _, last := s.rest()
		assert.Equal(t, "done", last.name)
		assert.Equal(t, data.Stopped, w.messages("ada", thread)[1].State)
	})
}

func TestAnAnswerWhoseProcessDiedIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		two := w.replica(counts(1, 0))
		thread := w.thread("ada")
		_, m, err := w.db.StartAnswer(t.Context(), w.users["ada"].ID, thread, "why?")
		require.NoError(t, err)
		_, err = w.db.SaveAnswer(t.Context(), m.ID, "half an ans")
		require.NoError(t, err) // and then: kill -9
		began := time.Now()
		s := two.attachTo("ada", thread, m.ID, "Last-Event-ID", "900") // what was told and not saved
		s.hello()
		assert.EqualValues(t, 409, two.ask("ada", thread, "x").body()["status"])
		text, _, last := s.rest()
		assert.Empty(t, text)
		require.Equal(t, "failed", last.name)
		assert.EqualValues(t, 503, last.data["status"])
		assert.Equal(t, "half an ans", last.data["message"].(object)["content"])
		assert.InDelta(t, data.Abandoned, time.Since(began), float64(time.Second))
		got := w.messages("ada", thread)[1]
		assert.Equal(t, []string{"half an ans", data.Failed, data.Interrupted}, []string{got.Content, got.State, got.Failure})
		_, _, last = two.ask("ada", thread, "again").rest()
		assert.Equal(t, "done", last.name)
	})
}

// A flaky is a database that is away now and then.
type flaky struct {
	*data.DB
	away atomic.Bool
}

func (f *flaky) SaveAnswer(ctx context.Context, id, content string) (data.Message, error) {
	if f.away.Load() {
		return data.Message{}, context.DeadlineExceeded
	}
	return f.DB.SaveAnswer(ctx, id, content)
}

func (f *flaky) EndAnswer(ctx context.Context, m data.Message) error {
	if f.away.Load() {
		return context.DeadlineExceeded
	}
	return f.DB.EndAnswer(ctx, m)
}

func (f *flaky) Message(ctx context.Context, userID, threadID, id string) (data.Message, error) {
	if f.away.Load() {
		return data.Message{}, context.DeadlineExceeded
	}
	return f.DB.Message(ctx, userID, threadID, id)
}

// TestAfterAnOutageTheOwnerIsAskedFirst: the row is old for want of a database, not
// of an owner, and who follows it may be the first to get through again.
func TestAfterAnOutageTheOwnerIsAskedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		owner, other := &flaky{DB: w.db}, &flaky{DB: w.db}
		one := w.replica(counts(400, 100*time.Millisecond), func(c *Config) { c.Data = owner })
		two := w.replica(nil, func(c *Config) { c.Data = other })
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		elsewhere := two.attachTo("ada", thread, id)
		time.AfterFunc(5*time.Second, func() { owner.away.Store(true); other.away.Store(true) })
		time.AfterFunc(25*time.Second, func() { other.away.Store(false) })
		three := w.replica(nil)
		time.AfterFunc(25*time.Second, func() { three.attachTo("ada", thread, id).rest() })
		time.AfterFunc(26*time.Second, func() { owner.away.Store(false) })
		go s.rest()
		elsewhere.hello()
		text, _, last := elsewhere.rest()
		assert.Equal(t, []string{said(400), "done"}, []string{text, last.name})
	})
}

func TestADatabaseThatIsAwayForAMomentCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		db := &flaky{DB: w.db}
		r := w.replica(counts(50, 100*time.Millisecond), func(c *Config) { c.Data = db })
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		s.hello()
		time.AfterFunc(2*time.Second, func() { db.away.Store(true) })
		time.AfterFunc(8*time.Second, func() { db.away.Store(false) })
		began := time.Now()
		text, _, last := s.rest()
		assert.Equal(t, []string{said(50), "done"}, []string{text, last.name})
		assert.InDelta(t, 8*time.Second, time.Since(began), float64(time.Second), "told when it is saved")
		assert.Equal(t, said(50), w.messages("ada", thread)[1].Content)
	})
}

func TestADatabaseThatStaysAwayEndsTheAnswerAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		db := &flaky{DB: w.db}
		r := w.replica(counts(50, 100*time.Millisecond), func(c *Config) { c.Data = db })
		thread := w.thread("ada")
		s := r.ask("ada", thread, "count")
		s.hello()
		time.AfterFunc(2*time.Second, func() { db.away.Store(true) })
		text, _, last := s.rest()
		assert.Equal(t, []string{said(50), "failed"}, []string{text, last.name})
		assert.Contains(t, w.log.String(), "an answer was not saved")
		assert.EqualValues(t, budgetTokens-60, r.left(ruleTokens, "ada"), "it was paid for")
		assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
	})
}

func TestADrainTellsReadersAndSavesAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		words int
		state string
		after time.Duration // since the drain began
	}{
		"done in time":                 {80, data.Done, 6 * time.Second},
		"cut near the end of the time": {3000, data.Failed, 16 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				one, two := w.replica(counts(tt.words, 100*time.Millisecond)), w.replica(nil)
				thread := w.thread("ada")
				s := one.ask("ada", thread, "count")
				whole := one.ask("alan", w.thread("alan"), "count", "Accept", "application/json")
				id := s.hello()
				var read strings.Builder
				for range 20 {
					e, _ := s.next()
					read.WriteString(e.data["text"].(string))
				}
				began := time.Now()
				drained := make(chan time.Duration)
				go func() {
					one.drain(20 * time.Second)
					drained <- time.Since(began)
				}()
				text, last, event := s.rest()
				assert.Equal(t, "reconnect", event.name)
				whole.body()
				assert.Equal(t, 202, whole.status)
				assert.Zero(t, time.Since(began))
				if last == "" {
					last = strconv.Itoa(len(read.String()))
				}
				elsewhere := two.attachTo("ada", thread, id, "Last-Event-ID", last)
				elsewhere.hello()
				rest, _, event := elsewhere.rest()
				m := w.messages("ada", thread)[1]
				assert.Equal(t, tt.state, m.State)
				assert.Equal(t, m.Content, read.String()+text+rest)
				if tt.state == data.Done {
					assert.Equal(t, "done", event.name)
				} else {
					assert.Equal(t, "failed", event.name)
					assert.Equal(t, data.Interrupted, m.Failure)
					assert.EqualValues(t, 503, one.ask("ada", w.thread("ada"), "too late").body()["status"])
				}
				assert.InDelta(t, tt.after, <-drained, float64(time.Second))
				assert.EqualValues(t, 2, two.left(rulePlaces, "ada"))
				assert.Equal(t, budgetTokens-m.InputTokens-m.OutputTokens, two.left(ruleTokens, "ada"))
			})
		})
	}
}

func TestAQuestionDuringTheDrainIsAnsweredElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.replica(counts(50, 100*time.Millisecond)), w.replica(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		wait := one.Drain(ctx)
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		_, _, last := s.rest()
		assert.Equal(t, "reconnect", last.name)
		s = two.attachTo("ada", thread, id)
		s.hello()
		text, _, last := s.rest()
		assert.Equal(t, []string{said(50), "done"}, []string{text, last.name})
		wait()
	})
}

func TestAProviderThatDoesNotListenDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		r := w.replica(script(func(context.Context, ai.Request, func(string) error) (ai.Result, error) {
			<-release
			return ai.Result{}, errors.New("at last")
		}))
		s := r.ask("ada", w.thread("ada"), "x")
		s.hello()
		began := time.Now()
		r.drain(10 * time.Second)
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.Contains(t, w.log.String(), "were not saved before the shutdown timeout")
		close(release)
		s.rest()
		time.Sleep(time.Minute)
	})
}

// TestAnOwnerThatComesBackTooLateDoesNotClaimTheAnswer: its database was away for
// so long that somebody else has ended the answer.
func TestAnOwnerThatComesBackTooLateDoesNotClaimTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		db := &flaky{DB: w.db}
		one, two := w.replica(counts(500, 100*time.Millisecond), func(c *Config) { c.Data = db }), w.replica(nil)
		thread := w.thread("ada")
		s := one.ask("ada", thread, "count")
		id := s.hello()
		time.AfterFunc(5*time.Second, func() { db.away.Store(true) })
		time.AfterFunc(30*time.Second, func() { db.away.Store(false) })
		time.AfterFunc(6*time.Second, func() { two.attachTo("ada", thread, id).rest() })
		began := time.Now()
		text, _, last := s.rest()
		assert.Equal(t, "failed", last.name)
		assert.InDelta(t, 30*time.Second, time.Since(began), float64(2*time.Second), "it stops paying")
		m := w.messages("ada", thread)[1]
		assert.Equal(t, []string{data.Failed, data.Interrupted}, []string{m.State, m.Failure})
		assert.Equal(t, text[:len(m.Content)], m.Content)
		assert.EqualValues(t, 2, one.left(rulePlaces, "ada"))
	})
}

// TestOnPostgreSQL is the way through two replicas on the other database.
func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db, err := data.Open(t.Context(), config.Database{Driver: "postgres", DSN: server.Database(t)})
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.NoError(t, db.Migrate(t.Context()))
	w := newWorldOn(t, db)
	one, two := w.replica(counts(40, 50*time.Millisecond)), w.replica(nil)
	thread := w.thread("ada")
	s := one.ask("ada", thread, "count")
	id := s.hello()
	e, _ := s.next()
	s.leave()
	s = two.attachTo("ada", thread, id, "Last-Event-ID", e.id)
	s.hello()
	text, _, last := s.rest()
	assert.Equal(t, []string{said(40), "done"}, []string{e.data["text"].(string) + text, last.name})

	one = w.replica(counts(4000, 50*time.Millisecond))
	s = one.ask("ada", thread, "count")
	id = s.hello()
	stop := two.send("ada", "DELETE", "/api/threads/"+thread+"/messages/"+id+"/stream", "")
	<-stop.begun
	assert.Equal(t, 204, stop.status)
	_, _, last = s.rest()
	assert.Equal(t, data.Stopped, last.data["message"].(object)["state"])
}
