package auth

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/edgebus-io/edgebus/subject"
)

// MappingsOptions is a "mappings" block, by the subjects that are mapped.
type MappingsOptions map[string]DestinationOptions

// DestinationOptions is what one subject is mapped to.
type DestinationOptions []Destination

// UnmarshalConf takes "subject", {destination, weight, cluster} or a list of such blocks.
func (o *DestinationOptions) UnmarshalConf(v any) error {
	*o = nil
	switch v := v.(type) {
	case string:
		*o = DestinationOptions{{Subject: v, Weight: 100}}
		return nil
	case map[string]any:
		return o.add(v)
	case []any:
		for _, entry := range v {
			block, ok := entry.(map[string]any)
			if !ok {
				return badf("a list has entries like { destination: \"s\", weight: 50%% }")
			}
			if err := o.add(block); err != nil {
				return err
			}
		}
		return nil
	}
	return badf("write a subject, { destination: \"s\", weight: 50%% } or a list of these")
}

func (o *DestinationOptions) add(block map[string]any) error {
	var d Destination
	weighted := false
	for key, value := range block {
		ok := false
		switch strings.ToLower(key) {
		case "dest", "destination":
			d.Subject, ok = value.(string)
		case "weight":
			d.Weight, ok = percentage(value)
			weighted = true
		case "cluster":
			d.Cluster, ok = value.(string)
		default:
			return badf("unknown key %q, use destination, weight and cluster", cut(key))
		}
		if !ok {
			return badf("%s has the wrong kind of value, or is not between 0 and 100", cut(key))
		}
	}
	if !weighted {
		return badf("destination %q has no weight: add one, such as 100%%", cut(d.Subject))
	}
	*o = append(*o, d)
	return nil
}

// percentage takes 50, "50" and "50%".
func percentage(v any) (n int, ok bool) {
	switch v := v.(type) {
	case int64:
		return int(v), v >= 0 && v <= 100
	case string:
		n, err := strconv.Atoi(strings.TrimSuffix(v, "%"))
		return n, err == nil && n >= 0 && n <= 100
	}
	return 0, false
}

// build checks mappings and sorts them by source.
func (o MappingsOptions) build() ([]Mapping, error) {
	var all []Mapping
	for _, source := range slices.Sorted(maps.Keys(o)) {
		m := Mapping{Source: source, Destinations: o[source]}
		if err := m.check(); err != nil {
			return nil, badf("mapping of %q: %w", cut(source), err)
		}
		all = append(all, m)
	}
	return all, nil
}

func (m *Mapping) check() error {
	if !subject.ValidFilter(m.Source) {
		return badf("it is not a valid subject")
	}
	weights := map[string]int{} // by cluster
	seen := map[string]bool{}
	for _, d := range m.Destinations {
		weights[d.Cluster] += d.Weight
		switch {
		case seen[d.Subject]:
			return badf("destination %q is there twice", cut(d.Subject))
		case weights[d.Cluster] > 100:
			return badf("the weights are %d%% together: 100%% is the most", weights[d.Cluster])
		}
		seen[d.Subject] = true
		for _, token := range strings.Split(d.Subject, ".") {
			call := strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}")
			if token == "" || !call && strings.ContainsAny(token, "\t\n\f\r ") {
				return badf("destination %q is not a valid subject", cut(d.Subject))
			}
		}
		if _, err := subject.NewTransform(m.Source, d.Subject); err != nil {
			return badf("destination %q: %w", cut(d.Subject), err)
		}
	}
	return nil
}
