//go:build !race

package correlation_test

// raceEnabled: the race detector changes what is allocated.
const raceEnabled = false
