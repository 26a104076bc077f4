package correlation

import (
	"sync"
	"sync/atomic"
	"time"
)

// flood bounds the lines that 4xx answers get: max in a second, the others are
// counted. There is no goroutine: the sum of a second is taken by the first
// request that ends after it, or by Flush. Times are monotonic, since New.
type flood struct {
	max int
	due atomic.Int64 // when the sum may be taken, in ns; 0 while there is none

	mu    sync.Mutex
	end   time.Duration // of the current second
	lines int           // written in it
	sum   *summed       // nil while nothing is counted
}

// summed counts answers that got no line of their own.
type summed struct {
	total    int64
	byStatus [100]int64 // 400 to 499
}

// admit counts a 4xx answer and tells whether it gets a line of its own.
func (f *flood) admit(status int, now time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now >= f.end {
		f.end, f.lines = now+time.Second, 0
	}
	if f.lines < f.max {
		f.lines++
		return true
	}
	if f.sum == nil {
		f.sum = new(summed)
		f.due.Store(int64(f.end))
	}
	f.sum.total++
	f.sum.byStatus[status-400]++
	return false
}

// take returns what was counted once its second is over, and begins anew; nil
// where there is nothing. The check costs one atomic load while nothing is due.
func (f *flood) take(now time.Duration) *summed {
	if due := f.due.Load(); due == 0 || int64(now) < due {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sum // nil where another request was faster
	f.sum = nil
	f.due.Store(0)
	return s
}

// commonest returns the status that was counted most.
func (s *summed) commonest() int {
	best := 0
	for i, n := range s.byStatus {
		if n > s.byStatus[best] {
			best = i
		}
	}
	return 400 + best
}
