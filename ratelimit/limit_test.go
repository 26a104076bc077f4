package ratelimit_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/ratelimit"
)

func TestParseTakesSlowAPIsStrings(t *testing.T) {
	const day = 24 * time.Hour
	one := func(name string, n int64, per time.Duration) []ratelimit.Limit {
		return []ratelimit.Limit{{Name: name, Requests: n, Per: per}}
	}
	for in, want := range map[string][]ratelimit.Limit{
		"100/minute":       one("minute", 100, time.Minute),
		"100 per minute":   one("minute", 100, time.Minute),
		"100perminute":     one("minute", 100, time.Minute),
		"1/second":         one("second", 1, time.Second),
		" 5 / 2 minutes ":  one("2minutes", 5, 2*time.Minute),
		"5/15 MINUTES":     one("15minutes", 5, 15*time.Minute),
		"5 per 1 hour":     one("hour", 5, time.Hour),
		"7/day":            one("day", 7, day),
		"1000/month":       one("month", 1000, 30*day),
		"10000 per 2 year": one("2years", 10000, 720*day),
		"10/second; 1000/day": {
			{Name: "second", Requests: 10, Per: time.Second}, {Name: "day", Requests: 1000, Per: day},
		},
		"1/second,2/minute|3/hour;": {
			{Name: "second", Requests: 1, Per: time.Second}, {Name: "minute", Requests: 2, Per: time.Minute}, {Name: "hour", Requests: 3, Per: time.Hour},
		},
	} {
		got, err := ratelimit.Parse(in)
		assert.NoError(t, err, in)
		assert.Equal(t, want, got, in)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `ratelimit: "": no limit; write one like "100/minute"`,
		";;":                           `no limit`,
		"minute":                       `does not begin with a positive number of requests`,
		"-5/minute":                    `does not begin with a positive number`,
		"0/minute":                     `does not begin with a positive number`,
		"99999999999999999999/minute":  `does not begin with a positive number`,
		"5 minute":                     `has neither "/" nor "per" after the number`,
		"5/":                           `has no unit second, minute, hour, day, month or year at its end`,
		"5/fortnight":                  `has no unit`,
		"5/minute hour":                `has no unit`,
		"5/0 minutes":                  `has a bad number of time units`,
		"5/99999999999999999999 hours": `has a bad number of time units`,
		"5/9999999999 years":           `has too long a time`,
		"5/minute; 6/minute":           `two limits per minute; keep the lower`,
		"1000003/year":                 `is beyond exact integers; the nearest that fits is`,
		"1.5/minute":                   `has neither`,
		"٣/minute":                     `does not begin`,
	} {
		got, err := ratelimit.Parse(in)
		assert.ErrorContains(t, err, want, in)
		assert.Nil(t, got, in)
	}
}

func TestTheNearestLimitThatFitsDoesFit(t *testing.T) {
	_, err := ratelimit.Parse("100003/day")
	assert.ErrorContains(t, err, "the nearest that fits is 100002 per 24h0m0s")
	_, err = ratelimit.Parse("100002/day")
	assert.NoError(t, err)
}

func TestNewReturnsAllMistakesAtOnce(t *testing.T) {
	lim := func(n int64, per time.Duration, burst int64) []ratelimit.Limit {
		return []ratelimit.Limit{{Requests: n, Per: per, Burst: burst}}
	}
	_, err := ratelimit.New(ratelimit.Config{
		Replicas: -1, Headers: 9, KeySecret: []byte("short"),
		Rules: []ratelimit.Rule{
			{Name: "no good", Limits: lim(1, time.Second, 0)},
			{Name: "nothing"},
			{Name: "zero", Limits: lim(0, time.Second, 0)},
			{Name: "neg", Limits: lim(-1, time.Second, 0)},
			{Name: "per", Limits: lim(1, 0, 0)},
			{Name: "nanos", Limits: lim(1, 1500*time.Nanosecond, 0)},
			{Name: "burst", Limits: lim(1, time.Second, -1)},
			{Name: "absurd", Limits: lim(1<<62, time.Second, 0)},
			{Name: "inexact", Limits: lim(999_999_999, 24*time.Hour, 0)},
			{Name: "dup", Limits: lim(1, time.Second, 0)},
			{Name: "dup", Limits: lim(1, time.Second, 0)},
			{Name: "p", Limits: []ratelimit.Limit{{Name: "a", Requests: 1, Per: time.Second}, {Name: "b", Requests: 1, Per: time.Minute}}},
			{Name: "p-a", Limits: lim(1, time.Second, 0)},
			{Name: "unnamed", Limits: append(lim(1, time.Second, 0), lim(1, time.Minute, 0)...)},
			{Name: "twice", Limits: []ratelimit.Limit{{Name: "a", Requests: 1, Per: time.Second}, {Name: "a", Requests: 1, Per: time.Minute}}},
			{Name: "tiers", Tiers: map[string][]ratelimit.Limit{"pro": nil}, Concurrent: -1, OnStoreError: 7},
			{Name: "tier", Limits: lim(1, time.Second, 0), Tier: func(ratelimit.Subject) string { return "" }},
			{Name: "", Limits: lim(1, time.Second, 0)},
		},
	})
	require.Error(t, err)
	for _, want := range []string{
		`ratelimit: Replicas "-1": must be`, `ratelimit: Headers "9"`, `ratelimit: KeySecret: has 5 bytes; needs at least 16`,
		`Rules[0].Name "no good": must be 1 to 64`, `Rules[1] "nothing": limits nothing; set Limits or Concurrent`,
		`Rules[2].Limits[0]: Requests is 0; must be at least 1`, `Rules[3].Limits[0]: Requests is -1`, `Rules[4].Limits[0]: Per is 0s`,
		`Rules[5].Limits[0]: Per is 1.5µs; must be a positive whole number of microseconds`, `Rules[6].Limits[0]: Burst is -1`,
		`Rules[7].Limits[0]: Burst is 4611686018427387904; must be at most 999999999999999`, `Rules[8].Limits[0]: 999999999 per 24h0m0s`,
		`Rules[10].Name "dup": is the name of an earlier rule`, `Rules[12].Limits[0] "p-a": is the policy name of Rules[11].Limits[0] already`,
		`Rules[13].Limits[0].Name: must be`, `Rules[14].Limits[1].Name "a": is used twice`, `Rules[15].Tier: is missing`,
		`Rules[15].Limits: is missing`, `Rules[15].Tiers["pro"]: has no limits`, `Rules[15].Concurrent "-1"`, `Rules[15].OnStoreError "7"`,
		`Rules[16].Tiers: is missing`, `Rules[17].Name: must be`,
	} {
		assert.ErrorContains(t, err, want)
	}
	var one *gatehouse.ConfigError
	assert.True(t, errors.As(err, &one))
	assert.NotContains(t, err.Error(), "short", "a secret is not shown")

	_, err = ratelimit.New(ratelimit.Config{})
	assert.ErrorContains(t, err, "ratelimit: Rules: is empty")
	_, err = ratelimit.NewMemory(ratelimit.MemoryConfig{MaxKeys: 1, Shards: -1, OnFull: 9})
	assert.ErrorContains(t, err, "MaxKeys")
	assert.ErrorContains(t, err, "Shards")
	assert.ErrorContains(t, err, "OnFull")
}

func TestALimitThatOnlyFitsWithFewerReplicasIsAnError(t *testing.T) {
	c := ratelimit.Config{Replicas: 1 << 20, Rules: []ratelimit.Rule{{Name: "r", Limits: []ratelimit.Limit{{Requests: 7, Per: 30 * 24 * time.Hour}}}}}
	_, err := ratelimit.New(c)
	assert.ErrorContains(t, err, "fewer Replicas")
	c.Replicas = 100
	newLimiter(t, c)
}

func TestTheWindowOfAPolicyIsTheTimeToFill(t *testing.T) {
	for want, l := range map[string]ratelimit.Limit{
		`"r";q=10;w=60`:              {Requests: 10, Per: time.Minute},
		`"r";q=1;w=6`:                {Requests: 10, Per: time.Minute, Burst: 1},
		`"r";q=20;w=120`:             {Requests: 10, Per: time.Minute, Burst: 20},
		`"r";q=3;w=1`:                {Requests: 7, Per: time.Second, Burst: 3},
		`"r";q=1;w=1`:                {Requests: 1_000_000_000, Per: time.Microsecond, Burst: 1},
		`"r";q=999999999999999;w=15`: {Requests: 1_000_000_000_000, Per: 15 * time.Millisecond, Burst: 999_999_999_999_999},
	} {
		h := newLimiter(t, ratelimit.Config{Rules: []ratelimit.Rule{{Name: "r", Limits: []ratelimit.Limit{l}}}}).Handler(ok)
		rec := serve(h, byAlice())
		assert.Equal(t, http.StatusOK, rec.Code)
		assert.Equal(t, want, rec.Header().Get("RateLimit-Policy"))
	}
}
