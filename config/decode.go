package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// An Unmarshaler is a type with its own idea of its value.
type Unmarshaler interface{ UnmarshalConf(value any) error }

// A target is a struct as its tags describe it.
type target struct {
	value  reflect.Value
	fields map[string]field // by every name
}

// A field is one tagged field of a target.
type field struct {
	name  string // the first name, by which places and classes know it
	index []int
	size  bool // text like "64MB" is a number here
}

var durationType = reflect.TypeFor[time.Duration]()

// targetOf panics if into is no pointer to a struct or has a tag that cannot be read: that is a
// mistake of ours.
func targetOf(into any) target {
	value := reflect.ValueOf(into)
	if value.Kind() != reflect.Pointer || value.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: %T is no pointer to a struct", into))
	}
	return target{value.Elem(), fieldsOf(value.Elem().Type(), nil)}
}

func fieldsOf(t reflect.Type, prefix []int) map[string]field {
	fields := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("conf")
		if !ok || tag == "-" || !f.IsExported() {
			continue
		}
		parts := strings.Split(tag, ",")
		one := field{name: parts[0], index: append(slices.Clone(prefix), i)}
		names := parts[:1]
		for _, part := range parts[1:] {
			switch {
			case part == "inline":
				for name, inner := range fieldsOf(f.Type, one.index) {
					addField(fields, t, name, inner)
				}
				names = nil
			case part == "size":
				one.size = true
			case strings.HasPrefix(part, "alias="):
				names = append(names, strings.TrimPrefix(part, "alias="))
			default:
				panic(fmt.Sprintf("config: %s.%s: unknown part %q of a conf tag", t, f.Name, part))
			}
		}
		for _, name := range names {
			addField(fields, t, name, one)
		}
	}
	return fields
}

func addField(fields map[string]field, t reflect.Type, name string, f field) {
	if _, taken := fields[name]; taken || name == "" {
		panic(fmt.Sprintf("config: %s: key %q is tagged twice or empty", t, name))
	}
	fields[name] = f
}

// A decoder fills a target and gathers what is to be said about it.
type decoder struct {
	classes  map[string]Class
	types    map[reflect.Type]map[string]field // what fieldsOf has found: of a list of users, once
	problems []Problem
	warnings []Problem
	places   map[string]Place
	unknown  []unknownKey
}

// An unknownKey waits for a hint at the block that would have taken it.
type unknownKey struct {
	problem int // its place in problems
	name    string
	path    string
}

func (d *decoder) fail(at Place, format string, args ...any) {
	d.problems = append(d.problems, Problem{at, fmt.Sprintf(format, args...)})
}

func (d *decoder) warn(at Place, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{at, fmt.Sprintf(format, args...)})
}

// fieldsOf is fieldsOf for a whole type, read once.
func (d *decoder) fieldsOf(t reflect.Type) map[string]field {
	fields, known := d.types[t]
	if !known {
		if d.types == nil {
			d.types = make(map[reflect.Type]map[string]field)
		}
		fields = fieldsOf(t, nil)
		d.types[t] = fields
	}
	return fields
}

// block fills a struct from a block whose full name is path.
func (d *decoder) block(n *node, t target, path string) {
	taken := map[string]member{}
	for _, m := range n.block {
		name := strings.ToLower(m.key)
		f, known := t.fields[name]
		if !known {
			d.untaken(m, t, path, name)
			continue
		}
		if before, twice := taken[f.name]; twice {
			d.fail(m.place, "%q is given twice (as %q in line %d): remove one", cutText(m.key), cutText(before.key), before.place.Line)
			continue
		}
		taken[f.name] = m
		full := join(path, f.name)
		d.places[full] = m.place
		if class, ok := d.classes[full]; ok && d.classed(m, class) {
			continue
		}
		d.set(m.node, t.value.FieldByIndex(f.index), f, full)
	}
}

// untaken deals with a key that no field takes.
func (d *decoder) untaken(m member, t target, path, name string) {
	full := join(path, name)
	d.places[full] = m.place
	if class, ok := d.classes[full]; ok {
		d.classed(m, class)
		return
	}
	if m.variable {
		return // it only defines what $name means
	}
	text := fmt.Sprintf("unknown field %q", cutText(m.key))
	if near := Nearest(name, d.known(t, path)); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	} else {
		d.unknown = append(d.unknown, unknownKey{len(d.problems), name, path})
	}
	d.problems = append(d.problems, Problem{m.place, text})
}

// classed says what a class has to say, and reports whether the value asked for anything.
func (d *decoder) classed(m member, class Class) bool {
	if class.Off != nil && class.Off(m.value()) {
		return false
	}
	if class.Kind == Refused {
		d.fail(m.place, "%q is refused: %s", cutText(m.key), class.Text)
	} else {
		d.warn(m.place, "%q has no effect here: %s", cutText(m.key), class.Text)
	}
	return true
}

// known lists every name that a block of this path may have.
func (d *decoder) known(t target, path string) []string {
	var names []string
	for name := range t.fields {
		names = append(names, name)
	}
	for full := range d.classes {
		if rest, ok := strings.CutPrefix(full, join(path, "")); ok && rest != "" && !strings.Contains(rest, ".") {
			names = append(names, rest)
		}
	}
	return names
}

// hintElsewhere tells of unknown keys which block they belong in, if there is one.
func (d *decoder) hintElsewhere(into any) {
	all := Keys(into)
	for _, u := range d.unknown {
		for _, key := range all {
			i := strings.LastIndexByte(key, '.')
			if key[i+1:] != u.name || key == join(u.path, u.name) {
				continue
			}
			where := "at the top of the file, outside of all blocks"
			if i >= 0 {
				where = fmt.Sprintf("in the block %q", key[:i])
			}
			d.problems[u.problem].Text += ": it belongs " + where
			break
		}
	}
}

// set stores one value in one field.
func (d *decoder) set(n *node, v reflect.Value, f field, path string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.set(n, v.Elem(), f, path)
		return
	}
	if own, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := own.UnmarshalConf(n.value()); err != nil {
			d.fail(n.place, "%s: %v", path, err)
		}
		return
	}
	if v.Type() == durationType {
		d.setDuration(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.String:
		if text, ok := n.plain.(string); ok {
			v.SetString(text)
		} else {
			d.mismatch(n, path, "text", "put it in quotes")
		}
	case reflect.Bool:
		if is, ok := n.plain.(bool); ok {
			v.SetBool(is)
		} else {
			d.mismatch(n, path, "true or false", "write one of them, without quotes")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.setInteger(n, v, f, path)
	case reflect.Float32, reflect.Float64:
		switch number := n.plain.(type) {
		case float64:
			v.SetFloat(number)
		case int64:
			v.SetFloat(float64(number))
		default:
			d.mismatch(n, path, "a number", "write digits, without quotes")
		}
	case reflect.Slice:
		d.setSlice(n, v, f, path)
	case reflect.Struct:
		if n.kind != blockNode {
			d.mismatch(n, path, "a block", "write it in braces: { key: value }")
			return
		}
		d.block(n, target{v, d.fieldsOf(v.Type())}, path)
	case reflect.Map:
		d.setMap(n, v, f, path)
	default:
		panic(fmt.Sprintf("config: %s: a field cannot be a %s", path, v.Type()))
	}
}

func (d *decoder) setDuration(n *node, v reflect.Value, path string) {
	const remedy = `write a number and a unit in quotes, such as "30s" or "2m"`
	switch value := n.plain.(type) {
	case string:
		wait, err := time.ParseDuration(value)
		if err != nil {
			d.mismatch(n, path, "a duration", remedy)
			return
		}
		v.SetInt(int64(wait))
	case int64:
		if value > math.MaxInt64/int64(time.Second) || value < math.MinInt64/int64(time.Second) {
			d.mismatch(n, path, "a duration", remedy)
			return
		}
		v.SetInt(value * int64(time.Second))
		// Keys that are just called "timeout" have always been numbers of seconds.
		if strings.HasSuffix("."+path, ".timeout") {
			return
		}
		d.warn(n.place, "%s: a bare number is read as seconds: write \"%ds\"", path, value)
	case float64:
		if !strings.HasSuffix("."+path, ".timeout") || math.Abs(value) > math.MaxInt64/float64(time.Second)/2 {
			d.mismatch(n, path, "a duration", remedy)
			return
		}
		v.SetInt(int64(value * float64(time.Second)))
	default:
		d.mismatch(n, path, "a duration", remedy)
	}
}

func (d *decoder) setInteger(n *node, v reflect.Value, f field, path string) {
	number, ok := n.plain.(int64)
	if text, isText := n.plain.(string); isText && f.size {
		digits := strings.TrimLeft(text, "0123456789")
		number, ok = sizeOf(text[:len(text)-len(digits)], strings.ToLower(strings.TrimSpace(digits)))
	}
	switch {
	case !ok && f.size:
		d.mismatch(n, path, "a size", "write a number and k, kb, m, mb, g or gb, such as 64MB")
	case !ok:
		d.mismatch(n, path, "a whole number", "write digits, without quotes")
	case v.CanInt() && v.OverflowInt(number), v.CanUint() && (number < 0 || v.OverflowUint(uint64(number))):
		d.fail(n.place, "%s: %d is out of range", path, number)
	case v.CanUint():
		v.SetUint(uint64(number))
	default:
		v.SetInt(number)
	}
}

// setSlice replaces what the field held. One plain value stands for a list of one.
func (d *decoder) setSlice(n *node, v reflect.Value, f field, path string) {
	items := n.list
	switch {
	case n.kind == blockNode:
		d.mismatch(n, path, "a list", "write it in brackets: [ one, two ]")
		return
	case n.kind == plainNode && v.Type().Elem().Kind() == reflect.Struct:
		d.mismatch(n, path, "a list of blocks", "write it in brackets: [ { key: value } ]")
		return
	case n.kind == plainNode:
		items = []*node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.set(item, v.Index(i), f, path)
	}
}

func (d *decoder) setMap(n *node, v reflect.Value, f field, path string) {
	ofBlocks := v.Type().Elem().Kind() == reflect.Struct
	if n.kind == listNode && ofBlocks {
		d.setNames(n, v, path)
		return
	}
	if n.kind != blockNode || v.Type().Key().Kind() != reflect.String {
		d.mismatch(n, path, "a block", "write it in braces: { name: value }")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.block)))
	for _, m := range n.block {
		if ofBlocks && m.variable && m.kind != blockNode {
			continue // a variable among the blocks that use it
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.set(m.node, item, f, path)
		v.SetMapIndex(reflect.ValueOf(m.key).Convert(v.Type().Key()), item)
	}
}

// setNames takes a list of names for a map of blocks, each of them empty.
func (d *decoder) setNames(n *node, v reflect.Value, path string) {
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.list)))
	for _, item := range n.list {
		name, ok := item.plain.(string)
		if !ok {
			d.mismatch(item, path, "a name", "write a list of names, or a block for each of them in braces")
			return
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	}
}

// mismatch reports a value of the wrong type. What it holds is shown unless it may be a secret.
func (d *decoder) mismatch(n *node, path, want, remedy string) {
	got := "a block"
	switch value := n.plain.(type) {
	case nil:
		if n.kind == listNode {
			got = "a list"
		}
	case string:
		got = fmt.Sprintf("the text %q", cutText(value))
	case bool:
		got = fmt.Sprintf("%t", value)
	default:
		got = fmt.Sprintf("the number %v", value)
	}
	if n.plain != nil && secret(path) {
		got = "something else"
	}
	d.fail(n.place, "%s: wants %s and got %s: %s", path, want, got, remedy)
}

// secret reports whether a key's value must not turn up in a message or a log.
func secret(path string) bool {
	for _, word := range []string{"pass", "token", "secret", "nkey", "seed", "cred"} {
		if strings.Contains(path, word) {
			return true
		}
	}
	return false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Keys lists the full names of all keys that a target takes, aliases too, sorted. Keys of blocks
// in lists and maps have the path of the list.
func Keys(into any) []string {
	keys := keysOf(targetOf(into).value.Type(), "")
	slices.Sort(keys)
	return keys
}

func keysOf(t reflect.Type, path string) (keys []string) {
	for name, f := range fieldsOf(t, nil) {
		keys = append(keys, join(path, name))
		inner := t.FieldByIndex(f.index).Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && !reflect.PointerTo(inner).Implements(reflect.TypeFor[Unmarshaler]()) {
			keys = append(keys, keysOf(inner, join(path, f.name))...)
		}
	}
	return keys
}
