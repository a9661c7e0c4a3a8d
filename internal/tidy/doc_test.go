package tidy

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// A charter is read first and is never optional: what the package is for, what it does not do.
func TestEveryPackageHasACharter(t *testing.T) {
	charters := map[string]string{} // folder to package comment of its doc.go, "" while there is none
	names := map[string]string{}
	for _, s := range sources(t) {
		if s.module != "." {
			continue
		}
		if _, ok := charters[s.folder]; !ok {
			charters[s.folder] = ""
		}
		if !s.isTest() {
			names[s.folder] = s.file.Name.Name
		}
		if path.Base(s.path) == "doc.go" && s.file.Doc != nil {
			charters[s.folder] = s.file.Doc.Text()
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(charters)) {
		charter, name := charters[folder], names[folder]
		if charter == "" {
			t.Errorf("%s has no doc.go with a package comment", folder)
			continue
		}
		command := "Command " + path.Base(folder) + " "
		if !strings.HasPrefix(charter, "Package "+name+" ") && (name != "main" || !strings.HasPrefix(charter, command)) {
			t.Errorf("%s/doc.go begins %.30q, not \"Package %s \"", folder, charter, name)
		}
	}
}

// A package with one of these names is a drawer for what nobody thought about.
func TestNoPackageIsADrawer(t *testing.T) {
	drawers := []string{"util", "utils", "common", "types", "helpers", "misc", "base", "shared"}
	for _, s := range sources(t) {
		if slices.Contains(drawers, path.Base(s.folder)) {
			t.Errorf("%s: give the folder the name of what is in it", s.path)
		}
	}
}
