package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// warningPages explain what the log says.
var warningPages = []string{"docs/operations.md", "docs/federation.md"}

// warningCalls are the methods of a logger that write what somebody should look at.
var warningCalls = []string{"Warn", "Error", "logLimited"}

// A warning that its operator has to look up in the source is half a warning. This finds those whose
// text stands where they are logged; those of a configuration and reasons of refusals come from elsewhere.
func TestEveryWarningIsExplained(t *testing.T) {
	var pages strings.Builder
	for _, name := range warningPages {
		pages.Write(read(t, name))
	}
	explained, found := pages.String(), 0
	for _, s := range sources(t) {
		if s.module != "." || s.isTest() || strings.HasPrefix(s.folder, "internal/") || strings.HasPrefix(s.folder, "tests") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if text := warningText(call); text != "" {
				found++
				if !strings.Contains(explained, text) {
					t.Errorf("%s: the log may say %q, and none of %s explains it", s.set.Position(call.Pos()), text, strings.Join(warningPages, ", "))
				}
			}
			return true
		})
	}
	if found < 30 {
		t.Errorf("%d warnings found: is there another way to log?", found)
	}
}

// leastText is how long a part of a text must be to be looked for.
const leastText = 16

// filledIn divides a text at what is filled in, and at colons and semicolons: a page need not repeat all of it.
var filledIn = regexp.MustCompile(`%[-+#0-9.]*[a-z]|[:;,] `)

// warningText is what a page must have of a warning: of the text that stands in the call, its first part
// that is long enough to be looked for. "" if this call logs no warning, or no text of its own.
func warningText(call *ast.CallExpr) string {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(warningCalls, method.Sel.Name) || !logs(method.X) || len(call.Args) == 0 {
		return ""
	}
	text := ""
	for _, argument := range call.Args[:min(2, len(call.Args))] { // logLimited has the level first
		ast.Inspect(argument, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && text == "" {
				if whole, err := strconv.Unquote(literal.Value); err == nil {
					for _, part := range filledIn.Split(whole, -1) {
						if part = strings.TrimSpace(part); len(part) >= leastText && text == "" {
							text = part
						}
					}
				}
			}
			return true
		})
		if text != "" {
			break
		}
	}
	return text
}

// logs reports whether an expression is a logger, by its name: x.logger, x.log, options.Logger, d.Logger(), n.
func logs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "logger" || x.Name == "log" || x.Name == "n"
	case *ast.SelectorExpr:
		return strings.HasSuffix(strings.ToLower(x.Sel.Name), "log") || strings.HasSuffix(x.Sel.Name, "ogger")
	case *ast.CallExpr:
		method, ok := x.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "Logger"
	}
	return false
}
