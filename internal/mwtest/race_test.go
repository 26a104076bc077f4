//go:build race

package mwtest_test

const raceEnabled = true
