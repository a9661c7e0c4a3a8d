package tidy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// On 32-bit ARM, MIPS and x86 a 64-bit atomic operation on an address that is not a multiple of 8 ends
// the program, and a plain int64 field stands wherever the fields before it end: "it is the caller's
// responsibility to arrange for 64-bit alignment", says sync/atomic. Its types arrange it themselves.
// So its functions on addresses are not used at all, those on 32 bits included: a type cannot be read
// without the atomic by mistake either.

func TestAtomicsAreTypes(t *testing.T) {
	for _, s := range sources(t) {
		for _, complaint := range addressAtomics(s.set, s.file) {
			t.Error(complaint)
		}
	}
}

// addressAtomics finds what could operate on an address of any alignment: functions of sync/atomic, and
// pointers of other types that unsafe makes pointers to its types.
func addressAtomics(set *token.FileSet, file *ast.File) (complaints []string) {
	name := importedAs(file, "sync/atomic")
	if name == "" {
		return nil
	}
	complain := func(n ast.Node, text string) {
		complaints = append(complaints, set.Position(n.Pos()).String()+": "+text)
	}
	if name == "." {
		complain(file, "sync/atomic is imported with a dot, so that nobody sees what is atomic")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if word, ok := selected(n, name); ok && operates(word) {
				complain(n, "atomic."+word+" takes an address of any alignment: make the variable an atomic.Int64 or its like")
			}
		case *ast.CallExpr:
			if len(n.Args) == 1 && pointsToAtomic(n.Fun, name) && fromUnsafe(n.Args[0], importedAs(file, "unsafe")) {
				complain(n, "unsafe makes an atomic of what may stand at any alignment")
			}
		}
		return true
	})
	return complaints
}

// importedAs is the name that a package has in a file; "" where it is not imported.
func importedAs(file *ast.File, path string) string {
	for _, spec := range file.Imports {
		if each, err := strconv.Unquote(spec.Path.Value); err != nil || each != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return ""
}

// selected gives X of p.X.
func selected(e ast.Expr, p string) (word string, ok bool) {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	from, ok := selector.X.(*ast.Ident)
	return selector.Sel.Name, ok && from.Name == p
}

// operates reports whether a word of sync/atomic is a function: all but its types.
func operates(word string) bool {
	for _, verb := range []string{"Add", "And", "CompareAndSwap", "Load", "Or", "Store", "Swap"} {
		if strings.HasPrefix(word, verb) {
			return true
		}
	}
	return false
}

// pointsToAtomic reports whether a conversion is to (*atomic.T).
func pointsToAtomic(e ast.Expr, atomic string) bool {
	bracketed, ok := e.(*ast.ParenExpr)
	if !ok {
		return false
	}
	star, ok := bracketed.X.(*ast.StarExpr)
	if !ok {
		return false
	}
	if generic, ok := star.X.(*ast.IndexExpr); ok {
		_, ok = selected(generic.X, atomic)
		return ok
	}
	_, ok = selected(star.X, atomic)
	return ok
}

func fromUnsafe(e ast.Expr, unsafe string) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok || unsafe == "" {
		return false
	}
	word, ok := selected(call.Fun, unsafe)
	return ok && (word == "Pointer" || word == "Add")
}

func TestAddressAtomicsAreFound(t *testing.T) {
	for _, c := range []struct {
		body string
		want int
	}{
		{`import "sync/atomic"; var n atomic.Int64; var p atomic.Pointer[int]; func f() { n.Add(1); n.Store(2); p.Load() }`, 0},
		{`import "sync/atomic"; var n int64; func f() { atomic.AddInt64(&n, 1) }`, 1},
		{`import "sync/atomic"; var n uint64; var f = atomic.LoadUint64`, 1},
		{`import "sync/atomic"; var n uint32; func f() { atomic.OrUint32(&n, 1); atomic.CompareAndSwapUint32(&n, 1, 2) }`, 2},
		{`import a "sync/atomic"; var n int64; func f() { a.SwapInt64(&n, 1) }`, 1},
		{`import . "sync/atomic"; var n int64; func f() { AddInt64(&n, 1) }`, 1},
		{`import ("sync/atomic"; "unsafe"); var b []byte; func f() { (*atomic.Int64)(unsafe.Pointer(&b[4])).Add(1) }`, 1},
		{`import ("sync/atomic"; "unsafe"); var b []byte; func f() { (*atomic.Pointer[int])(unsafe.Pointer(&b[4])).Load() }`, 1},
		{`import ("sync/atomic"; "unsafe"); var n *atomic.Int64; func f() { g(unsafe.Pointer(n)) }`, 0},
		{`import atomic "example.org/mine"; func f() { atomic.AddInt64(nil, 1) }`, 0},
	} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", "package x; "+c.body, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressAtomics(set, file); len(got) != c.want {
			t.Errorf("%s: %d complaints, want %d: %q", c.body, len(got), c.want, got)
		}
	}
}
