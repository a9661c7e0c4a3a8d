// Package subject decides what a valid subject is, which subjects match, and finds all
// matches in an index.
//
// A subject is a row of tokens with a dot between them. In a filter the token "*" stands
// for any one token and a last token ">" for one or more; anywhere else the two bytes are
// ordinary, as in "foo*". Bytes are compared as they are: no case, no Unicode.
//
// The package does no I/O, starts no goroutine, takes no lock and imports nothing of ours.
// Functions take strings and byte slices alike and keep neither.
//
// # The index
//
// An Index is a trie of tokens in which every filter has one place: it hangs at the node
// of its last wildcard, and what is left of it, which is literal, is one edge found by
// hash. A filter without wildcards hangs at the root by its whole text, so a literal costs
// one look into a table and no walk, and nodes exist only on the way to wildcards.
//
//	filters                    tree
//
//	a.b.c                      root ─── "a.b.c"
//	a.*.c.d                     └─ a ─── *  ─── "c.d"
//	a.*                                  ├─ own
//	a.*.>                                └─ more
//	*                           └─ *  ─── own
//
// All edges of all nodes share two tables: filters (keyed by node and remaining text) and
// nodes (keyed by node and next token). A table is two arrays, hashes and values, so that
// a look that finds nothing reads only the small one. The hash is seeded at random: nobody
// can choose subjects that collide.
//
// What is kept for a filter is its only entry, nothing around it: the entry knows its own
// text. From the second entry on the filter has a set, found through the entry that stands
// for it (members.go). A literal filter with one entry costs 12 bytes divided by the load
// of the table.
package subject
