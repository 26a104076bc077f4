// Package ratelimitbench compares package ratelimit with its peers and with what
// one would write by hand.
//
//	cd benchmarks && go test ./ratelimit -run '^$' -bench . -benchtime=300x
//
// The contestants of a benchmark take turns of so many operations, and each is
// judged by the tenth fastest of a hundred of its turns: so a busy machine slows
// all of them or none, and the ratios hold where the times do not. -benchtime is
// the number of turns.
package ratelimitbench

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"
)

// A contestant does n operations.
type contestant struct {
	name string
	run  func(n int)
}

// sideBySide reports nanoseconds for each contestant, and its ratio to the first.
func sideBySide(b *testing.B, turn int, all []contestant) {
	times := make([][]float64, len(all))
	for b.Loop() {
		for i, c := range all {
			start := time.Now()
			c.run(turn)
			times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/float64(turn))
		}
	}
	var first float64
	for i, c := range all {
		slices.SortFunc(times[i], cmp.Compare[float64])
		t := times[i][len(times[i])/10]
		if i == 0 {
			first = t
		}
		allocs := testing.AllocsPerRun(1, func() { c.run(turn) }) / float64(turn)
		b.Logf("%-34s %8.1f ns/op  %5.2fx  %5.1f allocs/op", c.name, t, t/first, allocs)
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
}

// onTwoCores lets two goroutines share the operations of each contestant, which
// must be safe for that.
func onTwoCores(all []contestant) []contestant {
	out := slices.Clone(all)
	for i, c := range all {
		out[i].run = func(n int) {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { c.run(n / 2) })
			}
			wg.Wait()
		}
	}
	return out
}
