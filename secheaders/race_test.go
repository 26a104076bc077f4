//go:build race

package secheaders_test

const raceDetector = true
