package data

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// Thread is a conversation. UpdatedAt is when it, or a message in it, last
// changed.
type Thread struct {
	ID, UserID, Title    string
	CreatedAt, UpdatedAt time.Time
}

// Message is one of a thread.
type Message struct {
	ID, ThreadID string
	Role         string // user, assistant or system
	Content      string
	CreatedAt    time.Time

	// Of answers; see the file answers.go.
	State                     string
	Failure                   string // why it failed: a word of package chat
	Provider, Model           string // who wrote it
	InputTokens, OutputTokens int64  // what it cost
	SavedAt, WatchedAt        time.Time
	StopAsked                 bool
}

var roles = []string{"user", "assistant", "system"}

const (
	threadColumns  = "id, user_id, title, created_at, updated_at"
	messageColumns = "id, thread_id, role, content, created_at, state, failure, provider, model, " +
		"input_tokens, output_tokens, saved_at, watched_at, stop_asked"

	// No ID is smaller or greater: the first page is like every other.
	firstID = "00000000-0000-0000-0000-000000000000"
	lastID  = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

func scanThread(r row) (t Thread, err error) {
	err = r.Scan(&t.ID, &t.UserID, &t.Title, stamp{&t.CreatedAt}, stamp{&t.UpdatedAt})
	return t, err
}

func scanMessage(r row) (m Message, err error) {
	err = r.Scan(&m.ID, &m.ThreadID, &m.Role, &m.Content, stamp{&m.CreatedAt}, &m.State, &m.Failure, &m.Provider, &m.Model,
		&m.InputTokens, &m.OutputTokens, stamp{&m.SavedAt}, stamp{&m.WatchedAt}, &m.StopAsked)
	return m, err
}

// page returns the cursor, or the one of the first page, and the limit within
// 1 and MaxPage.
func page(cursor, first string, limit int) (string, int, error) {
	if cursor == "" {
		cursor = first
	}
	if !known(cursor) {
		return "", 0, ErrInvalid
	}
	return cursor, min(max(limit, 1), MaxPage), nil
}

// Threads returns a user's threads, the newest first; before is the last ID of
// the page before, or "". Pages neither skip nor repeat a thread when others are
// made or deleted meanwhile, and the thousandth costs what the first does.
func (d *DB) Threads(ctx context.Context, userID, before string, limit int) ([]Thread, error) {
	before, limit, err := page(before, lastID, limit)
	if err != nil {
		return nil, err
	}
	if !known(userID) {
		return nil, ErrNotFound
	}
	return list(ctx, d.read, scanThread, "SELECT "+threadColumns+` FROM threads
		WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, userID, before, limit)
}

// CreateThread adds a thread.
func (d *DB) CreateThread(ctx context.Context, userID, title string) (Thread, error) {
	if !known(userID) {
		return Thread{}, ErrNotFound
	}
	if !storable(title) {
		return Thread{}, ErrInvalid
	}
	id, err := newID()
	if err != nil {
		return Thread{}, err
	}
	return one(ctx, d.write, scanThread, "INSERT INTO threads ("+threadColumns+`)
		VALUES ($1, $2, $3, $4, $4) RETURNING `+threadColumns, id, userID, title, now().UnixMicro())
}

// Thread returns a thread.
func (d *DB) Thread(ctx context.Context, userID, id string) (Thread, error) {
	if !known(userID, id) {
		return Thread{}, ErrNotFound
	}
	return one(ctx, d.read, scanThread,
		"SELECT "+threadColumns+" FROM threads WHERE id = $1 AND user_id = $2", id, userID)
}

// RenameThread changes a thread's title.
func (d *DB) RenameThread(ctx context.Context, userID, id, title string) (Thread, error) {
	if !known(userID, id) {
		return Thread{}, ErrNotFound
	}
	if !storable(title) {
		return Thread{}, ErrInvalid
	}
	return one(ctx, d.write, scanThread, `UPDATE threads SET title = $1, updated_at = $2
		WHERE id = $3 AND user_id = $4 RETURNING `+threadColumns, title, now().UnixMicro(), id, userID)
}

// DeleteThread deletes a thread with its messages.
func (d *DB) DeleteThread(ctx context.Context, userID, id string) error {
	if !known(userID, id) {
		return ErrNotFound
	}
	return exec(ctx, d.write, "DELETE FROM threads WHERE id = $1 AND user_id = $2", id, userID)
}

// fullPage tells which message is the last of a page.
func fullPage() func(Message) bool {
	size := 0
	return func(m Message) bool {
		size += len(m.Content)
		return size >= PageBytes
	}
}

// Messages returns a thread's messages, the oldest first; after is the last ID
// of the page before, or "". The page ends with its limit or with PageBytes.
func (d *DB) Messages(ctx context.Context, userID, threadID, after string, limit int) ([]Message, error) {
	after, limit, err := page(after, firstID, limit)
	if err != nil {
		return nil, err
	}
	if !known(userID, threadID) {
		return nil, ErrNotFound
	}
	all, err := listUntil(ctx, d.read, scanMessage, fullPage(), "SELECT "+messageColumns+` FROM messages
		WHERE thread_id = $1 AND id > $2
		AND EXISTS (SELECT 1 FROM threads WHERE id = $1 AND user_id = $3)
		ORDER BY id LIMIT $4`, threadID, after, userID, limit)
	if err == nil && len(all) == 0 { // no messages, or no thread
		_, err = d.Thread(ctx, userID, threadID)
	}
	return all, err
}

// inThread runs f in a transaction that has found the thread to be the user's
// and has locked it: messages of one thread are written one after another, and
// each gets its ID after the one before is visible, so that a client that pages
// with the last ID it saw misses none.
func (d *DB) inThread(ctx context.Context, userID, threadID string, f func(context.Context, *sql.Tx) error) error {
	return d.transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := exec(ctx, tx, "UPDATE threads SET updated_at = $1 WHERE id = $2 AND user_id = $3",
			now().UnixMicro(), threadID, userID); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

// AddMessage adds a message at the end of a thread.
func (d *DB) AddMessage(ctx context.Context, userID, threadID, role, content string) (m Message, err error) {
	if !known(userID, threadID) {
		return Message{}, ErrNotFound
	}
	if !slices.Contains(roles, role) || !storable(content) {
		return Message{}, ErrInvalid
	}
	err = d.inThread(ctx, userID, threadID, func(ctx context.Context, tx *sql.Tx) error {
		m, err = insertMessage(ctx, tx, threadID, role, content, Done)
		return err
	})
	return m, err
}

func insertMessage(ctx context.Context, tx *sql.Tx, threadID, role, content, state string) (Message, error) {
	id, err := newID()
	if err != nil {
		return Message{}, err
	}
	return one(ctx, tx, scanMessage, `INSERT INTO messages (id, thread_id, role, content, created_at, state, saved_at)
		VALUES ($1, $2, $3, $4, $5, $6, $5) RETURNING `+messageColumns, id, threadID, role, content, now().UnixMicro(), state)
}

// EditMessage changes a message's content. An answer that is being written is
// ErrStreaming.
func (d *DB) EditMessage(ctx context.Context, userID, threadID, id, content string) (m Message, err error) {
	if !known(userID, threadID, id) {
		return Message{}, ErrNotFound
	}
	if !storable(content) {
		return Message{}, ErrInvalid
	}
	err = d.inThread(ctx, userID, threadID, func(ctx context.Context, tx *sql.Tx) error {
		m, err = one(ctx, tx, scanMessage, `UPDATE messages SET content = CASE state WHEN 'streaming' THEN content ELSE $1 END
			WHERE id = $2 AND thread_id = $3 RETURNING `+messageColumns, content, id, threadID)
		if err == nil && m.State == Streaming {
			err = ErrStreaming
		}
		return err
	})
	return m, err
}

// DeleteMessage deletes a message.
func (d *DB) DeleteMessage(ctx context.Context, userID, threadID, id string) error {
	if !known(userID, threadID, id) {
		return ErrNotFound
	}
	return d.inThread(ctx, userID, threadID, func(ctx context.Context, tx *sql.Tx) error {
		return exec(ctx, tx, "DELETE FROM messages WHERE id = $1 AND thread_id = $2", id, threadID)
	})
}
