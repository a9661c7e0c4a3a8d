package auth

import (
	"fmt"
	"sync"
	"testing"
)

// TestRememberedVerdictsAreThoseOfTheRules asks more than fits, as several users at once.
func TestRememberedVerdictsAreThoseOfTheRules(t *testing.T) {
	v := newVerdicts()
	users := []*Permissions{
		mustPermissions(t, PermissionOptions{Publish: twentyRules()}),
		mustPermissions(t, PermissionOptions{Publish: &SubjectOptions{Allow: []string{"plant.line3.>"}, Deny: []string{"plant.*.*.t1", "plant.*.*.t2", "x"}}}),
		mustPermissions(t, PermissionOptions{Publish: &SubjectOptions{Deny: []string{"plant.line5.>", "plant.line6.>", "plant.line7.>", "y"}}}),
	}
	for _, p := range users {
		v.remember(&Identity{Perms: p})
		if p.verdicts.Load() != v {
			t.Fatal("nothing is remembered")
		}
	}
	subjects := plantSubjects(3 * mostVerdicts)
	var wg sync.WaitGroup
	for _, p := range users {
		wg.Go(func() {
			for range 2 {
				for _, s := range subjects {
					if got, want := p.MayPublish(s), p.decide(s); got != want {
						t.Errorf("%s: remembered %v, decided %v", s, got, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := len(v.table.Load().places); n != mostVerdicts {
		t.Errorf("%d places, want all %d", n, mostVerdicts)
	}
}

func TestFewRulesAreAskedEachTime(t *testing.T) {
	v := newVerdicts()
	few := &Identity{Perms: mustPermissions(t, PermissionOptions{Publish: &SubjectOptions{Allow: []string{"a", "b"}}})}
	if v.remember(few); few.Perms.verdicts.Load() != nil {
		t.Error("they are remembered")
	}
	if v.remember(nil) != nil || v.remember(&Identity{}) == nil {
		t.Error("somebody else comes back")
	}
}

func TestWhoComesInHasVerdictsRemembered(t *testing.T) {
	many := &PermissionOptions{Publish: twentyRules()}
	d := mustDirectory(t, Options{Users: []User{{User: "a", Permissions: many}, {User: "b", Password: mustHash(t, "p"), Permissions: many}}})
	for _, c := range []Credentials{{User: "a"}, {User: "b", Password: "p"}} {
		id, _, err := login(d, c)
		if err != nil || id.Perms.verdicts.Load() != d.heard {
			t.Errorf("%s: %v: nothing is remembered", c.User, err)
		}
	}
}

func TestRememberedVerdictsAllocateNothing(t *testing.T) {
	v, p := newVerdicts(), mustPermissions(t, PermissionOptions{Publish: twentyRules()})
	v.remember(&Identity{Perms: p})
	subjects := plantSubjects(100)
	p.MayPublish(subjects[0])
	if n := testing.AllocsPerRun(100, func() {
		for _, s := range subjects {
			p.MayPublish(s)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMayPublishRemembered(b *testing.B) {
	p, err := NewPermissions(&PermissionOptions{Publish: twentyRules()})
	if err != nil {
		b.Fatal(err)
	}
	newVerdicts().remember(&Identity{Perms: p})
	subjects := plantSubjects(10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !p.MayPublish(subjects[i%len(subjects)]) {
			b.Fatal(fmt.Sprintf("%s is denied", subjects[i%len(subjects)]))
		}
	}
}
