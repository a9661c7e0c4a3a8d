package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// maxDepth bounds blocks inside blocks. The deepest known key is six deep.
	maxDepth = 64
	// maxNodes bounds the values of a configuration. Variables may stand for whole blocks, and
	// twenty lines that each refer twice to the one before would make a million of them.
	maxNodes = 1 << 20
)

// A node is one value with its place: a plain value, a list or a block.
type node struct {
	place    Place
	plain    any // string, int64, float64, bool; nil in lists and blocks
	list     []*node
	block    []member // in the order of the file
	kind     nodeKind
	variable bool // something refers to it by $name, so that its key need not be known
}

type nodeKind uint8

const (
	plainNode nodeKind = iota
	listNode
	blockNode
)

// A member is one key of a block, as written.
type member struct {
	key string
	*node
}

// token is what the parser wraps a value in when it is asked for positions.
type token interface {
	Value() any
	Line() int
	Position() int
	IsUsedVariable() bool
	SourceFile() string
}

// A builder makes nodes and counts them.
type builder struct {
	file  string
	nodes int
}

func newTree(file string, root map[string]any) (*node, *Problem) {
	b := &builder{file: file}
	return b.build(root, Place{File: file}, 0)
}

// build turns a value of the parser's into a node. Values out of the environment have no token
// and stand where the variable does.
func (b *builder) build(value any, place Place, depth int) (*node, *Problem) {
	n := &node{place: place}
	if t, ok := value.(token); ok {
		n.place = Place{File: cmp.Or(t.SourceFile(), b.file), Line: t.Line(), Column: t.Position()}
		if n.place.Line == 1 {
			n.place.Column++ // the parser counts from 0 in the first line and from 1 in all others
		}
		n.variable = t.IsUsedVariable()
		value = t.Value()
	}
	if b.nodes++; b.nodes > maxNodes {
		return nil, &Problem{n.place, fmt.Sprintf("more than %d values, counting what variables stand for", maxNodes)}
	}
	if depth > maxDepth {
		return nil, &Problem{n.place, fmt.Sprintf("blocks stand inside one another more than %d deep", maxDepth)}
	}
	switch v := value.(type) {
	case map[string]any:
		n.kind = blockNode
		for key, inner := range v {
			child, problem := b.build(inner, n.place, depth+1)
			if problem != nil {
				return nil, problem
			}
			n.block = append(n.block, member{key, child})
		}
		slices.SortFunc(n.block, func(x, y member) int {
			return cmp.Or(cmp.Compare(x.place.File, y.place.File), cmp.Compare(x.place.Line, y.place.Line),
				cmp.Compare(x.place.Column, y.place.Column), cmp.Compare(x.key, y.key))
		})
	case []any:
		n.kind = listNode
		for _, inner := range v {
			child, problem := b.build(inner, n.place, depth+1)
			if problem != nil {
				return nil, problem
			}
			n.list = append(n.list, child)
		}
	case time.Time:
		n.plain = v.Format(time.RFC3339) // no key of ours is a date: it was meant as text
	default:
		n.plain = v
	}
	return n, nil
}

// value is the node without places, as UnmarshalConf gets it.
func (n *node) value() any {
	switch n.kind {
	case blockNode:
		block := make(map[string]any, len(n.block))
		for _, m := range n.block {
			block[m.key] = m.value()
		}
		return block
	case listNode:
		list := make([]any, len(n.list))
		for i, one := range n.list {
			list[i] = one.value()
		}
		return list
	}
	return n.plain
}

// digestOf hashes the values of a configuration as nats-server does, so that the two can be
// compared.
func digestOf(n *node) (string, error) {
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode(n.value()); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", hash.Sum(nil)), nil
}
