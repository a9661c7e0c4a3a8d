package tidy

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	// maxFileLines is the law for every Go file; 500 is where one looks twice.
	maxFileLines = 800
	// maxFunctionLines is where a function must be worth it. A longer one is listed in
	// testdata/long_functions.txt with its length, and may shrink but not grow.
	maxFunctionLines = 70
	// maxHotLines bounds the six files of the hot path together: a newcomer reads them in half an hour.
	maxHotLines = 1800
)

// hotPath are the files a message travels through from socket to socket.
var hotPath = []string{
	"engine/loop_linux.go",
	"parser/parser.go",
	"server/session_ops.go",
	"broker/publish.go",
	"subject/index.go",
	"engine/conn_out.go",
}

// longFiles are files over maxFileLines with the length they had when they were let in. They may
// shrink but not grow. The list is empty, and that is how it should stay.
var longFiles = map[string]int{}

const longFunctionsList = "testdata/long_functions.txt"

var update = flag.Bool("update", false, "write "+longFunctionsList+" anew: after shrinking one, or as a decision")

func lines(text []byte) int { return bytes.Count(text, []byte("\n")) }

func TestFilesStayShort(t *testing.T) {
	for _, s := range sources(t) {
		limit := max(maxFileLines, longFiles[s.path])
		if n := lines(s.text); n > limit {
			t.Errorf("%s has %d lines, at most %d: split it by thought, not by count", s.path, n, limit)
		}
	}
}

func TestHotPathIsReadInHalfAnHour(t *testing.T) {
	total := 0
	var each strings.Builder
	for _, name := range hotPath {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("a file of the hot path is missing: %v", err)
			continue
		}
		n := lines(text)
		total += n
		fmt.Fprintf(&each, " %s %d", name, n)
	}
	if total > maxHotLines {
		t.Errorf("the six files of the hot path have %d lines together, at most %d:%s", total, maxHotLines, each.String())
	}
}

func TestLongFunctionsDoNotGrow(t *testing.T) {
	known := readLongFunctions(t)
	now := map[string]int{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue // a test is often one table or one story
		}
		for _, declared := range s.file.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			n := s.set.Position(function.End()).Line - s.set.Position(function.Pos()).Line + 1
			if n > maxFunctionLines {
				now[s.path+" "+functionName(function)] = n
			}
		}
	}
	if *update {
		writeLongFunctions(t, now)
		return
	}
	for _, name := range sortedKeys(now) {
		if limit := max(maxFunctionLines, known[name]); now[name] > limit {
			t.Errorf("%s has %d lines, at most %d: arithmetic goes into helpers, branches stay", name, now[name], limit)
		}
	}
	for _, name := range sortedKeys(known) {
		if now[name] < known[name] {
			t.Errorf("%s was %d lines and is %d now (0: under the limit): run `go test ./internal/tidy -run LongFunctions -update` so that it stays so",
				name, known[name], now[name])
		}
	}
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch inner := receiver.(type) {
		case *ast.StarExpr:
			receiver = inner.X
		case *ast.IndexExpr:
			receiver = inner.X
		case *ast.IndexListExpr:
			receiver = inner.X
		case *ast.Ident:
			return inner.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

func readLongFunctions(t *testing.T) map[string]int {
	t.Helper()
	known := map[string]int{}
	text, err := os.ReadFile(longFunctionsList)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		line := scanner.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var file, function string
		var n int
		if _, err := fmt.Sscan(line, &file, &function, &n); err != nil {
			t.Fatalf("%s: %q: want file, function, lines", longFunctionsList, line)
		}
		known[file+" "+function] = n
	}
	return known
}

func writeLongFunctions(t *testing.T, now map[string]int) {
	t.Helper()
	var text strings.Builder
	text.WriteString("# Functions over 70 lines and the length they may not pass. A line more here is a decision:\n" +
		"# the function is one thought, such as a switch over the verbs of a protocol.\n")
	for _, name := range sortedKeys(now) {
		fmt.Fprintf(&text, "%s %d\n", name, now[name])
	}
	if err := os.WriteFile(longFunctionsList, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
