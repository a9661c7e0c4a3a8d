package leafnode

import "testing"

func TestRepliesAreTakenApartAtTheSign(t *testing.T) {
	for _, c := range []struct{ reply, ack, original string }{
		{"$JS.ACK.ORD.C1.1.1.1.1795342767373885775.1@ord.1", "$JS.ACK.ORD.C1.1.1.1.1795342767373885775.1", "ord.1"},
		{"$JS.ACK.O@D.C@1.1.1.1.1795.1@o@d.1", "$JS.ACK.O@D.C@1.1.1.1.1795.1", "o@d.1"},
		{"$JS.ACK.dom.hash.ORD.C1.1.1.1.1795.1@ord.1", "$JS.ACK.dom.hash.ORD.C1.1.1.1.1795.1", "ord.1"},
		{"$JS.ACK.ORD.C1.1.1.1.1795.1@", "$JS.ACK.ORD.C1.1.1.1.1795.1", ""},
		{"$JS.ACK.S.C.1.2.3@x", "", ""},
		{"$JS.ACK.ORD.C1.1.1.1.1795@1@", "", ""},
		{"$JS.ACK.ORD.C1.1.1.1.1795.1", "", ""},
		{"$JS.ACKS.ORD.C1.1.1.1.1795.1@x", "", ""},
		{"_INBOX.a.b.c.d.e.f.g.h@x", "", ""},
		{"$JS.ACK.", "", ""},
		{"$JS", "", ""},
		{"", "", ""},
	} {
		ack, original, ok := splitAt([]byte(c.reply))
		if ok != (c.ack != "") || ok && (string(ack) != c.ack || string(original) != c.original) {
			t.Errorf("%q: %q and %q, %v", c.reply, ack, original, ok)
		}
		if !ok && (string(ack) != c.reply || original != nil) {
			t.Errorf("%q: became %q and %q", c.reply, ack, original)
		}
		if ok {
			if back := joinAt(nil, ack, original); string(back) != c.reply {
				t.Errorf("%q: put together as %q", c.reply, back)
			}
		}
	}
	reply := []byte("$JS.ACK.ORD.C1.1.1.1.1795342767373885775.1@ord.1")
	buf := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		ack, original, _ := splitAt(reply)
		joinAt(buf, ack, original)
	}); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}
