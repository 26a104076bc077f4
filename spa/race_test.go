//go:build race

package spa_test

// raced tells that the race detector runs, which changes what is allocated.
const raced = true
