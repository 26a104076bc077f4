package data

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

// The states of a message. What people write is done; an answer is streaming
// until it is one of the others.
const (
	Done      = "done"
	Streaming = "streaming"
	Stopped   = "stopped" // by its reader, who wanted no more of it
	Failed    = "failed"  // Failure says why
)

// Interrupted is the Failure of an answer whose process ended before it did.
const Interrupted = "interrupted"

// ErrStreaming is returned where an answer that is still being written is in the
// way.
var ErrStreaming = errors.New("data: an answer is being written")

// An answer that grows belongs to one process, its owner, which saves it again
// and again. The row is also how other processes speak with the owner: they mark
// that somebody watches, or ask it to stop, and the owner reads both whenever it
// saves. A row that nobody has saved for Abandoned has lost its owner, and
// whoever sees that may end it.

// Abandoned is how long after its last save an answer counts as its owner's. It
// is many saves, so that a database that was away for a moment, or clocks that
// differ by seconds, end no answer that is alive.
const Abandoned = 15 * time.Second

// Abandoned tells whether the answer's owner is gone.
func (m Message) Abandoned() bool {
	return m.State == Streaming && time.Since(m.SavedAt) > Abandoned
}

// StartAnswer adds what the user says and the empty answer to it. While another
// answer in this thread is being written it is ErrStreaming; one that was
// abandoned is ended first.
func (d *DB) StartAnswer(ctx context.Context, userID, threadID, content string) (question, answer Message, err error) {
	if !known(userID, threadID) {
		return question, answer, ErrNotFound
	}
	if !storable(content) {
		return question, answer, ErrInvalid
	}
	err = d.inThread(ctx, userID, threadID, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE messages SET state = 'failed', failure = $1
			WHERE thread_id = $2 AND state = 'streaming' AND saved_at < $3`,
			Interrupted, threadID, now().Add(-Abandoned).UnixMicro())
		if err != nil {
			return explain(ctx, err)
		}
		busy, err := list(ctx, tx, scanMessage, "SELECT "+messageColumns+` FROM messages
			WHERE thread_id = $1 AND state = 'streaming' LIMIT 1`, threadID)
		if err != nil {
			return err
		}
		if len(busy) > 0 {
			return ErrStreaming
		}
		if question, err = insertMessage(ctx, tx, threadID, "user", content, Done); err != nil {
			return err
		}
		answer, err = insertMessage(ctx, tx, threadID, "assistant", "", Streaming)
		return err
	})
	return question, answer, err
}

// CancelAnswer takes back what StartAnswer did, for an answer that never began.
func (d *DB) CancelAnswer(ctx context.Context, question, answer Message) error {
	return exec(ctx, d.write, "DELETE FROM messages WHERE id IN ($1, $2)", question.ID, answer.ID)
}

// SaveAnswer is the owner's: it saves the text so far and returns what others
// have asked for, in WatchedAt and StopAsked. ErrNotFound says that the answer is
// no longer the owner's to write: it was deleted, or ended as abandoned.
func (d *DB) SaveAnswer(ctx context.Context, id, content string) (Message, error) {
	return one(ctx, d.write, scanMessage, `UPDATE messages SET content = $1, saved_at = $2
		WHERE id = $3 AND state = 'streaming' RETURNING `+messageColumns, content, now().UnixMicro(), id)
}

// EndAnswer is the owner's: it saves the answer as it is in the end. To do it
// twice is to do it once, so that it can be tried again after an error that does
// not tell whether it was done. ErrNotFound is as for SaveAnswer.
func (d *DB) EndAnswer(ctx context.Context, m Message) error {
	return exec(ctx, d.write, `UPDATE messages SET content = $1, state = $2, failure = $3, provider = $4, model = $5,
		input_tokens = $6, output_tokens = $7, saved_at = $8
		WHERE id = $9 AND (state = 'streaming' OR (state = $2 AND content = $1))`,
		m.Content, m.State, m.Failure, m.Provider, m.Model, m.InputTokens, m.OutputTokens, now().UnixMicro(), m.ID)
}

// WatchAnswer tells the owner that somebody reads along in another process.
func (d *DB) WatchAnswer(ctx context.Context, id string) error {
	return exec(ctx, d.write, "UPDATE messages SET watched_at = $1 WHERE id = $2 AND state = 'streaming'",
		now().UnixMicro(), id)
}

// StopAnswer asks the owner to stop.
func (d *DB) StopAnswer(ctx context.Context, id string) error {
	return exec(ctx, d.write, "UPDATE messages SET stop_asked = 1 WHERE id = $1 AND state = 'streaming'", id)
}

// InterruptAnswer ends an abandoned answer. It is ErrNotFound if meanwhile
// somebody else has ended it, or its owner has saved it after all.
func (d *DB) InterruptAnswer(ctx context.Context, id string) error {
	return exec(ctx, d.write, `UPDATE messages SET state = 'failed', failure = $1
		WHERE id = $2 AND state = 'streaming' AND saved_at < $3`,
		Interrupted, id, now().Add(-Abandoned).UnixMicro())
}

// Message returns a message.
func (d *DB) Message(ctx context.Context, userID, threadID, id string) (Message, error) {
	if !known(userID, threadID, id) {
		return Message{}, ErrNotFound
	}
	return one(ctx, d.read, scanMessage, "SELECT "+messageColumns+` FROM messages
		WHERE id = $1 AND thread_id = $2 AND EXISTS (SELECT 1 FROM threads WHERE id = $2 AND user_id = $3)`,
		id, threadID, userID)
}

// LastMessages returns the end of a thread, the oldest first, up to the limit or to
// PageBytes.
func (d *DB) LastMessages(ctx context.Context, userID, threadID string, limit int) ([]Message, error) {
	if !known(userID, threadID) {
		return nil, ErrNotFound
	}
	_, limit, _ = page("", lastID, limit)
	all, err := listUntil(ctx, d.read, scanMessage, fullPage(), "SELECT "+messageColumns+` FROM messages
		WHERE thread_id = $1 AND EXISTS (SELECT 1 FROM threads WHERE id = $1 AND user_id = $2)
		ORDER BY id DESC LIMIT $3`, threadID, userID, limit)
	if err == nil && len(all) == 0 { // no messages, or no thread
		_, err = d.Thread(ctx, userID, threadID)
	}
	slices.Reverse(all)
	return all, err
}
