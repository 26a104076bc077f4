//go:build race

package forwarded_test

const raceEnabled = true
