package storetest

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// A limit as people write it: n tokens per so many microseconds, and a burst.
type limit struct{ n, per, burst int64 }

// bucket scales the limit by the rule of [ratelimit.Store], which is written here
// once more, from the text.
func (l limit) bucket(key, group [16]byte, cost int64) ratelimit.Bucket {
	g := new(big.Int).GCD(nil, nil, big.NewInt(l.n), big.NewInt(l.per)).Int64()
	period := l.per / g
	return ratelimit.Bucket{
		Key: key, Group: group,
		Rate: l.n / g, Period: period, Cap: l.burst * period, Cost: cost * period,
	}
}

// A span of microseconds, both ends included.
type span struct{ from, to int64 }

// An account is what the model knows of one bucket: how many tokens it had when
// it was last changed, and when that was, as far as can be told.
type account struct {
	limit  ratelimit.Bucket // as of the last change
	tokens *big.Rat
	at     span
}

func units(n int64, b *ratelimit.Bucket) *big.Rat { return big.NewRat(n, b.Period) }

// rate is tokens per microsecond.
func rate(b *ratelimit.Bucket) *big.Rat { return big.NewRat(b.Rate, b.Period) }

// after is what the account holds d microseconds after its last change, in tokens.
func (a *account) after(d int64) *big.Rat {
	d = max(d, 0)
	got := new(big.Rat).Mul(rate(&a.limit), new(big.Rat).SetInt64(d))
	return ratMin(got.Add(got, a.tokens), units(a.limit.Cap, &a.limit))
}

// as converts tokens of the account's limit into tokens of b: full stays full,
// else rounded down to a unit of b.
func (a *account) as(b *ratelimit.Bucket, tokens *big.Rat) *big.Rat {
	if sameLimit(&a.limit, b) {
		return tokens
	}
	if tokens.Cmp(units(a.limit.Cap, &a.limit)) >= 0 {
		return units(b.Cap, b)
	}
	u := new(big.Rat).Mul(tokens, new(big.Rat).SetInt64(b.Period))
	q := new(big.Int).Div(u.Num(), u.Denom()) // Euclidean, so floor: the divisor is positive
	down := new(big.Rat).SetFrac(q, big.NewInt(b.Period))
	top := units(b.Cap, b)
	return ratMax(ratMin(down, top), new(big.Rat).Neg(top))
}

func sameLimit(a, b *ratelimit.Bucket) bool {
	return a.Rate == b.Rate && a.Period == b.Period && a.Cap == b.Cap
}

func ratMin(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

func ratMax(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

// check holds an answer against the model, and brings the model up to date.
func (h *harness) check(op ratelimit.Op, buckets []ratelimit.Bucket, levels []ratelimit.Level, now span) error {
	allowed := true
	for i := range levels {
		allowed = allowed && levels[i].OK
	}
	changes := op != ratelimit.OpPeek && (op != ratelimit.OpTake || allowed)
	for i := range buckets {
		var err error
		if buckets[i].Rate == 0 {
			err = h.checkLease(op, &buckets[i], levels[i], now, changes)
		} else {
			err = h.checkTokens(op, &buckets[i], levels[i], now, changes)
		}
		if err != nil {
			return fmt.Errorf("bucket %d: %w", i, err)
		}
	}
	return nil
}

func (h *harness) checkTokens(op ratelimit.Op, b *ratelimit.Bucket, l ratelimit.Level, now span, changes bool) error {
	if l.Units > b.Cap || l.Units < -b.Cap {
		return errors.New("the level is outside [-Cap, Cap]")
	}
	a := h.model[b.Key]
	if a == nil {
		a = &account{limit: *b, tokens: units(b.Cap, b), at: now}
		h.model[b.Key] = a
	}
	// What the bucket can have held at the call: at least low, at most high.
	low := a.as(b, a.after(now.from-a.at.to-h.drift(now.from-a.at.to)))
	high := a.as(b, a.after(now.to-a.at.from+h.drift(now.to-a.at.from)))
	cost, said := units(b.Cost, b), units(l.Units, b)

	if !changes {
		return h.checkUnchanged(op, b, l, said, low, high)
	}
	if op != ratelimit.OpCharge && !l.OK {
		return errors.New("OK is false")
	}
	var before *big.Rat
	switch op {
	case ratelimit.OpTake:
		before = new(big.Rat).Add(said, cost)
		if b.Cost == 0 {
			return inside(before, low, high)
		}
		if before.Cmp(cost) < 0 {
			return errors.New("allowed a cost that it had not")
		}
	case ratelimit.OpCharge:
		if l.Units == -b.Cap { // at the bottom: what was there before cannot be told
			return h.checkBottom(a, b, l, low, high, now)
		}
		if !l.OK {
			return errors.New("OK is false although the whole cost was charged")
		}
		before = new(big.Rat).Add(said, cost)
	case ratelimit.OpCredit:
		if l.Units == b.Cap { // at the top: the same
			return h.checkTop(a, b, new(big.Rat).Add(high, cost), now)
		}
		before = new(big.Rat).Sub(said, cost)
	case ratelimit.OpReset:
		return h.checkTop(a, b, said, now)
	}
	if err := inside(before, low, high); err != nil {
		return err
	}
	at, err := h.locate(a, b, before, now)
	if err != nil {
		return err
	}
	h.settle(a, b, said, at)
	return nil
}

// checkTop is for a bucket that was filled up: most is what it can have now.
func (h *harness) checkTop(a *account, b *ratelimit.Bucket, most *big.Rat, now span) error {
	top := units(b.Cap, b)
	if most.Cmp(top) < 0 {
		return fmt.Errorf("must be full, or is full with %s tokens at most", most.RatString())
	}
	h.settle(a, b, top, now)
	return nil
}

// checkUnchanged is for answers that leave the bucket as it is.
func (h *harness) checkUnchanged(op ratelimit.Op, b *ratelimit.Bucket, l ratelimit.Level, said, low, high *big.Rat) error {
	cost := units(b.Cost, b)
	free := b.Cost == 0
	if !l.OK && (free || low.Cmp(cost) >= 0) {
		return fmt.Errorf("not OK, but it had at least %s tokens", low.RatString())
	}
	if !l.OK && l.Units >= b.Cost {
		return errors.New("not OK with a level that is enough")
	}
	if op == ratelimit.OpTake && !h.fake {
		return nil // may be an upper bound
	}
	if l.OK && !free && (high.Cmp(cost) < 0 || l.Units < b.Cost) {
		return fmt.Errorf("OK, but it had at most %s tokens", high.RatString())
	}
	return inside(said, low, high)
}

// checkBottom is for a charge that ended at the deepest debt.
func (h *harness) checkBottom(a *account, b *ratelimit.Bucket, l ratelimit.Level, low, high *big.Rat, now span) error {
	left := func(r *big.Rat) *big.Rat { return new(big.Rat).Add(r, units(b.Cap-b.Cost, b)) }
	if left(low).Sign() > 0 {
		return errors.New("in the deepest debt, but the charge was smaller than that")
	}
	if l.OK && left(high).Sign() < 0 {
		return errors.New("OK, but the charge was cut off")
	}
	if !l.OK && left(low).Sign() >= 0 {
		return errors.New("not OK, but the whole cost was charged")
	}
	h.settle(a, b, units(-b.Cap, b), now)
	return nil
}

func inside(x, low, high *big.Rat) error {
	if x.Cmp(low) < 0 || x.Cmp(high) > 0 {
		return fmt.Errorf("it had %s tokens before the call, but must have had between %s and %s",
			x.RatString(), low.RatString(), high.RatString())
	}
	return nil
}

// locate tells when the store's clock stood at this call, from what the bucket had
// gained since its last change.
func (h *harness) locate(a *account, b *ratelimit.Bucket, before *big.Rat, now span) (span, error) {
	if !sameLimit(&a.limit, b) {
		return now, nil // rounded; inside has checked it
	}
	gained := new(big.Rat).Sub(before, a.tokens)
	micros := gained.Quo(gained, rate(b))
	at := now
	if before.Cmp(units(b.Cap, b)) == 0 { // full, since when is not known
		d := new(big.Int).Div(new(big.Int).Add(micros.Num(), new(big.Int).Sub(micros.Denom(), big.NewInt(1))), micros.Denom()).Int64()
		at.from = max(at.from, a.at.from+d-h.drift(d))
	} else {
		if !micros.IsInt() || micros.Sign() < 0 {
			return at, fmt.Errorf("it gained the tokens of %s microseconds, which is no whole number", micros.RatString())
		}
		d := micros.Num().Int64()
		at.from, at.to = max(at.from, a.at.from+d-h.drift(d)), min(at.to, a.at.to+d+h.drift(d))
	}
	if at.from > at.to {
		return at, fmt.Errorf("its tokens put the call into [%d, %d], but it was in [%d, %d] microseconds",
			at.from, at.to, now.from, now.to)
	}
	return at, nil
}

// drift is how much two honest clocks may differ after d microseconds.
func (h *harness) drift(d int64) int64 {
	if h.fake {
		return 0
	}
	return 1 + max(d, 0)/1000
}

func (h *harness) settle(a *account, b *ratelimit.Bucket, tokens *big.Rat, at span) {
	a.limit, a.tokens, a.at = *b, tokens, at
}

// checkLease follows leases. On the real clock the suite uses leases that outlive
// the test, or waits long enough, so that the middle of the span will do.
func (h *harness) checkLease(op ratelimit.Op, b *ratelimit.Bucket, l ratelimit.Level, now span, changes bool) error {
	set := h.lease[b.Key]
	if set == nil {
		set = make(map[[16]byte]int64)
		h.lease[b.Key] = set
	}
	at := now.from + (now.to-now.from)/2
	for id, end := range set {
		if end <= at {
			delete(set, id)
		}
	}
	_, mine := set[b.Lease]
	ok := true
	switch op {
	case ratelimit.OpTake, ratelimit.OpPeek:
		ok = mine || int64(len(set)) < b.Cap
	case ratelimit.OpCredit:
		ok = mine
	}
	if changes {
		switch op {
		case ratelimit.OpTake, ratelimit.OpCharge:
			set[b.Lease] = at + b.Period
		case ratelimit.OpCredit:
			delete(set, b.Lease)
		case ratelimit.OpReset:
			clear(set)
		}
	}
	bound := op == ratelimit.OpTake && !changes && !h.fake // denied by another bucket: may be an upper bound
	if l.OK != ok && !(l.OK && bound) {
		return fmt.Errorf("OK is %v, must be %v with %d leases of %d", l.OK, ok, len(set), b.Cap)
	}
	if want := b.Cap - int64(len(set)); l.Units != want && (h.fake || changes || op == ratelimit.OpPeek) {
		return fmt.Errorf("%d free places, must be %d", l.Units, want)
	}
	return nil
}
