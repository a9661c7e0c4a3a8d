package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	// comment is what is surely one: nothing behind it on its line can be an include.
	comment = regexp.MustCompile(`(?m)(^|[ \t])(#|//).*$`)
	// likeInclude finds everything that may be an include, wherever it stands.
	likeInclude = regexp.MustCompile(`(?i)include[\p{Z}\s]+(?:"([^"\n]*)|'([^'\n]*)|([^\s;}]+))`)
)

// A circle is looked for apart from what scan finds: the parser has corners in which it takes for an
// include what no reader would, and one that leads back ends the process. So everything counts
// that looks like one.
type circle struct {
	seen  map[string]bool // files from which no way leads back
	files int
}

// find follows what looks like includes of a file that holds text, and returns the one that leads
// to a file that is open, or "".
func (c *circle) find(folder, text string, open []fs.FileInfo) (target string) {
	if !saysInclude(text) {
		return "" // ten thousand users, for one: the expressions below would take longer than all the rest
	}
	for _, match := range likeInclude.FindAllStringSubmatch(comment.ReplaceAllString(text, ""), -1) {
		target := match[1] + match[2] + match[3]
		path := filepath.Join(folder, target)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxFileBytes {
			continue
		}
		for _, o := range open {
			if os.SameFile(o, info) {
				return target
			}
		}
		if c.seen[path] || len(open) > maxIncludeDepth || c.files >= maxFiles {
			continue
		}
		c.files++
		if inner, err := os.ReadFile(path); err == nil {
			if found := c.find(filepath.Dir(path), string(inner), append(open[:len(open):len(open)], info)); found != "" {
				return found
			}
		}
		c.seen[path] = true
	}
	return ""
}

// saysInclude reports whether the word stands anywhere in text, however it is written.
func saysInclude(text string) bool {
	const word = "include"
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
