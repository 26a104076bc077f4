package chat

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// markEvery is how often an owner elsewhere hears that somebody watches: several
// times within its grace.
const markEvery = 2 * time.Second

// follow feeds an answer from the row that another process writes, for as long as
// somebody reads it here. Any number of readers cost one query each half second.
func (h *Hub) follow(ctx context.Context, a *answer, userID string, m data.Message) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	var marked time.Time
	// The database may have been away, for the owner too, whose next save is to come
	// first when it is back.
	away, sure := false, time.Now().Add(markEvery)
	for {
		switch {
		case m.Abandoned() && !away && time.Now().After(sure):
			if err := h.Data.InterruptAnswer(ctx, m.ID); err == nil {
				m.State, m.Failure = data.Failed, data.Interrupted
				h.Log.WarnContext(ctx, "an answer has lost its process", "message", m.ID)
			} // else look again what has become of it
		case m.State == data.Streaming && time.Since(marked) >= markEvery:
			marked = time.Now()
			_ = h.Data.WatchAnswer(ctx, m.ID) // the next one will do
		}
		if n := a.len(); len(m.Content) > n {
			a.add(m.Content[n:])
		}
		if m.State != data.Streaming {
			h.release(m.ID, a)
			a.finish(&ending{message: m})
			return
		}
		<-tick.C
		if h.deserted(m.ID, a) {
			return
		}
		row, err := h.Data.Message(ctx, userID, m.ThreadID, m.ID)
		switch {
		case err == nil:
			m = row
			if away {
				away, sure = false, time.Now().Add(markEvery)
			}
		case errors.Is(err, data.ErrNotFound): // deleted
			m.State, m.Failure = data.Failed, failureDeleted
		default:
			away = true
		}
	}
}

// deserted drops an answer without readers. Under one lock with attach: nobody
// enters an answer that is no longer fed.
func (h *Hub) deserted(id string, a *answer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !a.alone() {
		return false
	}
	if h.live[id] == a {
		delete(h.live, id)
	}
	return true
}
