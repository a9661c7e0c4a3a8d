package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A source is one Go file of the repository. Its path is relative to the root, with slashes.
type source struct {
	path   string
	folder string // "." for the root
	module string // folder of the go.mod it belongs to, "." for the main module
	text   []byte
	file   *ast.File
	set    *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, name)
		}
	}
	return paths
}

// root is where go.mod is; tests run in their package's folder.
const root = "../.."

// skipped are folders with nothing of ours in them.
var skipped = map[string]bool{".git": true, "build": true, "dist": true, "node_modules": true, ".cache": true}

// walk calls f with every file of the repository that is ours, by its path from the root.
func walk(t *testing.T, f func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(full string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped[entry.Name()] {
				return filepath.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() {
			f(filepath.ToSlash(relative))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var parsed struct {
	once    sync.Once
	sources []source
}

// sources parses all Go files once. A file that does not parse is left to the compiler, which
// says it better.
func sources(t *testing.T) []source {
	t.Helper()
	parsed.once.Do(func() {
		var names []string
		modules := map[string]bool{}
		walk(t, func(name string) {
			switch {
			case path.Base(name) == "go.mod":
				modules[path.Dir(name)] = true
			case strings.HasSuffix(name, ".go") && !strings.Contains(name, "testdata/"):
				names = append(names, name)
			}
		})
		for _, name := range names {
			s := source{path: name, folder: path.Dir(name), text: read(t, name), set: token.NewFileSet()}
			file, err := parser.ParseFile(s.set, name, s.text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Logf("%v", err)
				continue
			}
			s.file = file
			s.module = s.folder
			for !modules[s.module] && s.module != "." {
				s.module = path.Dir(s.module)
			}
			parsed.sources = append(parsed.sources, s)
		}
	})
	if len(parsed.sources) == 0 {
		t.Fatal("found no Go files: the tests stand in the wrong folder")
	}
	return parsed.sources
}
