package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
)

const (
	// maxFileBytes bounds one file. Ten thousand users with permissions are about 2 MB.
	maxFileBytes = 16 << 20
	// maxFiles bounds the files of one configuration, includes counted as often as they stand.
	maxFiles = 256
	// maxIncludeDepth bounds includes inside includes.
	maxIncludeDepth = 16
	// devicesFile is what a command writes and keeps, so that nobody has to write the first one.
	devicesFile = "devices.conf"
)

// A Result is what there is to say about a configuration that could be read.
type Result struct {
	// Warnings are things that work and are probably not meant.
	Warnings []Problem
	// Digest names the content: "sha256:" and the hash of all values, comments aside. It is the
	// one that nats-server -t prints for the same file.
	Digest string

	file   string
	places map[string]Place // by full names of keys ("authorization.timeout"), whichever of their names was used
}

// Has reports whether the configuration has a key.
func (r *Result) Has(key string) bool {
	_, ok := r.places[key]
	return ok
}

// At gives an error about a key its place; keys are tried in order, and the file alone is the
// place of an error about a key that was left to its default.
func (r *Result) At(err error, keys ...string) Problem {
	for _, key := range keys {
		if place, ok := r.places[key]; ok {
			return Problem{place, err.Error()}
		}
	}
	return Problem{Place{File: r.file}, err.Error()}
}

// Load reads the file at path into the struct that into points to. Fields whose keys are absent
// keep what they hold, so defaults are filled in before. classes says what becomes of keys that
// no field takes, by full name ("cluster", "authorization.auth_callout").
//
// The error is Problems, every one with its place. into then holds what could be read and is
// good for nothing but a message.
func Load(path string, into any, classes map[string]Class) (*Result, error) {
	reader := &reader{}
	reader.file(path, nil, nil)
	if len(reader.problems) > 0 {
		return nil, Problems(sortProblems(reader.problems))
	}
	root, err := guard(func() (map[string]any, error) { return conf.ParseFileWithChecks(path) })
	return reader.finish(path, root, err, into, classes)
}

// Parse is Load for text that is in memory; name stands for the file in messages. Includes are
// relative to the working directory.
func Parse(name, text string, into any, classes map[string]Class) (*Result, error) {
	reader := &reader{}
	reader.text(name, ".", text, nil)
	if len(reader.problems) > 0 {
		return nil, Problems(sortProblems(reader.problems))
	}
	root, err := guard(func() (map[string]any, error) { return conf.ParseWithChecks(text) })
	return reader.finish(name, root, err, into, classes)
}

// guard turns a panic of the parser into an error: "BUG in parser, keys stack empty" is what some
// broken files get from it.
func guard(parse func() (map[string]any, error)) (root map[string]any, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("the file is not well formed: %v", caught)
		}
	}()
	return parse()
}

// A reader goes through a file and its includes before the parser does.
type reader struct {
	scans    []*scan
	problems []Problem
}

// file scans the file at path. via is the include directive that led here, nil for the first
// file; stack is the files that are open.
func (r *reader) file(path string, via *include, stack []string) {
	fail := func(format string, args ...any) {
		place := Place{File: path}
		if via != nil {
			place = via.place
		}
		r.problems = append(r.problems, Problem{place, fmt.Sprintf(format, args...)})
	}
	mayNot := func() {
		name := path
		if via == nil {
			name = "this file" // the place has its name
		}
		fail("%s may not be read by this user: try sudo, or change its owner or mode", name)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && via != nil && filepath.Base(path) == devicesFile:
		fail("include %q: there is no file %s: add the first device, which writes that file: edgebus device add NAME", cutText(via.target), path)
	case errors.Is(err, fs.ErrNotExist) && via != nil:
		fail("include %q: there is no file %s (a path is relative to the folder of the file that includes it, also one that begins with a slash)", cutText(via.target), path)
	case errors.Is(err, fs.ErrNotExist):
		fail("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		mayNot()
	case err != nil:
		fail("%v", err)
	case info.IsDir():
		fail("%s is a folder, and a file is wanted", path)
	case !info.Mode().IsRegular():
		fail("%s is no regular file: the configuration is read more than once, so write it to a file first", path)
	case info.Size() > maxFileBytes:
		fail("%s has %d bytes, and %d is the most: this is no configuration", path, info.Size(), maxFileBytes)
	case len(r.scans) >= maxFiles:
		fail("more than %d files are included", maxFiles)
	case len(stack) >= maxIncludeDepth:
		fail("includes stand inside one another more than %d deep", maxIncludeDepth)
	case includes(stack, info):
		fail("include %q: the file includes itself, directly or through others", cutText(via.target))
	default:
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			mayNot()
			return
		case err != nil:
			fail("%v", err)
			return
		}
		found := len(r.problems)
		r.text(path, filepath.Dir(path), string(text), append(stack, path))
		if len(stack) == 0 && len(r.problems) == found {
			c := circle{seen: map[string]bool{}}
			if target := c.find(filepath.Dir(path), string(text), []fs.FileInfo{info}); target != "" {
				fail("something here reads like an include of %q, and the file would include itself, directly or through others: if it is none, put a blank and # in front of it", cutText(target))
			}
		}
	}
}

// includes reports whether one of the open files is this one, whatever path led to it.
func includes(stack []string, info fs.FileInfo) bool {
	for _, path := range stack {
		if open, err := os.Stat(path); err == nil && os.SameFile(open, info) {
			return true
		}
	}
	return false
}

// text scans what one file holds, and the files that it includes.
func (r *reader) text(name, folder, text string, stack []string) {
	s, problem := newScan(name, text)
	if problem != nil {
		r.problems = append(r.problems, *problem)
		return
	}
	r.scans = append(r.scans, s)
	s.run()
	r.problems = append(r.problems, s.problems...)
	for _, one := range s.includes {
		r.file(filepath.Join(folder, one.target), &one, stack)
	}
}

// finish decodes what the parser read.
func (r *reader) finish(name string, root map[string]any, err error, into any, classes map[string]Class) (*Result, error) {
	if err != nil {
		return nil, Problems{r.locate(name, err)}
	}
	tree, problem := newTree(name, root)
	if problem != nil {
		return nil, Problems{*problem}
	}
	d := &decoder{classes: classes, places: map[string]Place{}}
	d.block(tree, targetOf(into), "")
	d.hintElsewhere(into)
	for _, s := range r.scans {
		d.warnings = append(d.warnings, s.warnings...)
	}
	if len(d.problems) > 0 {
		return nil, Problems(sortProblems(d.problems)).With(d.warnings)
	}
	digest, err := digestOf(tree)
	if err != nil {
		return nil, Problems{{Place{File: name}, err.Error()}}
	}
	return &Result{Warnings: sortProblems(d.warnings), Digest: digest, file: name, places: d.places}, nil
}

var (
	inInclude = regexp.MustCompile(`^error parsing include file '([^']*)', `)
	onLine    = regexp.MustCompile(`(?s)^Parse error on line (\d+): '(.*)'$`)
	variable  = regexp.MustCompile(`(?s)^variable reference for '([^']*)' on line (\d+) (can not be found|could not be parsed: (.*))$`)
	atEnd     = regexp.MustCompile(`^config is invalid \(.*:(\d+):(\d+)\)$`)
	badNumber = regexp.MustCompile(`^(?:integer|float|expected \w+).*'([^']*)'`)
)

// locate gives a parser's error the place that it only hints at in its text.
func (r *reader) locate(name string, err error) Problem {
	text, file := err.Error(), name
	for {
		match := inInclude.FindStringSubmatch(text)
		if match == nil {
			break
		}
		text = text[len(match[0]):]
		file = filepath.Join(filepath.Dir(file), match[1])
	}
	at := Place{File: file}
	var source *scan
	for _, s := range r.scans {
		if s.file == file {
			source = s
		}
	}
	if match := onLine.FindStringSubmatch(text); match != nil {
		at.Line, _ = strconv.Atoi(match[1])
		// The parser says "got a zero byte" where it means the end of the file. What was left open
		// says more than the end at which that was noticed.
		if source != nil && source.open != nil && (strings.Contains(match[2], "EOF") || strings.Contains(match[2], "\x00")) {
			return *source.open
		}
		if strings.HasSuffix(match[2], "found new line") {
			at.Line-- // counted when the line was over
		}
		return Problem{at, "syntax: " + strings.ToValidUTF8(strings.ReplaceAll(strings.TrimSuffix(match[2], "."), "'\x00'", "the end of the file"), "?")}
	}
	if match := variable.FindStringSubmatch(text); match != nil {
		at.Line, _ = strconv.Atoi(match[2])
		if match[4] != "" {
			return Problem{at, fmt.Sprintf("$%s is taken from the environment, and its value cannot be read: %s", match[1], cutText(match[4]))}
		}
		return Problem{at, fmt.Sprintf("$%[1]s has no value: set %[1]s above this line or in the environment, or put the text in quotes if it is no variable", match[1])}
	}
	if match := atEnd.FindStringSubmatch(text); match != nil {
		at.Line, _ = strconv.Atoi(match[1])
		return Problem{at, "the file ends with a key that has no value"}
	}
	if match := badNumber.FindStringSubmatch(text); match != nil && source != nil {
		if i := strings.Index(source.text, match[1]); i >= 0 && match[1] != "" {
			at = placeOf(file, source.text, i)
		}
	}
	return Problem{at, text}
}
