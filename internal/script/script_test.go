package script

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func mustParse(t *testing.T, text string) *Transcript {
	t.Helper()
	transcript, err := Parse("t", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return transcript
}

func TestTranscriptThatHoldsPasses(t *testing.T) {
	tables := map[string]string{
		"one client": "a> SUB foo 1\na> PUB foo 2\na> hi\na< MSG foo 1 2\na< hi\n",
		"order of clients is order of the server": "a> SUB foo 1\nb> PUB foo 1\nb> x\na> PUB foo 1\na> y\n" +
			"a< MSG foo 1 1\na< x\na< MSG foo 1 1\na< y\n",
		"exactly one of a queue":  "a> SUB q g 7\nb> SUB q g 9\nc> PUB q 2\nc> hi\na|b< MSG q 7|9 2\na|b< hi\nc< (nothing)\n",
		"nothing":                 "a> SUB foo 1\na> PUB bar 1\na> x\na< (nothing)\n",
		"an explicit PING shows":  "a> PING\na< PONG\na< (nothing)\na> PING\na< PONG\n",
		"bare connection":         "a> (connect)\na< INFO {\"port\":4222,\"gone\":\"(absent)\",\"server_id\":\"(any)\",...}\na> PING\na< PONG\n",
		"whole INFO":              "a> (connect)\na< INFO {\"server_id\":\"F\",\"port\":4222,\"headers\":true}\n",
		"the server closes":       "a> nonsense\na< -ERR 'what?'\na< (closed)\n",
		"the client closes":       "a> SUB foo 1\na> (close)\nb> PUB foo 1\nb> x\nb< (nothing)\n",
		"closed by reset":         "a> nonsense\na> more\na< -ERR 'what?'\na< (closed)\n",
		"capture":                 "a> RAW one two one-two\na< <x> <y> <x>-<y>\na> RAW <y>\na< two\n",
		"capture inside a word":   "a> RAW _INBOX.abc.1\na< _INBOX.<id>.1\na> RAW <id>\na< abc\n",
		"repetition":              "a> RAW <70*x>\na< <70*x>\n",
		"escapes":                 "a> RAW \\\\x41\\\\x00\\\\n\na< A\\x00\\n\n",
		"payload that looks like": "a> SUB foo 1\na> PUB foo 4\na> PONG\na< MSG foo 1 4\na< PONG\na< (nothing)\n",
		"pieces":                  "a> PI\\\na> NG\na< PONG\n",
		"bare LF":                 "a> PING\\n\\\na< PONG\n",
		"another server's lines":  "a> PING\na@other< nothing of ours\na@fake< PONG\na@other> nonsense\n",
		"server's PING is hidden": "a> ASK\na< (nothing)\n",
		"server's PING is shown":  "# pings: shown\na> ASK\na< PING\na> PONG yes\na< +OK\n",
		"time passes":             "a> (wait 1ms)\na< (nothing)\n",
	}
	for name, text := range tables {
		t.Run(name, func(t *testing.T) {
			for _, cut := range []int{0, 1, 3} {
				p := newFake(t).player()
				p.Cut = cut
				if err := p.Play(mustParse(t, text)); err != nil {
					t.Errorf("cut %d: %v", cut, err)
				}
			}
		})
	}
}

func TestTranscriptThatDoesNotHoldFails(t *testing.T) {
	tables := map[string]struct{ text, want string }{
		"another line":          {"a> PING\na< PANG\n", "t:2: a< PANG: got PONG"},
		"no line":               {"a> SUB foo 1\na< MSG foo 1 2\n", "no line within"},
		"something":             {"a> SUB foo 1\na> PUB foo 1\na> x\na< (nothing)\n", "MSG foo 1 1"},
		"something at the end":  {"a> SUB foo 1\na> PUB foo 1\na> x\n", "at the end: a has unread"},
		"unread by another":     {"a> SUB foo 1\nb> PUB foo 1\nb> x\nb< (nothing)\n", "at the end: a has unread"},
		"not closed":            {"a> PING\na< PONG\na< (closed)\n", "no line within"},
		"closed":                {"a> nonsense\na< -ERR 'what?'\na< PONG\n", "has closed"},
		"two of one":            {"a> SUB q 7\nb> SUB q 9\nc> PUB q 2\nc> hi\na|b< MSG q 7|9 2\n", "exactly one"},
		"none of one":           {"a> SUB p 7\nb> SUB p 9\nc> PUB q 2\nc> hi\na|b< MSG q 7|9 2\n", "exactly one"},
		"capture differs":       {"a> RAW one two\na< <x> <x>\n", "got one two"},
		"INFO has more":         {"a> (connect)\na< INFO {\"port\":4222}\n", "got INFO"},
		"INFO has other":        {"a> (connect)\na< INFO {\"port\":1,...}\n", "got INFO"},
		"INFO has no such":      {"a> (connect)\na< INFO {\"x\":\"(any)\",...}\n", "got INFO"},
		"INFO has such":         {"a> (connect)\na< INFO {\"port\":\"(absent)\",...}\n", "got INFO"},
		"not captured":          {"a> RAW <x>\n", "nothing was captured"},
		"not refused":           {"a> (connect)\na< (refused)\n", "not refused"},
		"no such act":           {"a> (dance)\n", "nothing a client can do"},
		"no such expectation":   {"a< (dance)\n", "nothing that can be expected"},
		"no hand on the server": {"server> (stop)\n", "cannot do that"},
	}
	for name, c := range tables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newFake(t).player()
			p.Patience = time.Second // the whole of it only where nothing comes
			err := p.Play(mustParse(t, c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestRefusedConnectionIsSeen(t *testing.T) {
	p := Player{Dial: func() (net.Conn, error) { return nil, fmt.Errorf("no") }}
	if err := p.Play(mustParse(t, "a> (connect)\na< (refused)\n")); err != nil {
		t.Error(err)
	}
	if err := p.Play(mustParse(t, "a> (connect)\na< INFO {...}\n")); err == nil {
		t.Error("a refused connection had a line")
	}
}

func TestActsReachTheServer(t *testing.T) {
	p := newFake(t).player()
	var got []string
	p.Act = func(word, argument string) error {
		got = append(got, word+"/"+argument)
		return nil
	}
	if err := p.Play(mustParse(t, "a> PING\na< PONG\nserver> (reload with less)\nserver> (stop)\n")); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[reload/with less stop/]" {
		t.Errorf("got %q", got)
	}
}

func TestHeadIsRead(t *testing.T) {
	tr := mustParse(t, `# What it shows,
# in two lines.
# config:
#   a: 1
#     b: 2
# config other:
#   a: 2
# connect: {"verbose":true}
# connect b: {"user":"b"}
# pings: shown
# only nats-server: because

a> PING
# not: of the head
a< PONG
`)
	if tr.About != "What it shows,\nin two lines.\n" || tr.Config != "a: 1\n  b: 2\n" || tr.Configs["other"] != "a: 2\n" ||
		tr.Connect != `{"verbose":true}` || tr.ConnectOf["b"] != `{"user":"b"}` || !tr.PingsShown ||
		tr.Only != "nats-server" || tr.OnlyBecause != "because" || len(tr.Steps) != 2 || tr.Steps[1].Line != 15 || !tr.Differs() {
		t.Errorf("got %+v", tr)
	}
}

func TestBadTranscriptIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "# nothing\n", "A> PING\n", "a PING\n", "a|b> PING\n", "a> \\q\n", "a> <3*x\n", "a> <x*3>\n", "a< x\\\n",
		"# pings: hidden\na> PING\n", "# only: x\na> PING\n", "a< INFO {]\n", "a> <999999999*xx>\n", "a> \\x1\n",
	} {
		if tr, err := Parse("t", []byte(text)); err == nil {
			t.Errorf("%q was taken as %+v", text, tr.Steps)
		}
	}
}

func TestFilesAreReadInOrder(t *testing.T) {
	all, err := ReadAll(fstest.MapFS{
		"b/two.txt": {Data: []byte("a> PING\na< PONG\n")},
		"a/one.txt": {Data: []byte("a> PING\na< PONG\n")},
		"a/other":   {Data: []byte("no transcript")},
	})
	if err != nil || len(all) != 2 || all[0].Name != "a/one" || all[1].Name != "b/two" {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := ReadAll(fstest.MapFS{"x.txt": {Data: []byte("?\n")}}); err == nil || !strings.Contains(err.Error(), "x:1") {
		t.Errorf("got %v", err)
	}
}

func TestRecordingFillsGapsAndKeepsTheRest(t *testing.T) {
	const before = `# About.
a> SUB foo 1

# In between.
a> PUB foo 2
a> hi
a< ?
a< ?
b> PING
b< PANG
b> RAW \\x00(\\\\
b< ?
b> nonsense
b< ?
c< ?
`
	const after = `# About.
a> SUB foo 1

# In between.
a> PUB foo 2
a> hi
a< MSG foo 1 2
a< hi
b> PING
b< PONG
b> RAW \\x00(\\\\
b< \x00(\\
b> nonsense
b< -ERR 'what?'
b< (closed)
c< (nothing)
`
	got, err := newFake(t).player().Record(mustParse(t, before))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != after {
		t.Errorf("got\n%s", got)
	}
	if err := newFake(t).player().Play(mustParse(t, after)); err != nil {
		t.Errorf("what was recorded does not play: %v", err)
	}
}

func TestShownLinesAreReadBack(t *testing.T) {
	for _, line := range []string{
		"", " ", "plain", "(nothing)", "<x>", "a\\b", "\x00\x01\x7f\x80\xff", "größe 温度", "\t\r\n", "ends in blank ",
		strings.Repeat("x", 200), strings.Repeat("<", 70), "\uFFFD", "\xef", "MSG foo|bar 1 2",
	} {
		p, err := compile(show([]byte(line)), nil)
		if err != nil {
			t.Errorf("%q shown as %q: %v", line, show([]byte(line)), err)
			continue
		}
		if !p.match([]byte(line), map[string]string{}) {
			t.Errorf("%q shown as %q does not match", line, show([]byte(line)))
		}
	}
}

func FuzzShownLinesAreReadBack(f *testing.F) {
	f.Add([]byte("MSG foo 1 2"))
	f.Add([]byte("(x) <y> \\ \xff"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.Contains(line, []byte("INFO ")) {
			return // shown as INFO {...}
		}
		p, err := compile(show(line), nil)
		if err != nil || !p.match(line, map[string]string{}) {
			t.Fatalf("%q shown as %q: %v", line, show(line), err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# config:\n#   x\na> PING\na|b< <x> 1|2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("*")) {
			return // repetition may take much memory, as it should
		}
		Parse("f", text)
	})
}
