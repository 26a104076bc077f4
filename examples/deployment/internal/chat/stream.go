package chat

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/api"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

const (
	// heartbeat is well below the time that proxies allow a silent connection:
	// 55 s at Heroku, 60 s at Fly and ALB.
	heartbeat = 15 * time.Second
	// writeTimeout is how long a client may take one event from us: the server's
	// WriteTimeout is for whole responses, and would cut every stream.
	writeTimeout = 20 * time.Second
	// retry is what the client waits before it comes back, in milliseconds.
	retry = "retry: 1000\n\n"
)

// A greeting is the event "message": what the client needs to come back. The
// content of the answer is left to the events that follow.
type greeting struct {
	Question *api.Message `json:"user_message,omitempty"`
	Message  api.Message  `json:"message"`
}

type delta struct {
	Text string `json:"text"`
}

type usage struct {
	Input  int64 `json:"input_tokens"`
	Output int64 `json:"output_tokens"`
}

// A final is the event "done", and the whole answer as JSON.
type final struct {
	Question   *api.Message `json:"user_message,omitempty"`
	Message    api.Message  `json:"message"`
	Usage      usage        `json:"usage"`
	StopReason string       `json:"stop_reason,omitempty"`
	Problem    *problem     `json:"problem,omitempty"` // where it failed half-way
}

func finalOf(e *ending) final {
	return final{
		Message: api.MessageOf(e.message), Usage: usage{e.message.InputTokens, e.message.OutputTokens}, StopReason: e.stopReason,
	}
}

// A sink writes events (WHATWG HTML, section 9.2).
type sink struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error // the first; nothing is written after it
}

// open sends the headers.
func open(w http.ResponseWriter) *sink {
	s := &sink{w: w, rc: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
	return s
}

func (s *sink) write(text string) {
	if s.err != nil {
		return
	}
	if s.err = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); s.err != nil {
		return
	}
	if _, s.err = s.w.Write([]byte(text)); s.err == nil {
		s.err = s.rc.Flush()
	}
}

// event writes data as JSON, which has no line break; id below 0: none.
func (s *sink) event(name string, id int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of ours
	}
	text := "event: " + name + "\n"
	if id >= 0 {
		text += "id: " + strconv.Itoa(id) + "\n"
	}
	s.write(text + "data: " + string(body) + "\n\n")
}

// stream writes the answer from offset on, until it ends, the client leaves, or
// it is time to come back.
func (h *Hub) stream(w http.ResponseWriter, r *http.Request, a *answer, offset int, hello greeting) {
	hello.Message.Content = ""
	s := open(w)
	if r.Method == http.MethodHead {
		return
	}
	s.write(retry)
	s.event("message", -1, hello)
	enough := time.NewTimer(h.StreamMax)
	defer enough.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for s.err == nil {
		text, next, end, changed := a.after(offset)
		if len(text) > 0 {
			s.event("delta", next, delta{string(text)})
			offset = next
			beat.Reset(heartbeat)
		}
		if end != nil {
			s.end(end)
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			s.write(": ping\n\n")
		case <-r.Context().Done():
			return
		case <-enough.C:
			s.event("reconnect", -1, struct{}{})
			return
		case <-h.leaving:
			s.event("reconnect", -1, struct{}{})
			return
		}
	}
}

func (s *sink) end(e *ending) {
	if e.message.State == data.Failed {
		s.event("failed", -1, problemOf(e))
		return
	}
	s.event("done", -1, finalOf(e))
}

// whole answers with the whole answer once it is there. Where that takes longer
// than a response may, it is 202 and where to ask again.
func (h *Hub) whole(w http.ResponseWriter, r *http.Request, a *answer, m data.Message, question *api.Message) error {
	rc := http.NewResponseController(w)
	enough := time.NewTimer(h.StreamMax)
	defer enough.Stop()
	for {
		_, _, end, changed := a.after(0)
		if end != nil {
			_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
			return answered(w, r, end, question)
		}
		select {
		case <-changed:
			continue
		case <-r.Context().Done():
			return nil
		case <-enough.C:
		case <-h.leaving:
		}
		if !a.show() {
			<-changed // it is being taken back
			continue
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		w.Header().Set("Location", "/api/threads/"+m.ThreadID+"/messages/"+m.ID+"/stream")
		w.Header().Set("Retry-After", "1")
		return api.Reply(w, http.StatusAccepted, greeting{question, api.MessageOf(m)})
	}
}

// answered: what broke off half-way is a part of an answer, and says so.
func answered(w http.ResponseWriter, r *http.Request, end *ending, question *api.Message) error {
	if end.takenBack {
		fail(w, r, end)
		return nil
	}
	f := finalOf(end)
	f.Question = question
	if end.message.State == data.Failed {
		p := problemOf(end)
		p.Message = nil
		f.Problem = &p
	}
	return api.Reply(w, http.StatusOK, f)
}

// fail is the answer of which nothing was said or saved.
func fail(w http.ResponseWriter, r *http.Request, end *ending) {
	p := problemOf(end)
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	writeProblem(w, r, p)
}

func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // structs of ours
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
