package chat

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/api"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// What goes to the provider of a thread: its last messages, and of these the last
// bytes. Every question pays for all of them again.
const (
	historyMessages = 20
	historyBytes    = 32 << 10
)

// firstText is how long a question waits for the provider before its client gets
// the headers: until then a failure is a status, and nothing is saved.
const firstText = 3 * time.Second

// stopWait is how long a stop waits for the end: another replica hears of it
// within saveEvery, and so do we of what it did.
const stopWait = 3 * time.Second

// Register adds the routes to the mux, each behind protect.
func (h *Hub) Register(mux *http.ServeMux, protect func(http.Handler) http.Handler) {
	handle := func(pattern string, limit func(http.Handler) http.Handler, f func(http.ResponseWriter, *http.Request, data.User) error) {
		mux.Handle(pattern, protect(limit(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, ok := auth.UserFrom(r.Context())
			if !ok {
				problems.Unauthorized(w, r, "")
				return
			}
			if err := f(w, r, user); err != nil {
				api.Fail(w, r, err)
			}
		}))))
	}
	none := func(next http.Handler) http.Handler { return next }
	handle("POST /api/threads/{id}/chat", none, h.ask)
	handle("GET /api/threads/{id}/messages/{mid}/stream", h.Places.Handler, h.reattach)
	handle("DELETE /api/threads/{id}/messages/{mid}/stream", none, h.stopAnswer)
}

// ask looks at the question before it asks the limits: a mistake, a thread that
// is not there or is busy costs nothing.
func (h *Hub) ask(w http.ResponseWriter, r *http.Request, u data.User) error {
	if h.Provider == nil {
		problems.Write(w, r, http.StatusServiceUnavailable, "Chat is not configured: the server has no key of an AI provider.")
		return nil
	}
	content, err := api.Text(r, "content", api.MaxContent)
	if err != nil {
		return err
	}
	thread := r.PathValue("id")
	history, err := h.history(r.Context(), u.ID, thread)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(own(r.Context()))
	j := &job{answer: newAnswer(stop), request: h.request(history, content), began: time.Now()}
	begun := false
	defer func() {
		if !begun { // also after a panic
			h.drop(ctx, j)
		}
	}()
	if !h.reserve(j.answer) {
		w.Header().Set("Retry-After", "2")
		problems.Write(w, r, http.StatusServiceUnavailable, "Too much is being answered right now. Try again shortly.")
		return nil
	}
	if !h.admit(w, r, j) {
		return nil
	}
	if j.question, j.message, err = h.Data.StartAnswer(r.Context(), u.ID, thread, content); err != nil {
		return err
	}
	begun = true
	h.publish(j.message.ID, j.answer)
	j.enter()
	defer j.leave()
	go func() {
		defer stop(nil)
		h.run(ctx, j)
	}()
	return h.first(w, r, j)
}

// history is the end of the thread; it is ErrStreaming where an answer is being
// written. The database looks again when it starts one.
func (h *Hub) history(ctx context.Context, userID, thread string) ([]data.Message, error) {
	all, err := h.Data.LastMessages(ctx, userID, thread, historyMessages)
	for _, m := range all {
		if m.State == data.Streaming && !m.Abandoned() {
			return nil, data.ErrStreaming
		}
	}
	return all, err
}

// admit asks the limits, all or none, and answers where they refuse. A place is
// asked for first: it can be given back.
func (h *Hub) admit(w http.ResponseWriter, r *http.Request, j *job) bool {
	decision, place, _ := h.Places.Take(r)
	if place == nil {
		refuse(w, decision)
		return false
	}
	j.budget = &budget{place: place, reserved: h.reservation(j.request)}
	h.Limits.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		j.budget.tokens = ratelimit.PermitFrom(r.Context())
	})).ServeHTTP(w, withCost(r, j.budget.reserved))
	return j.budget.tokens != nil
}

// drop gives back what an answer has got that does not begin.
func (h *Hub) drop(ctx context.Context, j *job) {
	if err := j.budget.undo(); err != nil {
		h.Log.WarnContext(ctx, "an answer that did not begin was booked", "error", err)
	}
	h.release("", j.answer)
	j.stop(nil)
}

// request is the conversation so far and the question.
func (h *Hub) request(history []data.Message, content string) ai.Request {
	from, size := len(history), 0
	for from > 0 && size+len(history[from-1].Content) <= historyBytes {
		from--
		size += len(history[from].Content)
	}
	req := ai.Request{MaxTokens: h.MaxTokens}
	for _, m := range history[from:] {
		// What has failed is no answer: it would teach the model to break off.
		if m.Content != "" && (m.State == data.Done || m.State == data.Stopped) {
			req.Messages = append(req.Messages, ai.Message{Role: m.Role, Content: m.Content})
		}
	}
	req.Messages = append(req.Messages, ai.Message{Role: ai.User, Content: content})
	return req
}

// first waits for the first word, or for the failure in place of it, and then
// answers in the form that the client wants.
func (h *Hub) first(w http.ResponseWriter, r *http.Request, j *job) error {
	question := api.MessageOf(j.question)
	if wantsJSON(r) {
		return h.whole(w, r, j.answer, j.message, &question)
	}
	wait := time.NewTimer(firstText)
	defer wait.Stop()
	_, _, end, changed := j.after(0)
	if end == nil {
		select {
		case <-changed:
		case <-wait.C:
		case <-h.leaving:
		case <-r.Context().Done():
		}
	}
	if !j.show() {
		for end == nil { // it is being taken back
			if _, _, end, changed = j.after(0); end == nil {
				<-changed
			}
		}
		fail(w, r, end)
		return nil
	}
	h.stream(w, r, j.answer, 0, greeting{&question, api.MessageOf(j.message)})
	return nil
}

// reattach goes on behind the last event that the client has got.
func (h *Hub) reattach(w http.ResponseWriter, r *http.Request, u data.User) error {
	m, err := h.Data.Message(r.Context(), u.ID, r.PathValue("id"), r.PathValue("mid"))
	if err != nil {
		return err
	}
	if m.Role != ai.Assistant {
		return data.ErrNotFound
	}
	a := h.attach(r.Context(), u.ID, m)
	defer a.leave()
	a.show()
	if wantsJSON(r) {
		return h.whole(w, r, a, m, nil)
	}
	offset, known := lastEventID(r)
	if _, _, end, _ := a.after(offset); end != nil && known && offset == a.len() {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.stream(w, r, a, offset, greeting{Message: api.MessageOf(m)})
	return nil
}

// stopAnswer asks the owner, which is here or where the row is read, and waits a
// moment: 204, it has ended, if not of this; 202, it is going to.
func (h *Hub) stopAnswer(w http.ResponseWriter, r *http.Request, u data.User) error {
	m, err := h.Data.Message(r.Context(), u.ID, r.PathValue("id"), r.PathValue("mid"))
	if err != nil {
		return err
	}
	a := h.attach(r.Context(), u.ID, m)
	defer a.leave()
	if a.stop != nil {
		a.stop(errStopped)
	} else if m.State == data.Streaming {
		if err := h.Data.StopAnswer(r.Context(), m.ID); err != nil && !errors.Is(err, data.ErrNotFound) {
			return err
		}
	}
	patience := time.NewTimer(stopWait)
	defer patience.Stop()
	for {
		_, _, end, changed := a.after(0)
		if end != nil {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		select {
		case <-changed:
		case <-patience.C:
			w.WriteHeader(http.StatusAccepted)
			return nil
		}
	}
}

// lastEventID is the offset that an ID of ours names. Who sends another has
// nothing of the text.
func lastEventID(r *http.Request) (offset int, known bool) {
	n, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 31)
	if err != nil {
		return 0, false
	}
	return int(n), true
}

// wantsJSON takes what the client names first.
func wantsJSON(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		t, params, _ := mime.ParseMediaType(part)
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q == 0 {
			continue // RFC 9110, section 12.4.2: not acceptable
		}
		switch t {
		case "application/json":
			return true
		case "text/event-stream":
			return false
		}
	}
	return false
}
