package subject

import (
	"bytes"
	"strings"
	"testing"
)

// The results are those of nats-server 2.15.2, strange ones included: a gateway that puts
// devices into other partitions than its hub is worse than a strange one. "" is no match.
func TestTransformsGiveWhatNatsServerGives(t *testing.T) {
	for _, c := range []struct{ source, destination, subject, want string }{
		{"", "a.>", "x", "a.x"},
		{">", ">", "a.b", "a.b"},
		{">", "new.>", "a.b", "new.a.b"},
		{"a", "b", "a", "b"},
		{"a.*", "b.$1", "a.x", "b.x"},
		{"a.*.*", "b.$2.$1", "a.x.y", "b.y.x"},
		{"a.*.*", "b.{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "a.x.y", "b.y.x"},
		{"a.*.>", "b.>", "a.x.y.z", "b.y.z"},
		{"a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"},
		{"a.*", "b.$0", "a.x", "b.a"},
		{"a.*", "$SYS.$1x.$1", "a.x", "$SYS.$1x.x"},
		{"a.*", "b", "a.x", "b"},
		{"a.*", "b.{{}}", "a.x", "b.{{}}"},
		{"a.*", "b.$1", "b.x", ""},
		{"a.*", "b.$1", "a", ""},
		{"a.*", "b.$1", "a.x.y", ""},
		{"a.*", "b.$1", "a.*", ""},
		{"a.*", "b.$1", "a.", ""},
		{"neworders.*", "neworders.$1.{{partition(3,1)}}", "neworders.customerid1", "neworders.customerid1.0"},
		{"neworders.*", "neworders.$1.{{partition(3,1)}}", "neworders.customerid2", "neworders.customerid2.2"},
		{"*.*", "p.{{partition(10,1,2)}}", "foo.bar", "p.0"},
		{"*.*", "p.{{partition(10,2,1)}}", "foo.bar", "p.2"},
		{"*.*", "p.{{partition(10)}}", "foo.bar", "p.6"},
		{"foo.bar", "p.{{partition(1000)}}", "foo.bar", "p.196"},
		{"foo.bar", "p.{{partition(1000,5)}}", "foo.bar", "p.196"},
		{"*", "p.{{partition(0,1)}}", "x", "p.0"},
		{"*", "p.{{partition(-3,1)}}", "x", "p.4245442695"},
		{"*", "{{split(1,-)}}", "-a-b--c-", "a.b.c"},
		{"*", "{{split(1,-)}}", "--a", ".a"},
		{"*", "{{split(1,-)}}", "---", ""},
		{"*", "{{split(1,)}}", "aé日", "a.é.日"},
		{"*", "{{split(1,ab)}}", "xabyaba", "x.y.a"},
		{"*", "{{Split(1,x)}}", "abc", "abc"},
		{"*", "{{splitFromLeft(1,3)}}", "abcdef", "abc.def"},
		{"*", "{{splitFromLeft(1,6)}}", "abcdef", "abcdef"},
		{"*", "{{splitfromright(1,2)}}", "abcdef", "abcd.ef"},
		{"*", "{{SplitFromRight(1,2)}}", "abcdef", "abcd.ef"},
		{"*", "{{splitFromRight(1,0)}}", "abcdef", "abcdef"},
		{"*", "{{sliceFromLeft(1,3)}}", "abcdefg", "abc.def.g"},
		{"*", "{{sliceFromLeft(1,3)}}", "abcdef", "abc.def"},
		{"*", "{{sliceFromLeft(1,4)}}", "abcdefg", "abcd.efg"},
		{"*", "{{sliceFromRight(1,3)}}", "abcdefgh", "ab.cde.fgh"},
		{"*", "{{sliceFromRight(1,3)}}", "abcdef", "abc.def"},
		{"*", "{{sliceFromRight(1,9)}}", "abcdef", "abcdef"},
		{"*", "{{left(1,2)}}.{{right(1,2)}}", "abcdef", "ab.ef"},
		{"*", "{{Left(1,9)}}.{{Right(1,-1)}}", "abcdef", "abcdef.abcdef"},
		{"*", "r.{{random(1)}}.{{Random(0)}}", "x", "r.0.0"},
		{"a", "r.{{random(1)}}", "a", "r.0"},
	} {
		tr, err := NewTransform(c.source, c.destination)
		if err != nil {
			t.Errorf("%q to %q: %v", c.source, c.destination, err)
			continue
		}
		got, ok := tr.Append([]byte("before "), []byte(c.subject))
		if want := "before " + c.want; string(got) != want {
			t.Errorf("%q to %q makes %q of %q, want %q", c.source, c.destination, got, c.subject, want)
		}
		if matches := Matches(tr.Source(), c.subject) && ValidLiteral(c.subject); ok != matches {
			t.Errorf("%q to %q of %q: ok is %v", c.source, c.destination, c.subject, ok)
		}
	}
}

func TestBadTransformsAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct{ source, destination, reason string }{
		{"a..b", "c", "valid"},
		{"a.*", "c.", "valid"},
		{"a.*", "", "valid"},
		{"a.>.b", "c", "valid"},
		{"a.*", "b.*", "cannot stand"},
		{"a.>", "b", "both or neither"},
		{"a", "b.>", "both or neither"},
		{"a", "b.$1", "no wildcards"},
		{"a.*", "b.$2", "wildcard 2 of 1"},
		{"a.>", "b.$1.>", "wildcard 1 of 0"},
		{"a.*", "b.{{wildcard()}}", "few"},
		{"a.*", "b.{{wildcard(1,2)}}", "many"},
		{"a.*", "b.{{wildcard(x)}}", "argument"},
		{"a.*", "b.{{wildcard(2)}}", "wildcard 2 of 1"},
		{"a.*", "b.{{partition()}}", "argument"},
		{"a.*", "b.{{partition(2147483648,1)}}", "argument"},
		{"a.*", "b.{{partition(3,x)}}", "argument"},
		{"a.*", "b.{{split(1)}}", "few"},
		{"a.*", "b.{{split(1,-,-)}}", "many"},
		{"a.*", "b.{{split(x,-)}}", "argument"},
		{"a.*", "b.{{split(1, - )}}", "argument"},
		{"a.*", "b.{{left(1)}}", "few"},
		{"a.*", "b.{{left(1,2,3)}}", "many"},
		{"a.*", "b.{{left(x,2)}}", "argument"},
		{"a.*", "b.{{left(1,99999999999)}}", "argument"},
		{"a.*", "b.{{random()}}", "argument"},
		{"a.*", "b.{{random(1,2)}}", "many"},
		{"a.*", "b.{{unknown(1)}}", "known"},
		{"a.*", "b.{{wildcard 1}}", "known"},
		{"a", "b.{{left(1,2)}}", "no wildcards"},
	} {
		_, err := NewTransform(c.source, c.destination)
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q to %q: %v, want something with %q", c.source, c.destination, err, c.reason)
		}
	}
}

func TestRandomStaysBelowItsBound(t *testing.T) {
	tr, err := NewTransform("*", "{{random(3)}}")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 300 {
		out, _ := tr.Append(nil, []byte("x"))
		seen[string(out)]++
	}
	if len(seen) != 3 || seen["0"]*seen["1"]*seen["2"] == 0 {
		t.Fatalf("got %v", seen)
	}
}

func TestTransformAllocatesNothing(t *testing.T) {
	tr, err := NewTransform("a.*.*.>", "b.{{partition(10,1,2)}}.{{split(1,-)}}.{{sliceFromRight(2,3)}}.$2.>")
	if err != nil {
		t.Fatal(err)
	}
	subject, dst := []byte("a.x-y-z.abcdefgh.c.d"), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { tr.Append(dst, subject) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzTransform(f *testing.F) {
	f.Add("a.*.>", "b.{{split(1,-)}}.>", "a.x-y.c")
	f.Add("*.*", "{{partition(10,1,2)}}.{{left(1,2)}}", "foo.bar")
	f.Add("*", "{{ sliceFromLeft( 1, 2 ) }}.{{split(1,)}}", "abcd")
	f.Fuzz(func(t *testing.T, source, destination, subject string) {
		tr, err := NewTransform(source, destination)
		if err != nil {
			return
		}
		given := []byte(subject)
		out, ok := tr.Append([]byte("before"), given)
		if !bytes.HasPrefix(out, []byte("before")) || string(given) != subject {
			t.Fatalf("%q to %q of %q: %q", source, destination, subject, out)
		}
		if !ok && len(out) != len("before") {
			t.Fatalf("no match, and yet %q", out)
		}
		if ok && !(tr.Source() == ">" && destination == ">") && !(ValidLiteral(subject) && Matches(tr.Source(), subject)) {
			t.Fatalf("%q is transformed by %q", subject, tr.Source())
		}
	})
}
