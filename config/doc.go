// Package config reads a nats-server configuration file into tagged structs and points at the
// line that is wrong.
//
// It knows the grammar and nothing else: which keys exist is said by the struct it is given,
// what they mean is said by the package that owns the struct, and what becomes of a key that no
// field takes is said by a table of classes. It imports nothing of ours.
//
// The grammar itself (maps, lists, sizes with suffixes, $variables, the environment, include) is
// read by github.com/nats-io/nats-server/v2/conf, so that a file means here what it means there.
// That parser trusts its file: it follows an include that includes itself until the stack is
// gone, takes a zero byte for the end of the file, keeps the last of two equal keys without a
// word and forgets a list that a cut file leaves open. scan.go looks for these things first.
//
// A target is a pointer to a struct whose fields carry a tag:
//
//	MaxPayload int           `conf:"max_payload,size"`       // 1MB, "1MB", 1048576
//	Host       string        `conf:"host,alias=net"`         // two names of one key
//	Grace      time.Duration `conf:"lame_duck_grace_period"` // "10s"; a bare 10 is seconds and a warning
//	Users      []User        `conf:"users"`                  // a list of blocks
//	Limits                   `conf:",inline"`                // the fields of Limits as if they stood here
//
// Fields without a tag are not read. A field whose type has the method UnmarshalConf(any) error
// gets the plain value: string, int64, float64, bool, []any or map[string]any.
package config
