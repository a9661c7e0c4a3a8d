package broker

import (
	"fmt"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
)

func TestExplainTellsWhatPublishDoes(t *testing.T) {
	b := New(Options{})
	b.Configure([]*auth.Account{
		{Name: "A", Exports: []auth.Export{{Subject: "out.>"}, {Service: true, Subject: "svc"}},
			Mappings: []auth.Mapping{{Source: "old.*", Destinations: []auth.Destination{{Subject: "new.$1", Weight: 40}}}}},
		{Name: "B", Imports: []auth.Import{{From: "A", Subject: "out.>", To: "seen.>"}, {Service: true, From: "A", Subject: "svc", To: "ask"}}},
	})
	here := b.Account("A").Attach(nil, new(fakeSink), Traits{})
	link := b.Account("A").Attach(nil, new(fakeSink), Traits{Remote: true})
	there := b.Account("B").Attach(nil, new(fakeSink), Traits{})
	shy := b.Account("A").Attach(mustPermit(t, auth.PermissionOptions{Subscribe: deny("out.secret")}), new(fakeSink), Traits{})
	mustSubscribe(t, here, "out.*", "", "1")
	mustSubscribe(t, here, "out.*", "workers", "2")
	mustSubscribe(t, link, "out.>", "", "3")
	mustSubscribe(t, link, "out.>", "workers", "4")
	mustSubscribe(t, there, "seen.>", "", "5")
	mustSubscribe(t, shy, "out.*", "", "6")
	mustSubscribe(t, here, "new.x", "", "7")
	mustSubscribe(t, here, "svc", "", "8")

	e := b.Explain("A", "out.secret")
	if len(e.To) != 3 || e.To[0].Sub.Tag() != "1" || e.To[1].Sub.Tag() != "3" || e.To[2].Sub.Tag() != "5" || e.To[2].Seen != "seen.secret" || e.Denied != 1 {
		t.Errorf("out.secret: %+v", e)
	}
	if len(e.Groups) != 1 || e.Groups[0].Queue != "workers" || len(e.Groups[0].Members) != 1 || len(e.Groups[0].RemoteMembers) != 1 {
		t.Errorf("groups of out.secret: %+v", e.Groups)
	}
	e = b.Explain("A", "old.x")
	if len(e.Mapped) != 2 || e.Mapped[0].Percent != 40 || e.Mapped[0].Subject != "new.x" || len(e.Mapped[0].To) != 1 || e.Mapped[1].Percent != 60 || e.Mapped[1].Subject != "old.x" {
		t.Errorf("old.x: %+v", e)
	}
	e = b.Explain("B", "ask")
	if len(e.To) != 0 || len(e.Services) != 1 || e.Services[0].Account != "A" || e.Services[0].Subject != "svc" || len(e.Services[0].To) != 1 {
		t.Errorf("ask: %+v", e)
	}
	if e = b.Explain("A", "nobody"); fmt.Sprint(e) != fmt.Sprint(Explanation{Account: "A", Subject: "nobody"}) {
		t.Errorf("nobody: %+v", e)
	}
	// Asking counts for nothing and takes nothing.
	if n := b.Account("A").Snapshot().InMsgs; n != 0 {
		t.Errorf("%d messages are counted", n)
	}
}
