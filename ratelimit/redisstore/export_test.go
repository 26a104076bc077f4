package redisstore

import (
	"time"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// KeyName is the name of a bucket's key.
func KeyName(prefix string, b ratelimit.Bucket) string { return string(appendKey(nil, prefix, &b)) }

// SlotOf is the hash slot of a group.
func SlotOf(group [16]byte) int { return int(slotOf(group)) }

// Skew lets the store's own clock be ahead.
func Skew(s *Store, d time.Duration) { s.base = s.base.Add(-d) }
