package tidy

import (
	"go/ast"
	"strings"
	"testing"
)

// A time that time.Now has made is measured from by a clock that nobody sets, until one of these takes that
// from it: "t.In, t.Local, and t.UTC also strip any monotonic clock reading", says package time, and what
// counts seconds has never had one. Of what is left, a board that starts in 1970 and is told the time would
// expire everything at once. There is no clock for tests that is set without going on, so the rule is held here:
// in the packages that measure, these methods stand only where dates are meant.
var stripping = map[string]bool{
	"UTC": true, "In": true, "Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "ModTime": true,
}

// measuring are the packages whose timers decide what happens to somebody.
var measuring = []string{"engine", "broker", "auth", "server", "leafnode", "transport/certs"}

// dates are the places where dates are meant, and why; files, not lines, so that they can be worked on.
var dates = map[string]map[string]string{
	"auth/callout_request.go":      {"Unix": "a JWT's end, which another machine reads"},
	"auth/jwt_import.go":           {"Unix": "the end of a JWT is compared with the date"},
	"auth/jwt_user.go":             {"In": "hours of the day, of a place"},
	"auth/resolver_directory.go":   {"ModTime": "what a crash has left in a folder, before the system's clock began"},
	"broker/replies.go":            {"Unix": "whether it is another second than last time, whichever"},
	"leafnode/credentials_flaw.go": {"Unix": "the dates of a JWT, for an explanation", "UTC": "shown"},
	"leafnode/dial_errors.go":      {"UTC": "shown"},
	"auth/clock.go":                {"UTC": "shown"},
	"transport/certs/kept.go":      {"UTC": "shown"},
	"leafnode/remote.go":           {"UnixNano": "that the clock was set is seen by it"},
	"server/client_info.go":        {"UTC": "shown"},
	"transport/certs/load.go":      {"ModTime": "whether a file is another one, not which is newer"},
}

func TestOnlyDatesGoByTheClockOfTheWall(t *testing.T) {
	met := map[string]bool{}
	for _, s := range sources(t) {
		if s.module != "." || s.isTest() || !measures(s.folder) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !stripping[selector.Sel.Name] {
				return true
			}
			if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" {
				return true // time.Unix makes a date
			}
			met[s.path+" "+selector.Sel.Name] = true
			if dates[s.path][selector.Sel.Name] == "" {
				t.Errorf("%s: .%s goes by the clock of the wall, which may be set by years: measure with engine.Now, or a time of time.Now as it is", s.set.Position(n.Pos()), selector.Sel.Name)
			}
			return true
		})
	}
	for file, methods := range dates {
		for method := range methods {
			if !met[file+" "+method] {
				t.Errorf("%s has no .%s any more: take it from the list", file, method)
			}
		}
	}
}

func measures(folder string) bool {
	for _, each := range measuring {
		if folder == each || strings.HasPrefix(folder, each+"/") {
			return true
		}
	}
	return false
}
