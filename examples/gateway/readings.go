package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Reading is one value of this machine. Its name is the end of its subject.
type Reading struct {
	Name  string
	Value float64
	Unit  string // "°C", "bytes", "percent", or "" for a plain number
}

// readAll reads everything this machine shows; root is "/", or a folder like it. What a machine does
// not have is left out. The error names what is there and cannot be read; other readings stand.
func readAll(root fs.FS) ([]Reading, error) {
	var all []Reading
	var problems []error
	for _, read := range []func(fs.FS) ([]Reading, error){temperatures, load, memory, network} {
		some, err := read(root)
		all = append(all, some...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return all, errors.Join(problems...)
}

// temperatures reads the thermal zones: thousandths of a degree in temp, a name in type. Zones may
// share a name, and a sensor that is switched off answers with an error: it is left out.
func temperatures(root fs.FS) ([]Reading, error) {
	zones, err := fs.Glob(root, "sys/class/thermal/thermal_zone*")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(zones, func(a, b string) int { return zoneNumber(a) - zoneNumber(b) })
	var all []Reading
	used := map[string]bool{}
	for _, zone := range zones {
		text, err := fs.ReadFile(root, path.Join(zone, "temp"))
		if err != nil {
			continue
		}
		thousandths, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return all, fmt.Errorf("%s: %q is not a temperature", zone, bytes.TrimSpace(text))
		}
		name := "zone" + strconv.Itoa(zoneNumber(zone))
		if text, err := fs.ReadFile(root, path.Join(zone, "type")); err == nil {
			if kind := token(strings.TrimSpace(string(text))); kind != "" && !used[kind] {
				name = kind
			}
		}
		used[name] = true
		all = append(all, Reading{"temperature." + name, float64(thousandths) / 1000, "°C"})
	}
	return all, nil
}

func zoneNumber(zone string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(path.Base(zone), "thermal_zone"))
	return n
}

// load reads the mean number of runnable tasks over 1, 5 and 15 minutes.
func load(root fs.FS) ([]Reading, error) {
	text, err := fs.ReadFile(root, "proc/loadavg")
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text))
	var all []Reading
	for i, name := range []string{"load.1m", "load.5m", "load.15m"} {
		if i >= len(fields) {
			return all, fmt.Errorf("proc/loadavg: %q has no third field", bytes.TrimSpace(text))
		}
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return all, fmt.Errorf("proc/loadavg: %w", err)
		}
		all = append(all, Reading{name, value, ""})
	}
	return all, nil
}

// memory reads what is there, what programs could still have, and the used share.
func memory(root fs.FS) ([]Reading, error) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return nil, err
	}
	var total, available float64
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		into := map[string]*float64{"MemTotal": &total, "MemAvailable": &available}[name]
		fields := strings.Fields(rest)
		if into == nil || len(fields) == 0 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return nil, fmt.Errorf("proc/meminfo: %s: %w", name, err)
		}
		*into = kib * 1024
	}
	if total == 0 {
		return nil, errors.New("proc/meminfo: no MemTotal")
	}
	return []Reading{
		{"memory.total", total, "bytes"},
		{"memory.available", available, "bytes"},
		{"memory.used", 100 * (total - available) / total, "percent"},
	}, nil
}

// network reads how many bytes each interface has received and sent since the machine started.
// Interfaces that have seen none are left out.
func network(root fs.FS) ([]Reading, error) {
	text, err := fs.ReadFile(root, "proc/net/dev")
	if err != nil {
		return nil, err
	}
	var all []Reading
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		name, counters, ok := strings.Cut(scanner.Text(), ":")
		if !ok {
			continue // the two lines of headings
		}
		name = token(strings.TrimSpace(name))
		fields := strings.Fields(counters)
		if len(fields) < 9 {
			return all, fmt.Errorf("proc/net/dev: %s has %d counters, want 16", name, len(fields))
		}
		received, errReceived := strconv.ParseUint(fields[0], 10, 64)
		sent, errSent := strconv.ParseUint(fields[8], 10, 64)
		if err := errors.Join(errReceived, errSent); err != nil {
			return all, fmt.Errorf("proc/net/dev: %s: %w", name, err)
		}
		if received+sent > 0 {
			all = append(all, Reading{"network." + name + ".received", float64(received), "bytes"},
				Reading{"network." + name + ".sent", float64(sent), "bytes"})
		}
	}
	return all, scanner.Err()
}
