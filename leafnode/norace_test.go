//go:build !race

package leafnode

const raceEnabled = false
