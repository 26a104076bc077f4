package ratelimit

// Leases of the memory store: see "Leases" at [Store]. They are as many as there
// are requests in flight, so they need no bound of their own.

// A leaseSet holds the leases of one key.
type leaseSet struct {
	ends map[[16]byte]int64
	// soonest is not later than the end of the first lease to end: until then
	// none has to be looked at.
	soonest int64
}

// expire drops the leases that have ended.
func (l *leaseSet) expire(now int64) {
	if now < l.soonest {
		return
	}
	l.soonest = 1<<63 - 1
	for id, end := range l.ends {
		if end <= now {
			delete(l.ends, id)
		} else {
			l.soonest = min(l.soonest, end)
		}
	}
}

// lookLease says what OpTake would find, and for OpCredit whether the lease is
// alive.
func (s *shard) lookLease(op Op, b *Bucket) Level {
	s.expireSome()
	set := s.leases[b.Key]
	alive, mine := 0, false
	if set != nil {
		set.expire(s.now)
		alive = len(set.ends)
		_, mine = set.ends[b.Lease]
	}
	l := Level{Units: b.Cap - int64(alive)}
	switch op {
	case OpTake, OpPeek:
		l.OK = mine || l.Units > 0
	case OpCredit:
		l.OK = mine
	default:
		l.OK = true
	}
	return l
}

// applyLease changes the set and returns the free places.
func (s *shard) applyLease(op Op, b *Bucket) int64 {
	set := s.leases[b.Key]
	switch op {
	case OpTake, OpCharge:
		if set == nil {
			if s.leases == nil {
				s.leases = make(map[[16]byte]*leaseSet)
			}
			set = &leaseSet{ends: make(map[[16]byte]int64), soonest: 1<<63 - 1}
			s.leases[b.Key] = set
		}
		end := s.now + b.Period
		set.ends[b.Lease] = end
		set.soonest = min(set.soonest, end)
	case OpCredit:
		if set != nil {
			delete(set.ends, b.Lease)
		}
	case OpReset:
		delete(s.leases, b.Key)
		set = nil
	}
	if set == nil {
		return b.Cap
	}
	if len(set.ends) == 0 {
		delete(s.leases, b.Key)
	}
	return b.Cap - int64(len(set.ends))
}

// expireSome looks at one set of leases, wherever the map's iteration begins: so
// sets whose holders never come back do not stay for ever.
func (s *shard) expireSome() {
	for key, set := range s.leases {
		set.expire(s.now)
		if len(set.ends) == 0 {
			delete(s.leases, key)
		}
		break
	}
}
