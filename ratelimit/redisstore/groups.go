package redisstore

import (
	"context"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A part is what a call wants of one group, in a cluster.
type part struct {
	call    *call
	indices []int // of the call's buckets in the caller's
	err     error
}

// doGroups does a call on several groups, which no single script may touch in a
// cluster: all at once, each group atomically. Where a take is not granted by
// all, those that granted it get it back before the answer; if that fails too,
// it stays charged.
func (s *Store) doGroups(ctx context.Context, op ratelimit.Op, buckets []ratelimit.Bucket, levels []ratelimit.Level) error {
	until := s.now() + int64(s.timeout)
	parts := split(op, buckets)
	s.all(ctx, parts, until)
	allowed := true
	var failed error
	for i := range parts {
		p := &parts[i]
		if p.err != nil {
			failed = p.err
			continue
		}
		for j, at := range p.indices {
			levels[at] = p.call.levels[j]
			allowed = allowed && levels[at].OK
		}
	}
	if op == ratelimit.OpTake && (failed != nil || !allowed) {
		s.giveBack(parts, levels, until)
	}
	for _, p := range parts {
		if p.err == nil {
			p.call.recycle()
		}
	}
	return failed
}

// split makes one call for each group.
func split(op ratelimit.Op, buckets []ratelimit.Bucket) []part {
	var parts []part
	place := map[[16]byte]int{}
	grouped := map[int][]ratelimit.Bucket{}
	for i, b := range buckets {
		at, seen := place[b.Group]
		if !seen {
			at = len(parts)
			place[b.Group] = at
			parts = append(parts, part{})
		}
		parts[at].indices = append(parts[at].indices, i)
		grouped[at] = append(grouped[at], b)
	}
	for i := range parts {
		parts[i].call = newCall(op, grouped[i])
	}
	return parts
}

// all submits the parts' calls together and waits for each until the deadline.
func (s *Store) all(ctx context.Context, parts []part, until int64) {
	for i := range parts {
		p := &parts[i]
		if p.err = s.submit(p.call, until); p.err != nil {
			p.call = nil
		}
	}
	for i := range parts {
		if p := &parts[i]; p.call != nil {
			p.err = s.await(ctx, p.call)
		}
	}
}

// giveBack credits the groups that granted a take which others did not, and
// tells the levels as they stand without it.
func (s *Store) giveBack(parts []part, levels []ratelimit.Level, until int64) {
	var credits []part
	for _, p := range parts {
		if p.err != nil || !p.call.granted() {
			continue
		}
		var back []ratelimit.Bucket
		for j, at := range p.indices {
			b := p.call.buckets[j]
			switch {
			case isLease(b) && p.call.news[j]: // one that was renewed was there before
				back, levels[at].Units = append(back, b), levels[at].Units+1
			case !isLease(b) && b.Cost > 0:
				back, levels[at].Units = append(back, b), min(b.Cap, levels[at].Units+b.Cost)
			}
		}
		if len(back) > 0 {
			c := newCall(ratelimit.OpCredit, back)
			c.must = true
			credits = append(credits, part{call: c})
		}
	}
	// Not ctx: that the caller is in a hurry is no reason to keep its tokens.
	s.all(context.Background(), credits, until)
	for _, p := range credits {
		if p.err == nil {
			p.call.recycle()
		}
	}
}

// granted tells whether a take passed.
func (c *call) granted() bool {
	for _, l := range c.levels {
		if !l.OK {
			return false
		}
	}
	return true
}
