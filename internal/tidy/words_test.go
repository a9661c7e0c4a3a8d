package tidy

import (
	"bytes"
	"path"
	"regexp"
	"strings"
	"testing"
)

// words are strings with no place in the project, each with the reason. They are written in pieces
// so that this file does not find itself.
var words = []struct{ pattern, reason string }{
	{`(?:^|[\s"'=(` + "`" + `])/` + `work/`, "a path of one machine"},
	{`(?:^|[\s"'=(` + "`" + `])/` + `root/`, "a path of one machine"},
	{`(?:^|[\s"'=(` + "`" + `])/` + `home/[a-z]`, "a path of one machine"},
	{`/` + `Users/[A-Za-z]+/`, "a path of one machine"},
	{`[A-Z]:\\` + `Users\\`, "a path of one machine"},
	{`proxy\.` + `golang\.org`, "which registry is asked is each user's setting"},
	{`registry\.` + `npmjs?\.`, "which registry is asked is each user's setting"},
	{`deb\.` + `debian\.org`, "which registry is asked is each user's setting"},
	{`<<<<` + `<<< |>>>>` + `>>> `, "a merge that was not finished"},
}

// unfinished finds marks of what is left to do, and whether an issue number follows.
var unfinished = regexp.MustCompile(`\b(?:TO` + `DO|FIX` + `ME|XX` + `X)\b(\(?:? ?#\d+)?`)

// notText are files that are not searched: pictures, archives, checksums.
var notText = map[string]bool{
	".sum": true, ".png": true, ".gz": true, ".zip": true, ".ico": true, ".woff2": true,
}

func TestForbiddenWordsAreAbsent(t *testing.T) {
	var patterns []*regexp.Regexp
	for _, word := range words {
		patterns = append(patterns, regexp.MustCompile(`(?m)`+word.pattern))
	}
	walk(t, func(name string) {
		if notText[path.Ext(name)] || strings.Contains(name, "testdata/fuzz/") {
			return
		}
		text := read(t, name)
		if bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			return // not text
		}
		for i, pattern := range patterns {
			for _, at := range pattern.FindAllIndex(text, 5) {
				line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
				if text[at[0]] == '\n' {
					line++
				}
				t.Errorf("%s:%d: %q: %s", name, line, text[at[0]:at[1]], words[i].reason)
			}
		}
		for _, at := range unfinished.FindAllSubmatchIndex(text, -1) {
			if at[2] < 0 {
				line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
				t.Errorf("%s:%d: %q without an issue number, as in %s #12", name, line, text[at[0]:at[1]], text[at[0]:at[1]])
			}
		}
	})
}

func TestForbiddenWordsAreFound(t *testing.T) {
	bad := []string{
		"cd /" + "work/main", "\"/" + "root/go\"", "see /" + "home/ann/x", "/" + "Users/ann/src", `C:\` + `Users\ann`,
		"https://proxy." + "golang.org/x", "registry." + "npmjs.org", "deb." + "debian.org",
		"// TO" + "DO later", "// FIX" + "ME: broken", "// TO" + "DO", "<<<<" + "<<< HEAD",
	}
	good := []string{"/homes", "homework/x", "build/root/x", "// TO" + "DO #12: later", "TODOS", "$HOME/go", "// TO" + "DO(#12): x"}
	found := func(text string) bool {
		for _, word := range words {
			if regexp.MustCompile(`(?m)` + word.pattern).MatchString(text) {
				return true
			}
		}
		for _, at := range unfinished.FindAllStringSubmatchIndex(text, -1) {
			if at[2] < 0 {
				return true
			}
		}
		return false
	}
	for _, text := range bad {
		if !found(text) {
			t.Errorf("%q should be refused", text)
		}
	}
	for _, text := range good {
		if found(text) {
			t.Errorf("%q should be let through", text)
		}
	}
}
