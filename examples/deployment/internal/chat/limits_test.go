package chat

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// refused asserts a 429 that names the policy, and that nothing was saved.
func refused(t *testing.T, r *replica, s *response, thread, policy string) {
	t.Helper()
	body := s.body()
	require.Equal(t, http.StatusTooManyRequests, s.status)
	assert.Equal(t, "application/problem+json", s.header.Get("Content-Type"))
	assert.Equal(t, "no-store", s.header.Get("Cache-Control"))
	assert.Equal(t, "https://iana.org/assignments/http-problem-types#quota-exceeded", body["type"])
	assert.Equal(t, []any{policy}, body["violated-policies"])
	assert.NotEmpty(t, s.header.Get("Retry-After"))
	assert.Empty(t, r.messages("ada", thread), "no question is kept that was not answered")
}

func TestTenQuestionsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(1, 0))
		thread, empty := w.thread("ada"), w.thread("ada")
		for range 10 {
			_, _, last := r.ask("ada", thread, "x").rest()
			require.Equal(t, "done", last.name)
		}
		s := r.ask("ada", empty, "x")
		refused(t, r, s, empty, ruleRequests)
		assert.Equal(t, "6", s.header.Get("Retry-After"))
		assert.Contains(t, s.header.Get("RateLimit"), `"ai";r=0;t=6`)
		assert.EqualValues(t, budgetTokens-10*11, r.left(ruleTokens, "ada"), "what was refused cost nothing")
		assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
		s = r.ask("alan", w.thread("alan"), "x")
		_, _, last := s.rest()
		assert.Equal(t, "done", last.name)
		time.Sleep(6 * time.Second)
		_, _, last = r.ask("ada", empty, "x").rest()
		assert.Equal(t, "done", last.name)
	})
}

func TestTwoAnswersAtATimeOnAllReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.replica(counts(100, time.Second)), w.replica(counts(100, time.Second))
		first, third := w.thread("ada"), w.thread("ada")
		s := one.ask("ada", first, "x")
		id := s.hello()
		other := two.ask("ada", w.thread("ada"), "x")
		other.hello()
		refused(t, one, one.ask("ada", third, "x"), third, rulePlaces)
		assert.EqualValues(t, 8, one.left(ruleRequests, "ada"), "what was refused cost nothing")

		s.leave() // the provider goes on, so the place is taken
		<-s.over
		refused(t, two, two.ask("ada", third, "x"), third, rulePlaces)
		stop := two.send("ada", "DELETE", "/api/threads/"+first+"/messages/"+id+"/stream", "")
		<-stop.begun
		assert.Equal(t, 204, stop.status, "through the row")
		again := one.ask("ada", third, "x")
		again.hello()
		again.leave()
		other.leave()
		time.Sleep(time.Minute)
		assert.EqualValues(t, 2, one.left(rulePlaces, "ada"))
	})
}

func TestTheBudgetOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var usage ai.Usage
		r := w.replica(script(func(_ context.Context, _ ai.Request, emit func(string) error) (ai.Result, error) {
			return ai.Result{Usage: usage}, emit("text")
		}))
		thread, empty := w.thread("ada"), w.thread("ada")
		ask := func(content string) { r.ask("ada", thread, content).rest() }
		usage = ai.Usage{Input: 3000, Output: 5500} // more than was reserved: 1000 and the question
		ask("x")
		assert.EqualValues(t, 1500, r.left(ruleTokens, "ada"))
		refused(t, r, r.ask("ada", empty, strings.Repeat("long ", 1000)), empty, ruleTokens)
		usage = ai.Usage{Input: 400, Output: 600}
		ask("y")
		assert.EqualValues(t, 500, r.left(ruleTokens, "ada"))
		s := r.ask("ada", empty, "less than one answer can cost")
		refused(t, r, s, empty, ruleTokens)
		assert.EqualValues(t, 500, r.left(ruleTokens, "ada"))
		assert.EqualValues(t, 8, r.left(ruleRequests, "ada"))
	})
}

func TestAMistakeCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(100, time.Second))
		thread := w.thread("ada")
		path := "/api/threads/" + thread + "/chat"
		for _, tt := range []struct {
			name, path, body, contentType string
			status                        int
		}{
			{"no body", path, "", "application/json", 400},
			{"no JSON", path, "{", "application/json", 400},
			{"a form", path, `{"content":"x"}`, "text/plain", 415},
			{"nothing in it", path, `{"content":" "}`, "application/json", 400},
			{"too much", path, `{"content":"` + strings.Repeat("x", 32_001) + `"}`, "application/json", 400},
			{"a NUL", path, `{"content":"a\u0000"}`, "application/json", 400},
			{"no thread", "/api/threads/x/chat", `{"content":"x"}`, "application/json", 404},
			{"another's thread", "/api/threads/" + w.thread("alan") + "/chat", `{"content":"x"}`, "application/json", 404},
		} {
			s := r.send("ada", "POST", tt.path, tt.body, "Content-Type", tt.contentType)
			assert.EqualValues(t, tt.status, s.body()["status"], tt.name)
		}
		assert.Empty(t, w.messages("ada", thread))
		for rule, n := range map[string]int64{ruleRequests: 10, rulePlaces: 2, ruleTokens: budgetTokens} {
			assert.Equal(t, n, r.left(rule, "ada"), rule)
		}

		// Two questions at once.
		s := r.ask("ada", thread, "x")
		s.hello()
		assert.EqualValues(t, 409, r.ask("ada", thread, "y").body()["status"])
		assert.EqualValues(t, 9, r.left(ruleRequests, "ada"))
		assert.EqualValues(t, 1, r.left(rulePlaces, "ada"))
		s.leave()
		time.Sleep(time.Minute)
	})
}

// TestQuestionsInTheSameMomentHaveOneAnswer: all pass the look at the thread, and
// the database decides.
func TestQuestionsInTheSameMomentHaveOneAnswer(t *testing.T) {
	w := newWorld(t)
	one, two := w.replica(counts(1, 0)), w.replica(counts(1, 0))
	thread := w.thread("ada")
	var done, busy atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		r := []*replica{one, two}[i%2]
		wg.Go(func() {
			s := r.ask("ada", thread, "x")
			_, _, last := s.rest()
			<-s.over
			switch s.status {
			case 200:
				assert.Equal(t, "done", last.name)
				done.Add(1)
			case 409, 429:
				busy.Add(1)
			default:
				t.Errorf("status %d", s.status)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 8, done.Load()+busy.Load())
	assert.Positive(t, done.Load())
	assert.Len(t, w.messages("ada", thread), int(2*done.Load()))
	assert.Equal(t, budgetTokens-11*done.Load(), one.left(ruleTokens, "ada"))
	assert.Equal(t, 10-done.Load(), one.left(ruleRequests, "ada"), "who lost the race got everything back")
	assert.EqualValues(t, 2, one.left(rulePlaces, "ada"))
}

// A broken is a database that fails, or panics, when an answer is to begin.
type broken struct {
	*data.DB
	panics bool
}

func (b broken) StartAnswer(context.Context, string, string, string) (question, answer data.Message, err error) {
	if b.panics {
		panic("hush")
	}
	return question, answer, context.DeadlineExceeded
}

func TestAnAnswerThatCannotBeginCostsNothing(t *testing.T) {
	for name, db := range map[string]broken{"the database is away": {}, "a panic": {panics: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			db.DB = w.db
			r := w.replica(counts(1, 0), func(c *Config) { c.Data = db })
			r.mux = recovering(r.mux)
			s := r.ask("ada", w.thread("ada"), "x")
			s.body()
			<-s.over
			assert.GreaterOrEqual(t, s.status, 500)
			for rule, n := range map[string]int64{ruleRequests: 10, rulePlaces: 2, ruleTokens: budgetTokens} {
				assert.Equal(t, n, r.left(rule, "ada"), rule)
			}
			assert.Empty(t, r.running)
		})
	}
}

// recovering is what the access log of the stack does with a panic.
func recovering(next http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
	return mux
}

func TestReadersOfOneUserAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(counts(100, time.Second))
		thread := w.thread("ada")
		first := r.ask("ada", thread, "x")
		id := first.hello()
		var open []*response
		for range 8 {
			s := r.attachTo("ada", thread, id)
			s.hello()
			open = append(open, s)
		}
		s := r.attachTo("ada", thread, id)
		assert.Equal(t, []any{ruleReaders}, s.body()["violated-policies"])
		open[0].leave()
		<-open[0].over
		s = r.attachTo("ada", thread, id)
		s.hello()
		for _, s := range append(open, s, first) {
			s.leave()
		}
		time.Sleep(time.Minute)
		assert.EqualValues(t, 8, r.left(ruleReaders, "ada"))
	})
}

func TestOneProcessHasSoManyAnswersRunning(t *testing.T) {
	w := newWorld(t)
	r := w.replica(counts(1, 0))
	var reserved []*answer
	for range maxRunning {
		a := newAnswer(nil)
		require.True(t, r.reserve(a))
		reserved = append(reserved, a)
	}
	thread := w.thread("ada")
	s := r.ask("ada", thread, "x")
	assert.EqualValues(t, 503, s.body()["status"])
	assert.NotEmpty(t, s.header.Get("Retry-After"))
	assert.EqualValues(t, 10, r.left(ruleRequests, "ada"))
	r.release("", reserved[0])
	_, _, last := r.ask("ada", thread, "x").rest()
	assert.Equal(t, "done", last.name)
}

func TestTheBudgetIsExactHoweverAnAnswerEnds(t *testing.T) {
	for name, end := range map[string]func(r *replica, s *response, path string){
		"the client leaves": func(_ *replica, s *response, _ string) { s.leave() },
		"it is stopped": func(r *replica, _ *response, path string) {
			<-r.send("ada", "DELETE", path+"/stream", "").over
		},
		"its thread is deleted": func(r *replica, _ *response, path string) {
			thread := strings.Split(path, "/")[3]
			if err := r.db.DeleteThread(context.Background(), r.users["ada"].ID, thread); err != nil {
				panic(err)
			}
		},
		"the process drains": func(r *replica, _ *response, _ string) { r.drain(10 * time.Second) },
		"it is done":         func(*replica, *response, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := w.replica(counts(60, time.Second))
				thread := w.thread("ada")
				s := r.ask("ada", thread, "x")
				id := s.hello()
				assert.Equal(t, budgetTokens-1000-guess(1), r.left(ruleTokens, "ada"), "reserved")
				go s.rest()
				time.Sleep(4250 * time.Millisecond) // it never ends in the same moment as a word comes
				end(r, s, "/api/threads/"+thread+"/messages/"+id)
				time.Sleep(time.Minute)
				m, err := w.db.Message(t.Context(), w.users["ada"].ID, thread, id)
				cost := m.InputTokens + m.OutputTokens
				if err != nil { // deleted: five words
					require.ErrorIs(t, err, data.ErrNotFound)
					cost = 10 + 5
				} else {
					assert.NotEqual(t, data.Streaming, m.State)
					assert.Equal(t, max(int64(len(m.Content)/2), min(guess(len(m.Content)), m.OutputTokens)), m.OutputTokens)
				}
				assert.Equal(t, budgetTokens-cost, r.left(ruleTokens, "ada"))
				assert.EqualValues(t, 2, r.left(rulePlaces, "ada"))
			})
		})
	}
}

func TestTheFormIsWhatTheClientNamesFirst(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": true, "text/event-stream": false,
		"application/json, text/event-stream": true, "text/event-stream, application/json": false,
		"application/json;q=0, text/event-stream": false, "text/event-stream;q=0.0, application/json": true,
		"application/json;q=x": true, `;;,"`: false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Accept", accept)
		assert.Equal(t, want, wantsJSON(r), accept)
	}
}

func TestThoughtsAreNotFreeForWhoStopsBeforeTheFirstWord(t *testing.T) {
	for after, cost := range map[time.Duration]int64{
		500 * time.Millisecond: 0, // nobody has thought much
		8 * time.Second:        8 * 50,
		50 * time.Second:       1000, // what an answer may have
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.replica(fails("", time.Hour, nil)) // silent
			thread := w.thread("ada")
			s := r.ask("ada", thread, "x")
			go s.rest()
			time.Sleep(after)
			id := w.messages("ada", thread)[1].ID
			<-r.send("ada", "DELETE", "/api/threads/"+thread+"/messages/"+id+"/stream", "").over
			m, err := w.db.Message(t.Context(), w.users["ada"].ID, thread, id)
			require.NoError(t, err)
			assert.Equal(t, data.Stopped, m.State)
			assert.Equal(t, cost, m.OutputTokens)
			assert.Equal(t, budgetTokens-m.InputTokens-cost, r.left(ruleTokens, "ada"))
		})
	}
}

// TestNothingIsLostWhateverHappensAtOnce: on two replicas readers come, leave and
// stop while answers end, threads are deleted and one replica drains. Then no
// place is taken, no row is streaming, nobody waits, and the budget is exact.
func TestNothingIsLostWhateverHappensAtOnce(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) // of the test's goroutine alone
			w := newWorld(t)
			w.requests, w.tokens, w.concurrent = "1000/minute", "1000000/year", 100
			var cost atomic.Int64
			says := func(n int, pause time.Duration) script {
				return func(ctx context.Context, req ai.Request, emit func(string) error) (ai.Result, error) {
					text := 0
					result, err := counts(n, pause)(ctx, req, func(s string) error {
						err := emit(s)
						if err == nil {
							text += len(s)
						}
						return err
					})
					used := spent(result.Usage, req, text, err == nil, true)
					cost.Add(used.Input + used.Output)
					return result, err
				}
			}
			replicas := []*replica{w.replica(says(40, 100*time.Millisecond)), w.replica(says(70, 90*time.Millisecond))}
			soon := func() time.Duration { return time.Duration(random.IntN(9000)) * time.Millisecond }
			var all sync.WaitGroup
			for range 25 {
				thread := w.thread("ada")
				r, other := replicas[random.IntN(2)], replicas[random.IntN(2)]
				begin, act, what := soon(), soon(), random.IntN(5)
				all.Go(func() {
					time.Sleep(begin)
					s := r.ask("ada", thread, "x")
					if <-s.begun; s.status != 200 {
						assert.Equal(t, 503, s.status)
						s.leave()
						return
					}
					path := "/api/threads/" + thread + "/messages/" + s.hello() + "/stream"
					all.Go(func() { s.rest() })
					time.Sleep(act)
					switch what {
					case 0:
						s.leave()
					case 1:
						other.send("ada", "DELETE", path, "").body()
					case 2:
						_ = w.db.DeleteThread(t.Context(), w.users["ada"].ID, thread)
					case 3:
						for range 3 {
							other.send("ada", "GET", path, "").rest()
						}
					}
				})
			}
			time.Sleep(7 * time.Second)
			replicas[0].drain(4 * time.Second)
			all.Wait()
			time.Sleep(time.Minute)
			replicas[1].drain(time.Second)
			time.Sleep(time.Minute)
			for _, r := range replicas {
				r.mu.Lock()
				assert.Empty(t, r.live)
				assert.Empty(t, r.running)
				r.mu.Unlock()
			}
			threads, err := w.db.Threads(t.Context(), w.users["ada"].ID, "", 100)
			require.NoError(t, err)
			for _, thread := range threads {
				for _, m := range w.messages("ada", thread.ID) {
					assert.NotEqual(t, data.Streaming, m.State)
				}
			}
			assert.InDelta(t, 1_000_000-cost.Load(), replicas[0].left(ruleTokens, "ada"), 6, "what refills in three minutes")
			assert.EqualValues(t, 100, replicas[0].left(rulePlaces, "ada"))
			assert.EqualValues(t, 400, replicas[0].left(ruleReaders, "ada"))
		})
	}
}
