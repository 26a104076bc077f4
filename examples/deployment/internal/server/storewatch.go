package server

import (
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// storeWatch notes whether the shared store of the limits answers, and writes one
// line when it stops and one when it is back, however many requests notice.
type storeWatch struct {
	log *slog.Logger

	mu          sync.Mutex
	since, last time.Time // the first and the last error; zero: it answers
}

// quiet is how long no request may have noticed anything before the store counts
// as back: of a cluster one part may answer while another does not, and requests
// end in another order than they began.
const quiet = 2 * time.Second

// watching returns the Config with the watch as its observer. A nil watch is none.
func (s *storeWatch) watching(c ratelimit.Config) ratelimit.Config {
	if s != nil {
		c.Observe = s.observe
	}
	return c
}

func (s *storeWatch) observe(e ratelimit.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.Kind == ratelimit.EventStoreError:
		s.last = time.Now()
		if s.since.IsZero() {
			s.since = s.last
			s.log.Warn("rate limits: redis is away, each replica grants its share", "error", e.Err)
		}
	case s.since.IsZero() || e.Err != nil || time.Since(s.last) < quiet:
	case e.Kind == ratelimit.EventAllow || e.Kind == ratelimit.EventDeny:
		s.log.Info("rate limits: redis is back", "after", s.last.Sub(s.since).String())
		s.since = time.Time{}
	}
}

// state is what readiness tells.
func (s *storeWatch) state() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return "ok"
	}
	return "away"
}
