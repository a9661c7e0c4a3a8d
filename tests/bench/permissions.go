package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	ruledSubjects = 10_000
	ruledRules    = 20
	ruledBlock    = 100_000 // messages, of random subjects
	ruledMessages = 1_500_000
	ruledPortions = 4 // users take turns, so that what else the machine does falls on both
)

func ruledSubject(i int) string { return fmt.Sprintf("site%02d.line%02d.dev%05d.t", i%20, i%89, i) }

// ruledConfig has a user who may do everything and one with many rules, which allow every subject that is
// published.
func ruledConfig() string {
	var rules strings.Builder
	for i := range ruledRules {
		fmt.Fprintf(&rules, " \"site%02d.*.>\",", i)
	}
	return fmt.Sprintf(`authorization { users = [
  { user: free, password: p }
  { user: ruled, password: p, permissions { publish { allow: [%s ] } } }
] }
`, rules.String())
}

// runPermissions measures what permissions add to publishing, beside a user without in the same server.
func runPermissions(t *target) (map[string]float64, error) {
	random := rand.New(rand.NewPCG(2, 2))
	var block []byte
	for range ruledBlock {
		block = append(block, publication(ruledSubject(random.IntN(ruledSubjects)), 16)...)
	}
	blocks := max(1, t.n(ruledMessages)/ruledBlock)
	spent := map[string]float64{}
	for portion := range ruledPortions + 1 {
		for _, user := range []string{"free", "ruled"} {
			c, err := t.dialAs(user, "p")
			if err != nil {
				return nil, err
			}
			m, err := t.meter()
			if err != nil {
				return nil, err
			}
			for range blocks {
				if err := c.write(block); err != nil {
					return nil, err
				}
			}
			if err := c.settle(); err != nil {
				return nil, err
			}
			cpu, _, err := m.read()
			if err != nil {
				return nil, err
			}
			if portion > 0 { // the first one fills caches
				spent[user] += float64(cpu.Nanoseconds())
			}
		}
	}
	total := float64(blocks * ruledBlock * ruledPortions)
	return map[string]float64{
		"ruled/free":       spent["ruled"] / spent["free"],
		"cpu-ns/msg-free":  spent["free"] / total,
		"cpu-ns/msg-ruled": spent["ruled"] / total,
	}, nil
}
