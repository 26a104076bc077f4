package chat

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/correlation"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

const (
	// saveEvery is how much text a crash may take, and how long a stop or a reader
	// of another replica takes to get through.
	saveEvery = 500 * time.Millisecond
	// grace is how long an answer goes on that nobody watches: long enough for a
	// page to be reloaded, for a phone to change its network, for a client of a
	// replica that restarts to find another one.
	grace = 10 * time.Second
	// maxRunning bounds the answers of one process: each holds a connection to a
	// provider and up to maxText bytes.
	maxRunning = 200
	maxText    = 256 << 10
)

// Data is what the hub needs of the database; *data.DB has it.
type Data interface {
	LastMessages(ctx context.Context, userID, threadID string, limit int) ([]data.Message, error)
	Message(ctx context.Context, userID, threadID, id string) (data.Message, error)
	StartAnswer(ctx context.Context, userID, threadID, content string) (question, answer data.Message, err error)
	CancelAnswer(ctx context.Context, question, answer data.Message) error
	SaveAnswer(ctx context.Context, id, content string) (data.Message, error)
	EndAnswer(ctx context.Context, m data.Message) error
	WatchAnswer(ctx context.Context, id string) error
	StopAnswer(ctx context.Context, id string) error
	InterruptAnswer(ctx context.Context, id string) error
}

// Config is what a Hub is made of.
type Config struct {
	Data Data
	// Provider answers; nil: chat is not configured, and says so.
	Provider ai.Provider
	// Limits and Places have the rules of LimitRules and PlaceRules.
	Limits, Places *ratelimit.Middleware
	// MaxTokens is the longest answer, Budget what a user's bucket of tokens holds.
	MaxTokens int
	Budget    int64
	// StreamMax is how long one response streams.
	StreamMax time.Duration
	Log       *slog.Logger
}

// Hub holds the answers of this process. It is safe for concurrent use.
type Hub struct {
	Config
	leaving chan struct{} // closed when readers are to go elsewhere

	mu      sync.Mutex
	live    map[string]*answer // by message: those written here, and those followed
	running map[*answer]bool   // those written here
	closed  bool               // none begins any more
	idle    chan struct{}      // closed when none is running; nil while nobody waits
}

// New returns a Hub; end it with Drain.
func New(c Config) *Hub {
	return &Hub{Config: c, leaving: make(chan struct{}), live: map[string]*answer{}, running: map[*answer]bool{}}
}

// Why a call is ended before the provider does.
var (
	errStopped  = errors.New("stopped by the reader")
	errNobody   = errors.New("nobody is watching")
	errDraining = errors.New("the process ends")
	errTooLong  = errors.New("the text is too long")
	errLost     = errors.New("the message was deleted or taken over")
)

// reserve counts an answer that is about to begin, or says that it must not.
func (h *Hub) reserve(a *answer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.running) >= maxRunning {
		return false
	}
	h.running[a] = true
	return true
}

// publish lets others find the answer.
func (h *Hub) publish(id string, a *answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live[id] = a
}

// release ends what reserve and publish began; id may be "".
func (h *Hub) release(id string, a *answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, a)
	if h.live[id] == a {
		delete(h.live, id)
	}
	if h.idle != nil && len(h.running) == 0 {
		close(h.idle)
		h.idle = nil
	}
}

// attach enters the answer that a row is about, wherever it is written. The
// caller leaves it.
func (h *Hub) attach(ctx context.Context, userID string, m data.Message) *answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.live[m.ID]
	switch {
	case a != nil:
	case m.State != data.Streaming:
		a = ended(m)
	default:
		a = newAnswer(nil)
		h.live[m.ID] = a
		go h.follow(own(ctx), a, userID, m)
	}
	a.enter()
	return a
}

// own is a context that outlives its request, and holds nothing of it but the
// correlation ID, for the log and the provider.
func own(ctx context.Context) context.Context {
	mine, err := correlation.NewContext(context.Background(), correlation.ID(ctx))
	if err != nil { // there is none
		return context.Background()
	}
	return mine
}

// Drain tells all readers to attach again elsewhere. Answers go on until shortly
// before the deadline of ctx, and are then ended and saved as they are. The
// function that it returns waits for that, and is to be called when no request is
// being served any more.
func (h *Hub) Drain(ctx context.Context) (wait func()) {
	close(h.leaving)
	cut := time.AfterFunc(untilCut(ctx), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.closed = true
		for a := range h.running {
			a.stop(errDraining)
		}
	})
	return func() {
		defer cut.Stop()
		h.mu.Lock()
		idle := make(chan struct{})
		if len(h.running) == 0 {
			close(idle)
		} else {
			h.idle = idle
		}
		h.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			h.Log.Error("answers were not saved before the shutdown timeout")
		}
	}
}

// untilCut leaves a fifth of the time, at most 5 seconds, for saving.
func untilCut(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	left := time.Until(deadline)
	return left - min(left/5, 5*time.Second)
}
