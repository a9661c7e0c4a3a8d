package auth

import "slices"

// A verdict is what a set of rules says of one subject.
type verdict uint8

const (
	allowed verdict = 1 << iota
	denied
)

// A ruleTree finds what rules say of a subject in one walk over its tokens, however many rules
// there are. It is a trie of tokens, read-only once made. Each token is hashed once, and finds its
// edges by that: whoever publishes to many subjects asks for nearly every message.
type ruleTree struct {
	root ruleNode
}

// A ruleNode stands for the beginning of filters.
type ruleNode struct {
	edges []ruleEdge // literal tokens: a hash table with half of its places free
	count int        // of edges
	star  *ruleNode  // behind "*"
	own   verdict    // of filters that end here
	more  verdict    // of filters that go on with ">"
}

type ruleEdge struct {
	hash  uint32
	token string
	node  *ruleNode // nil: the place is free
}

// A ruleToken is one token of a subject.
type ruleToken struct {
	hash     uint32
	from, to int32
}

// usualTokens is up to how many tokens of a subject need no allocation.
const usualTokens = 16

// FNV-1a. Only who writes the rules could choose tokens that collide.
const (
	hashStart = 2166136261
	hashPrime = 16777619
)

// add adds a filter, which is valid.
func (t *ruleTree) add(filter string, v verdict) {
	n := &t.root
	tokens, _ := cutTokens(filter, nil)
	for i, at := range tokens {
		token := filter[at.from:at.to]
		switch {
		case token == ">" && i == len(tokens)-1:
			n.more |= v
			return
		case token == "*":
			if n.star == nil {
				n.star = &ruleNode{}
			}
			n = n.star
		default:
			n = n.grow(at.hash, token)
		}
	}
	n.own |= v
}

// grow returns the node that a token leads to, which may be new.
func (n *ruleNode) grow(hash uint32, token string) *ruleNode {
	if kid := n.kid(hash, []byte(token)); kid != nil {
		return kid
	}
	if 2*n.count >= len(n.edges) {
		before := n.edges
		n.edges = make([]ruleEdge, max(2, 2*len(before)))
		for _, e := range before {
			if e.node != nil {
				n.put(e)
			}
		}
	}
	kid := &ruleNode{}
	n.put(ruleEdge{hash, token, kid})
	n.count++
	return kid
}

func (n *ruleNode) put(e ruleEdge) {
	i := int(e.hash) & (len(n.edges) - 1)
	for n.edges[i].node != nil {
		i = (i + 1) & (len(n.edges) - 1)
	}
	n.edges[i] = e
}

func (n *ruleNode) kid(hash uint32, token []byte) *ruleNode {
	if len(n.edges) == 0 {
		return nil
	}
	for i := int(hash); ; i++ {
		e := &n.edges[i&(len(n.edges)-1)]
		if e.node == nil || e.hash == hash && e.token == string(token) {
			return e.node
		}
	}
}

// clone is a copy that may be added to.
func (n *ruleNode) clone() *ruleNode {
	if n == nil {
		return nil
	}
	made := *n
	made.star = n.star.clone()
	made.edges = slices.Clone(n.edges)
	for i := range made.edges {
		made.edges[i].node = made.edges[i].node.clone()
	}
	return &made
}

// match gathers what the filters that match a subject say. No filter matches one with an empty
// token, of which subject.Valid would say no.
func (t *ruleTree) match(literal []byte) verdict {
	var room [usualTokens]ruleToken
	tokens, ok := cutTokens(literal, room[:0])
	if !ok {
		return 0
	}
	return t.root.match(literal, tokens)
}

// match goes on with the tokens that are left, one at least. It stops as soon as a filter denies,
// since that decides.
func (n *ruleNode) match(literal []byte, tokens []ruleToken) (v verdict) {
	for {
		if v |= n.more; v&denied != 0 {
			return v
		}
		kid := n.kid(tokens[0].hash, literal[tokens[0].from:tokens[0].to])
		if tokens = tokens[1:]; len(tokens) == 0 {
			if n.star != nil {
				v |= n.star.own
			}
			if kid != nil {
				v |= kid.own
			}
			return v
		}
		switch {
		case n.star == nil && kid == nil:
			return v
		case n.star == nil:
			n = kid
		case kid == nil:
			n = n.star
		default:
			if v |= n.star.match(literal, tokens); v&denied != 0 {
				return v
			}
			n = kid
		}
	}
}

// cutTokens appends the tokens of s. ok is false if one is empty.
func cutTokens[T string | []byte](s T, tokens []ruleToken) (all []ruleToken, ok bool) {
	hash, from := uint32(hashStart), 0
	for i := 0; i < len(s); i++ {
		if s[i] != '.' {
			hash = (hash ^ uint32(s[i])) * hashPrime
			continue
		}
		if i == from {
			return tokens, false
		}
		tokens = append(tokens, ruleToken{hash, int32(from), int32(i)})
		hash, from = hashStart, i+1
	}
	return append(tokens, ruleToken{hash, int32(from), int32(len(s))}), from < len(s)
}
