package aitest

import (
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
)

//go:embed testdata
var testdata embed.FS

// Fault is what goes wrong.
type Fault string

// The faults. Those with "after text" strike when the first piece was sent.
const (
	None Fault = ""

	// Instead of a stream.
	RateLimited Fault = "429"
	Overloaded  Fault = "529 or 503"
	ServerError Fault = "500"
	WrongKey    Fault = "key refused, and quoted"
	NoBalance   Fault = "account refused"
	BadRequest  Fault = "request refused"
	Redirected  Fault = "redirect"
	HTML        Fault = "200 with HTML"
	BareJSON    Fault = "200 with the JSON of an error"
	HugeError   Fault = "500 with an endless body"
	Unanswered  Fault = "closed without an answer"
	Silent      Fault = "no headers"

	// Within the stream.
	ErrorBeforeText Fault = "in-band error"
	ErrorAfterText  Fault = "in-band error after text"
	RawAfterStop    Fault = "bare JSON of an error at the end"
	EndBeforeText   Fault = "ended before text"
	EndAfterText    Fault = "ended after text"
	CutBeforeText   Fault = "cut before text"
	CutAfterText    Fault = "cut after text"
	MalformedBefore Fault = "malformed before text"
	MalformedAfter  Fault = "malformed after text"
	OnlyComments    Fault = "comments and pings only"
	OnlyThoughts    Fault = "silent after thoughts"
	SilentAfterText Fault = "silent after text"
	HangsAtEnd      Fault = "does not close"
	NoText          Fault = "whole, but without text"
	EndlessLine     Fault = "endless line"
	EndlessText     Fault = "endless text"
)

type answer struct {
	server *Server
	script Script
	w      http.ResponseWriter
	r      *http.Request
	flush  func() error
}

// play answers one request.
func (a *answer) play() {
	switch a.script.Fault {
	case RateLimited:
		a.refuse(http.StatusTooManyRequests, "429.json")
	case Overloaded:
		a.refuse(map[string]int{ai.Anthropic: 529}[a.server.Vendor], "overloaded.json")
	case ServerError:
		a.refuse(http.StatusInternalServerError, "500.json")
	case WrongKey:
		a.refuse(map[string]int{ai.Gemini: http.StatusBadRequest}[a.server.Vendor], "key.json")
	case NoBalance:
		a.refuse(map[string]int{ai.DeepSeek: http.StatusPaymentRequired}[a.server.Vendor], "balance.json")
	case BadRequest:
		a.refuse(http.StatusBadRequest, "400.json")
	case Redirected:
		http.Redirect(a.w, a.r, a.script.RedirectTo, http.StatusTemporaryRedirect)
	case HTML:
		a.w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(a.w, "<!doctype html><title>Maintenance</title>")
	case BareJSON:
		a.refuse(http.StatusOK, "overloaded.json")
	case HugeError:
		a.w.WriteHeader(http.StatusInternalServerError)
		a.forever(strings.Repeat("x", 4096))
	case Unanswered:
		panic(http.ErrAbortHandler)
	case Silent:
		a.wait(time.Hour)
	default:
		a.stream()
	}
}

// refuse sends a recorded error; without a status, the commonest for it.
func (a *answer) refuse(status int, name string) {
	if status == 0 {
		status = map[string]int{"key.json": 401, "balance.json": 400}[name]
	}
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	a.w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if a.script.RetryAfter != "" {
		a.w.Header().Set("Retry-After", a.script.RetryAfter)
	}
	a.w.WriteHeader(status)
	_, _ = io.WriteString(a.w, strings.ReplaceAll(a.server.recording(name), "{{key}}", Key))
}

// stream sends the recording: what is before the text, each piece, what is behind.
func (a *answer) stream() {
	head, text, tail := a.recorded()
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	_ = a.flush()
	a.write(head)
	if a.script.Noise {
		a.write(": keep-alive\n\nretry: 10\nid: 1\n\n")
	}
	if a.before() {
		return
	}
	if a.script.Noise {
		a.write("foo: bar\n" + a.server.recording("thoughts.sse"))
	}
	for i, piece := range a.script.Pieces {
		if a.wait(a.script.Delay) {
			return
		}
		quoted, _ := json.Marshal(piece)
		event := strings.ReplaceAll(text, "{{text}}", string(quoted))
		if a.script.Noise {
			event = ": keep-alive\n\n" + split(event)
		}
		a.write(event)
		if i == 0 && a.after(event) {
			return
		}
	}
	a.write(tail)
	switch a.script.Fault {
	case RawAfterStop:
		raw := a.server.recording("raw.txt")
		if raw == "" {
			raw = a.server.recording("overloaded.json")
		}
		a.write(raw)
	case HangsAtEnd:
		a.wait(time.Hour)
	}
}

// recorded is the stream around the event that holds the text, filled in.
func (a *answer) recorded() (head, text, tail string) {
	stop, output := a.script.Stop, len(a.script.Pieces)
	if stop == "" {
		stop = map[string]string{ai.Anthropic: "end_turn", ai.Gemini: "STOP", ai.DeepSeek: "stop"}[a.server.Vendor]
	}
	all := strings.NewReplacer("{{stop}}", strconv.Quote(stop), "{{input}}", strconv.Itoa(Input),
		"{{output}}", strconv.Itoa(output)).Replace(a.server.recording("stream.sse"))
	at := strings.Index(all, "{{text}}")
	from := strings.LastIndex(all[:at], "\n\n") + 2
	if from == 1 { // it is the first event
		from = 0
	}
	to := at + strings.Index(all[at:], "\n\n") + 2
	head, text, tail = all[:from], all[from:to], all[to:]
	if a.script.Fault == RawAfterStop || a.script.Fault == OnlyComments {
		// The terminal event itself would end the call, where there is one.
		tail = strings.TrimSuffix(strings.TrimSuffix(tail, "data: [DONE]\n\n"), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	}
	return head, text, tail
}

// before plays the faults before any text; true: that was all.
func (a *answer) before() bool {
	switch a.script.Fault {
	case ErrorBeforeText:
		a.write(a.server.recording("error.sse"))
	case EndBeforeText:
	case CutBeforeText:
		panic(http.ErrAbortHandler)
	case MalformedBefore:
		a.write("data: {\"type\": oops\n\n")
		a.wait(time.Hour)
	case OnlyComments:
		ping := ": keep-alive\n\n"
		if a.server.Vendor == ai.Anthropic {
			ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
		}
		for !a.wait(5 * time.Millisecond) {
			a.write(ping)
		}
	case OnlyThoughts:
		a.write(a.server.recording("thoughts.sse"))
		a.wait(time.Hour)
	case NoText:
		_, _, tail := a.recorded()
		a.write(tail)
	case EndlessLine:
		a.write("data: ")
		a.forever(strings.Repeat("x", 4096))
	default:
		return false
	}
	return true
}

// after plays the faults behind the first piece; true: that was all.
func (a *answer) after(event string) bool {
	switch a.script.Fault {
	case ErrorAfterText:
		a.write(a.server.recording("error.sse"))
	case EndAfterText:
	case CutAfterText:
		a.write(event[:len(event)-5])
		panic(http.ErrAbortHandler)
	case MalformedAfter:
		a.write("data: [1, 2\n\n")
		a.wait(time.Hour)
	case SilentAfterText:
		a.wait(time.Hour)
	case EndlessText:
		a.forever(strings.Replace(event, a.script.Pieces[0], strings.Repeat("more ", 4000), 1))
	default:
		return false
	}
	return true
}

// write sends bytes at once, with the line ends of the script.
func (a *answer) write(s string) {
	eol := a.script.EOL
	if eol == "" && a.server.Vendor == ai.Gemini {
		eol = "\r\n"
	}
	if eol != "" {
		s = strings.ReplaceAll(s, "\n", eol)
	}
	step := len(s)
	if a.script.EveryByte {
		step = 1
	}
	for len(s) > 0 {
		if _, err := io.WriteString(a.w, s[:step]); err != nil {
			return
		}
		_ = a.flush()
		s = s[step:]
	}
}

// forever writes until the client goes.
func (a *answer) forever(s string) {
	for !a.wait(0) {
		a.write(s)
	}
}

// wait tells whether the client, or the test, went away meanwhile.
func (a *answer) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-a.r.Context().Done():
		return true
	case <-a.server.closed:
		return true
	case <-t.C:
		return a.r.Context().Err() != nil
	}
}

// split spreads the data of an event over two lines, at a place where JSON allows
// it, behind the first brace.
func split(event string) string {
	return strings.Replace(event, "data: {", "data: {\ndata: ", 1)
}
