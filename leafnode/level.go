package leafnode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Compression is the block or word of that name.
type Compression struct {
	Mode Mode

	// Thresholds are for ModeAuto: up to which round trip a link is s2_uncompressed, s2_fast,
	// s2_better and s2_best. Zero leaves that level out. Default 10 ms, 50 ms, 100 ms.
	Thresholds []time.Duration
}

// String shows c as it is configured.
func (c Compression) String() string {
	if c.mode() == ModeAuto && len(c.Thresholds) > 0 {
		return fmt.Sprint(c.mode(), " ", c.Thresholds)
	}
	return c.mode().String()
}

// Same reports whether two mean the same.
func (c Compression) Same(other Compression) bool {
	return c.mode() == other.mode() && (c.mode() != ModeAuto || slices.Equal(c.thresholds(), other.thresholds()))
}

func (c Compression) mode() Mode { return cmp.Or(c.Mode, ModeAuto) }

func (c Compression) thresholds() []time.Duration {
	if len(c.Thresholds) == 0 {
		return defaultThresholds
	}
	return c.Thresholds
}

// maxThresholds is one for each level.
const maxThresholds = 4

var defaultThresholds = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}

// UnmarshalConf takes a word, true, false or {mode, rtt_thresholds}.
func (c *Compression) UnmarshalConf(value any) error {
	var made Compression
	var err error
	switch value := value.(type) {
	case bool:
		made.Mode, err = parseMode(fmt.Sprint(value))
	case string:
		made.Mode, err = parseMode(value)
	case map[string]any:
		err = made.unmarshalBlock(value)
	default:
		err = fmt.Errorf("compression: %w", errBadMode)
	}
	if err == nil {
		*c = made
	}
	return err
}

func (c *Compression) unmarshalBlock(block map[string]any) (err error) {
	for key, value := range block {
		switch strings.ToLower(key) {
		case "mode":
			word, ok := value.(string)
			if truth, isBool := value.(bool); isBool {
				word, ok = fmt.Sprint(truth), true
			}
			if !ok {
				return fmt.Errorf("compression mode: %w", errBadMode)
			}
			if c.Mode, err = parseMode(word); err != nil {
				return err
			}
		case "rtt_thresholds", "thresholds", "rtts", "rtt":
			if c.Thresholds, err = parseThresholds(value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("compression: unknown key %q, use mode and rtt_thresholds", cut(key))
		}
	}
	return nil
}

func parseThresholds(value any) (list []time.Duration, err error) {
	entries, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("rtt_thresholds: %w", errBadThreshold)
	}
	longest := time.Duration(0)
	for _, entry := range entries {
		word, _ := entry.(string)
		d, err := time.ParseDuration(word)
		if n, isNumber := entry.(int64); isNumber && n == 0 {
			d, err = 0, nil // zero is the same in any unit
		}
		d = max(d, 0) // what is negative means zero for nats-server
		if err != nil || d != 0 && d < longest {
			return nil, fmt.Errorf("rtt_thresholds: %q: %w", cut(fmt.Sprint(entry)), errBadThreshold)
		}
		longest = max(longest, d)
		list = append(list, d)
	}
	for len(list) > 0 && list[len(list)-1] == 0 {
		list = list[:len(list)-1]
	}
	if len(list) == 0 || len(list) > maxThresholds {
		return nil, fmt.Errorf("rtt_thresholds: %w", errBadThreshold)
	}
	return slices.Clip(list), nil
}

const (
	// levelMargin is by how much of a threshold a round trip must be beyond it to change the level.
	levelMargin = 5 // a fifth
	// levelPatience is how many round trips in a row have to say so.
	levelPatience = 3
	// levelWeight is the part that a new round trip has in the smoothed one.
	levelWeight = 4 // a quarter
)

// A level is the mode that a link is in. With s2_auto it follows the round trip, slowly: where that
// lies at a threshold nothing changes back and forth.
type level struct {
	mode       Mode
	thresholds []time.Duration // nil: the mode never changes
	smoothed   time.Duration
	beyond     int // how often in a row it was beyond a threshold, negative below one
}

// newLevel starts with the round trip of the handshake. mode is what agree said.
func newLevel(c Compression, mode Mode, first time.Duration) level {
	if mode != ModeAuto && mode != ModeUnset {
		return level{mode: mode}
	}
	l := level{thresholds: c.thresholds(), smoothed: first}
	l.mode = modeFor(first, l.thresholds)
	return l
}

// observe takes one more round trip of a line that was not crowded by us.
func (l *level) observe(rtt time.Duration) (m Mode, changed bool) {
	if l.thresholds == nil {
		return l.mode, false
	}
	l.smoothed += (rtt - l.smoothed) / levelWeight
	// One that is far off moves the smoothed one for long; but those after it do not agree.
	least, most := min(rtt, l.smoothed), max(rtt, l.smoothed)
	up := modeFor(least-least/(levelMargin+1), l.thresholds)
	down := modeFor(most+most/(levelMargin-1), l.thresholds)
	switch {
	case up > l.mode:
		l.beyond = max(l.beyond, 0) + 1
	case down < l.mode:
		l.beyond = min(l.beyond, 0) - 1
	default:
		l.beyond = 0
	}
	switch {
	case l.beyond >= levelPatience:
		l.mode = up
	case l.beyond <= -levelPatience:
		l.mode = down
	default:
		return l.mode, false
	}
	l.beyond = 0
	return l.mode, true
}

// modeFor is nats-server's choice: the first level whose threshold is not exceeded, and beyond all of
// them the next one if there is any, but with less than three the last that has one.
func modeFor(rtt time.Duration, thresholds []time.Duration) Mode {
	index := slices.IndexFunc(thresholds, func(most time.Duration) bool { return rtt <= most })
	if index < 0 {
		index = len(thresholds) - 1
		if len(thresholds) >= maxThresholds-1 {
			index = maxThresholds - 1
		}
	}
	return ModeUncompressed + Mode(index)
}
