package micro

import "testing"

func TestVersionsAreSemantic(t *testing.T) {
	good := []string{"0.0.0", "1.2.3", "10.20.30", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-0.3.7", "1.0.0-x-y-z.--",
		"1.0.0+20130313", "1.0.0-beta+exp.sha.5114f85", "1.0.0+21AF26D3----117B344092BD", "1.0.0-0A.is.legal", "1.0.0+0.build.01"}
	bad := []string{"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3+", "1.2.3-a..b",
		"1.2.3-01", "1.2.3+a_b", "1.2.x", "1.2.3 ", "1.2.3-ä", "-1.2.3", "1.2.3+a+b"}
	for _, version := range good {
		if !validVersion(version) {
			t.Errorf("%q is refused", version)
		}
	}
	for _, version := range bad {
		if validVersion(version) {
			t.Errorf("%q is taken", version)
		}
	}
}

func TestNamesAreOneToken(t *testing.T) {
	for name, want := range map[string]bool{
		"valve": true, "valve-7_B": true, "7": true, "": false, "a.b": false, "a b": false, "*": false, ">": false, "ä": false,
	} {
		if validName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestControlSubjects(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ControlSubject(PingVerb, "", ""), "$SRV.PING"},
		{ControlSubject(InfoVerb, "valve", ""), "$SRV.INFO.valve"},
		{ControlSubject(StatsVerb, "valve", "X"), "$SRV.STATS.valve.X"},
		{ControlSubject(StatsVerb, "", "X"), "$SRV.STATS"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}
