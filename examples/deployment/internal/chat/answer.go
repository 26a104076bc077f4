package chat

import (
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

// An answer is a text that grows, and the readers that follow it, each at its own
// place. The text is in memory once. Nobody waits for a reader: whoever is slow
// gets more at a time, later.
type answer struct {
	mu   sync.Mutex
	text []byte // only ever appended to: the parts that readers have stay as they are
	end  *ending
	// changed is closed at the next change: all who wait for it wake, and each
	// finds out for itself what is new for it.
	changed chan struct{}

	readers          int
	left             time.Time // when the last reader left
	shown, takenBack bool      // a client knows of it; nobody ever will

	// stop ends the provider's call; nil where that is another process's.
	stop func(cause error)
}

// An ending is how an answer ended. It is not changed any more.
type ending struct {
	message    data.Message
	stopReason string
	retryAfter time.Duration // of a failure
	takenBack  bool          // nothing is saved, as if it had not been asked for
}

func newAnswer(stop func(error)) *answer {
	return &answer{changed: make(chan struct{}), left: time.Now(), stop: stop}
}

// ended is an answer that nobody writes any more.
func ended(m data.Message) *answer {
	a := newAnswer(nil)
	a.text, a.end = []byte(m.Content), &ending{message: m}
	return a
}

// add appends what was said.
func (a *answer) add(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text = append(a.text, text...)
	a.wake()
}

// finish ends it, once: what comes later changes nothing.
func (a *answer) finish(e *ending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end == nil {
		a.end = e
		a.wake()
	}
}

func (a *answer) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// after returns the text behind an offset and the offset behind that text, how
// the answer ended, if it has, and a channel that is closed at the next change.
//
// Offsets come from clients. One behind the end has to wait for the text to get
// there: another replica may have told more than was saved. One within a
// character, which is none that we gave out, means the character's beginning.
func (a *answer) after(offset int) (text []byte, next int, end *ending, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if offset >= len(a.text) {
		return nil, offset, a.end, a.changed
	}
	for !utf8.RuneStart(a.text[offset]) {
		offset--
	}
	next = len(a.text)
	return a.text[offset:next:next], next, a.end, a.changed
}

func (a *answer) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.text)
}

func (a *answer) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return string(a.text)
}

// enter and leave count the readers.
func (a *answer) enter() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readers++
}

func (a *answer) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readers--
	a.left = time.Now()
}

// watchedElsewhere has the same effect as a reader that leaves now.
func (a *answer) watchedElsewhere() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = time.Now()
}

// alone tells whether nobody is reading.
func (a *answer) alone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readers == 0
}

// unwatched is how long nobody has been reading.
func (a *answer) unwatched() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.readers > 0 {
		return 0
	}
	return time.Since(a.left)
}

// show is asked before a client learns of the answer, which then stays. false: it
// is being taken back; its ending comes in a moment.
func (a *answer) show() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown = !a.takenBack
	return a.shown
}

// takeBack tells whether the answer may be undone as if it had never been asked
// for, because nothing was said and nobody knows of it.
func (a *answer) takeBack() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takenBack = !a.shown && len(a.text) == 0
	return a.takenBack
}
