//go:build !race

package corsx_test

const raceEnabled = false
