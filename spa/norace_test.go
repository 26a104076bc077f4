//go:build !race

package spa_test

const raced = false
