package main

import (
	"crypto/rand"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// expand replaces the templates that the nats tool knows: {{.Count}}, {{.TimeStamp}} and so
// on, with and without the dot. Anything else between braces stays as it is: a body may be
// somebody else's template. It is not text/template, which would make the program larger by
// a tenth.
func expand(text string, count int, request string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		inside, after, closed := strings.Cut(rest, "}}")
		if !closed {
			b.WriteString("{{" + rest)
			return b.String()
		}
		if value, ok := templateValue(inside, count, request); ok {
			b.WriteString(value)
		} else {
			b.WriteString("{{" + inside + "}}")
		}
		text = after
	}
}

func templateValue(inside string, count int, request string) (value string, ok bool) {
	words := strings.Fields(inside)
	if len(words) == 0 {
		return "", false
	}
	now := time.Now()
	name := strings.TrimPrefix(words[0], ".")
	if name == "Random" {
		return randomText(words[1:])
	}
	if len(words) > 1 {
		return "", false
	}
	switch name {
	case "Count", "Cnt":
		return strconv.Itoa(count), true
	case "TimeStamp":
		return now.Format(time.RFC3339), true
	case "Time":
		return now.Format(time.Kitchen), true
	case "Unix":
		return strconv.FormatInt(now.Unix(), 10), true
	case "UnixNano":
		return strconv.FormatInt(now.UnixNano(), 10), true
	case "ID":
		return rand.Text(), true
	case "Request":
		return request, true
	}
	return "", false
}

// randomText is {{Random MIN MAX}}: letters and digits, between MIN and MAX of them.
func randomText(words []string) (string, bool) {
	const longest = 1 << 20
	if len(words) != 2 {
		return "", false
	}
	low, err1 := strconv.Atoi(words[0])
	high, err2 := strconv.Atoi(words[1])
	if err1 != nil || err2 != nil || low < 0 || high < low || high > longest {
		return "", false
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(high-low+1)))
	if err != nil {
		return "", false
	}
	var b strings.Builder
	for want := low + int(n.Int64()); b.Len() < want; {
		b.WriteString(rand.Text()[:min(26, want-b.Len())])
	}
	return b.String(), true
}
