// Package api is the application's own JSON API: the user, threads and their
// messages. Everything is scoped by the user: another's thread is a 404, as if it
// did not exist.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/auth"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/problems"
)

// Data is what the API needs of the database; *data.DB has it.
type Data interface {
	Threads(ctx context.Context, userID, before string, limit int) ([]data.Thread, error)
	CreateThread(ctx context.Context, userID, title string) (data.Thread, error)
	Thread(ctx context.Context, userID, id string) (data.Thread, error)
	RenameThread(ctx context.Context, userID, id, title string) (data.Thread, error)
	DeleteThread(ctx context.Context, userID, id string) error
	Messages(ctx context.Context, userID, threadID, after string, limit int) ([]data.Message, error)
	AddMessage(ctx context.Context, userID, threadID, role, content string) (data.Message, error)
	EditMessage(ctx context.Context, userID, threadID, id, content string) (data.Message, error)
	DeleteMessage(ctx context.Context, userID, threadID, id string) error
}

// Bounds of what a client may store, in characters, and of a page of a list.
const (
	maxTitle   = 200
	MaxContent = 32_000
	pageSize   = 50
	maxPage    = 100
)

// Register adds the routes to the mux, each behind protect (authentication and
// the limits per user).
func Register(mux *http.ServeMux, d Data, protect func(http.Handler) http.Handler) {
	a := api{d}
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request, data.User) error) {
		mux.Handle(pattern, protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, ok := auth.UserFrom(r.Context())
			if !ok {
				problems.Unauthorized(w, r, "")
				return
			}
			if err := f(w, r, user); err != nil {
				Fail(w, r, err)
			}
		})))
	}
	handle("GET /api/me", a.me)
	handle("GET /api/threads", a.listThreads)
	handle("POST /api/threads", a.createThread)
	handle("GET /api/threads/{id}", a.getThread)
	handle("PATCH /api/threads/{id}", a.renameThread)
	handle("DELETE /api/threads/{id}", a.deleteThread)
	handle("GET /api/threads/{id}/messages", a.listMessages)
	handle("POST /api/threads/{id}/messages", a.addMessage)
	handle("PATCH /api/threads/{id}/messages/{mid}", a.editMessage)
	handle("DELETE /api/threads/{id}/messages/{mid}", a.deleteMessage)
}

type api struct{ data Data }

type userJSON struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
}

type threadJSON struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Message is a message as clients see it.
type Message struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"`
	Content   string    `json:"content"`
	CreatedAt time.Time `json:"created_at"`
	State     string    `json:"state"`
	// Of answers.
	Failure      string `json:"failure,omitempty"`
	Provider     string `json:"provider,omitempty"`
	Model        string `json:"model,omitempty"`
	InputTokens  int64  `json:"input_tokens,omitempty"`
	OutputTokens int64  `json:"output_tokens,omitempty"`
}

func threadOf(t data.Thread) threadJSON {
	return threadJSON{t.ID, t.Title, t.CreatedAt, t.UpdatedAt}
}

// MessageOf leaves out what is between the processes.
func MessageOf(m data.Message) Message {
	return Message{
		m.ID, m.Role, m.Content, m.CreatedAt, m.State,
		m.Failure, m.Provider, m.Model, m.InputTokens, m.OutputTokens,
	}
}

func (a api) me(w http.ResponseWriter, _ *http.Request, u data.User) error {
	return Reply(w, http.StatusOK, userJSON{u.ID, u.Email, u.Name})
}

func (a api) listThreads(w http.ResponseWriter, r *http.Request, u data.User) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	threads, err := a.data.Threads(r.Context(), u.ID, r.URL.Query().Get("before"), limit)
	if err != nil {
		return err
	}
	page := struct {
		Threads []threadJSON `json:"threads"`
		Next    string       `json:"next,omitempty"` // the value of ?before= for the next page
	}{Threads: []threadJSON{}}
	for _, t := range threads {
		page.Threads = append(page.Threads, threadOf(t))
	}
	if len(threads) == limit {
		page.Next = threads[limit-1].ID
	}
	return Reply(w, http.StatusOK, page)
}

func (a api) createThread(w http.ResponseWriter, r *http.Request, u data.User) error {
	title, err := Text(r, "title", maxTitle)
	if err != nil {
		return err
	}
	t, err := a.data.CreateThread(r.Context(), u.ID, title)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/threads/"+t.ID)
	return Reply(w, http.StatusCreated, threadOf(t))
}

func (a api) getThread(w http.ResponseWriter, r *http.Request, u data.User) error {
	t, err := a.data.Thread(r.Context(), u.ID, r.PathValue("id"))
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, threadOf(t))
}

func (a api) renameThread(w http.ResponseWriter, r *http.Request, u data.User) error {
	title, err := Text(r, "title", maxTitle)
	if err != nil {
		return err
	}
	t, err := a.data.RenameThread(r.Context(), u.ID, r.PathValue("id"), title)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, threadOf(t))
}

func (a api) deleteThread(w http.ResponseWriter, r *http.Request, u data.User) error {
	if err := a.data.DeleteThread(r.Context(), u.ID, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a api) listMessages(w http.ResponseWriter, r *http.Request, u data.User) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	messages, err := a.data.Messages(r.Context(), u.ID, r.PathValue("id"), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	page := struct {
		Messages []Message `json:"messages"`
		Next     string    `json:"next,omitempty"` // the value of ?after= for the next page
	}{Messages: []Message{}}
	size := 0
	for _, m := range messages {
		page.Messages = append(page.Messages, MessageOf(m))
		size += len(m.Content)
	}
	if len(messages) == limit || size >= data.PageBytes {
		page.Next = messages[len(messages)-1].ID
	}
	return Reply(w, http.StatusOK, page)
}

func (a api) addMessage(w http.ResponseWriter, r *http.Request, u data.User) error {
	content, err := Text(r, "content", MaxContent)
	if err != nil {
		return err
	}
	m, err := a.data.AddMessage(r.Context(), u.ID, r.PathValue("id"), "user", content)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, MessageOf(m))
}

func (a api) editMessage(w http.ResponseWriter, r *http.Request, u data.User) error {
	content, err := Text(r, "content", MaxContent)
	if err != nil {
		return err
	}
	m, err := a.data.EditMessage(r.Context(), u.ID, r.PathValue("id"), r.PathValue("mid"), content)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, MessageOf(m))
}

func (a api) deleteMessage(w http.ResponseWriter, r *http.Request, u data.User) error {
	if err := a.data.DeleteMessage(r.Context(), u.ID, r.PathValue("id"), r.PathValue("mid")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Reply writes JSON. What the API answers is one user's: no cache keeps it.
func Reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left is no error of ours
	return nil
}

// clientError is a mistake of the client, with a constant text.
type clientError struct {
	status int
	detail string
}

func (e clientError) Error() string { return e.detail }

func limitOf(r *http.Request) (int, error) {
	v := r.URL.Query().Get("limit")
	if v == "" {
		return pageSize, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxPage {
		return 0, clientError{http.StatusBadRequest, "limit is a number from 1 to 100."}
	}
	return n, nil
}

// Text reads a body of one field, {"title": "..."}. The body's size is bounded
// by the server.
func Text(r *http.Request, field string, limit int) (string, error) {
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		return "", clientError{http.StatusUnsupportedMediaType, "Send application/json."}
	}
	var body map[string]string
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&body); err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return "", clientError{http.StatusRequestEntityTooLarge, "The body is too long."}
		}
		return "", clientError{http.StatusBadRequest, "The body is not a JSON object of strings."}
	}
	text, ok := body[field]
	_, err := d.Token()
	switch {
	case !errors.Is(err, io.EOF): // more, or a body that broke off: it may not be all
		return "", clientError{http.StatusBadRequest, "The body is more than one JSON object, or has no end."}
	case !ok || len(body) != 1:
		return "", clientError{http.StatusBadRequest, "The body has the one field " + field + "."}
	case strings.TrimSpace(text) == "":
		return "", clientError{http.StatusBadRequest, field + " is empty."}
	case utf8.RuneCountInString(text) > limit:
		return "", clientError{http.StatusBadRequest, field + " is longer than " + strconv.Itoa(limit) + " characters."}
	}
	return text, nil
}

// Fail answers with the problem that the error is to the client; what is not the
// client's goes into the log.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	var mistake clientError
	switch {
	case errors.As(err, &mistake):
		problems.Write(w, r, mistake.status, mistake.detail)
	case errors.Is(err, data.ErrNotFound):
		problems.Write(w, r, http.StatusNotFound, "There is no such resource.")
	case errors.Is(err, data.ErrInvalid):
		problems.Write(w, r, http.StatusBadRequest, "A value cannot be stored: text is UTF-8 without NUL, a cursor is an ID.")
	case errors.Is(err, data.ErrStreaming):
		problems.Write(w, r, http.StatusConflict, "An answer is being written. Wait for its end, or stop it.")
	case data.Unavailable(err):
		slog.WarnContext(r.Context(), "database unavailable", "error", err)
		problems.Unavailable(w, r, 5*time.Second)
	case r.Context().Err() != nil: // the client left, and nobody reads this: no fault of ours to look into
		slog.DebugContext(r.Context(), "client left", "error", err)
		problems.Write(w, r, http.StatusServiceUnavailable, "")
	default:
		slog.ErrorContext(r.Context(), "request failed", "error", err)
		problems.Write(w, r, http.StatusInternalServerError, "")
	}
}
