package leafnode

import (
	"errors"
	"testing"
	"time"
)

// The table of the protocol.
func TestBothSidesAgree(t *testing.T) {
	for _, c := range []struct {
		own  Mode
		peer string
		want Mode
	}{
		{ModeOff, "", ModeNotSupported},
		{ModeOff, "not supported", ModeNotSupported},
		{ModeOff, "off", ModeOff},
		{ModeOff, "accept", ModeOff},
		{ModeOff, "s2_auto", ModeOff},
		{ModeOff, "zstd", ModeOff},
		{ModeAccept, "", ModeNotSupported},
		{ModeAccept, "not supported", ModeNotSupported},
		{ModeAccept, "off", ModeOff},
		{ModeAccept, "accept", ModeOff},
		{ModeAccept, "s2_auto", ModeFast},
		{ModeAccept, "s2_uncompressed", ModeUncompressed},
		{ModeAccept, "s2_better", ModeBetter},
		{ModeAuto, "", ModeNotSupported},
		{ModeAuto, "not supported", ModeNotSupported},
		{ModeAuto, "off", ModeOff},
		{ModeAuto, "accept", ModeAuto},
		{ModeAuto, "s2_best", ModeAuto},
		{ModeUnset, "s2_fast", ModeAuto},
		{ModeBetter, "accept", ModeBetter},
		{ModeBetter, "s2_auto", ModeBetter},
		{ModeNotSupported, "s2_auto", ModeNotSupported},
	} {
		if got, err := agree(c.own, c.peer); got != c.want || err != nil {
			t.Errorf("%v with %q: %v, %v, want %v", c.own, c.peer, got, err, c.want)
		}
	}
	_, err := agree(ModeAuto, "zstd")
	if !errors.Is(err, errUnsupportedMode) || err.Error() != `unsupported route compression mode "zstd"` {
		t.Errorf("an unknown mode: %v", err)
	}
}

func TestModesAreConfiguredAsForNatsServer(t *testing.T) {
	for word, want := range map[string]Mode{
		"off": ModeOff, "disabled": ModeOff, "false": ModeOff, "on": ModeAuto, "enabled": ModeAuto, "True": ModeAuto,
		"auto": ModeAuto, "S2_AUTO": ModeAuto, "accept": ModeAccept, "fast": ModeFast, "s2_fast": ModeFast,
		"better": ModeBetter, "s2_better": ModeBetter, "best": ModeBest, "s2_best": ModeBest,
		"not_supported": ModeNotSupported, "not supported": ModeNotSupported,
	} {
		if got, err := parseMode(word); got != want || err != nil {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "s2", "s2_uncompressed", "gzip"} {
		if got, err := parseMode(word); !errors.Is(err, errBadMode) {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
}

func TestCompressionIsAWordABoolOrABlock(t *testing.T) {
	ms := func(list ...int) (d []time.Duration) {
		for _, n := range list {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, c := range []struct {
		name  string
		value any
		mode  Mode
		rtts  []time.Duration
		err   error
	}{
		{"a word", "s2_best", ModeBest, nil, nil},
		{"true", true, ModeAuto, nil, nil},
		{"false", false, ModeOff, nil, nil},
		{"a block", map[string]any{"mode": "fast"}, ModeFast, nil, nil},
		{"a bool in a block", map[string]any{"mode": true}, ModeAuto, nil, nil},
		{"thresholds", map[string]any{"Mode": "auto", "RTT_thresholds": []any{"5ms", "10ms"}}, ModeAuto, ms(5, 10), nil},
		{"levels left out", map[string]any{"rtts": []any{"0s", int64(0), "20ms", "30ms"}}, ModeUnset, ms(0, 0, 20, 30), nil},
		{"zeros at the end", map[string]any{"rtt": []any{"20ms", "0s"}}, ModeUnset, ms(20), nil},
		{"negative", map[string]any{"thresholds": []any{"-1s", "20ms"}}, ModeUnset, ms(0, 20), nil},
		{"equal", map[string]any{"thresholds": []any{"20ms", "20ms"}}, ModeUnset, ms(20, 20), nil},
		{"falling", map[string]any{"rtts": []any{"20ms", "0s", "10ms"}}, 0, nil, errBadThreshold},
		{"too many", map[string]any{"rtts": []any{"1ms", "2ms", "3ms", "4ms", "5ms"}}, 0, nil, errBadThreshold},
		{"only zeros", map[string]any{"rtts": []any{"0s"}}, 0, nil, errBadThreshold},
		{"none", map[string]any{"rtts": []any{}}, 0, nil, errBadThreshold},
		{"no unit", map[string]any{"rtts": []any{int64(5)}}, 0, nil, errBadThreshold},
		{"no list", map[string]any{"rtts": "5ms"}, 0, nil, errBadThreshold},
		{"a number", int64(1), 0, nil, errBadMode},
		{"a number for a mode", map[string]any{"mode": int64(1)}, 0, nil, errBadMode},
	} {
		got := Compression{Mode: ModeBetter}
		err := got.UnmarshalConf(c.value)
		if c.err != nil {
			if !errors.Is(err, c.err) || got.Mode != ModeBetter {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
			continue
		}
		if err != nil || got.Mode != c.mode || len(got.Thresholds) != len(c.rtts) {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		for i, d := range c.rtts {
			if got.Thresholds[i] != d {
				t.Errorf("%s: %v", c.name, got)
			}
		}
	}
	var c Compression
	if err := c.UnmarshalConf(map[string]any{"level": "best"}); err == nil {
		t.Error("an unknown key was taken")
	}
}

// The examples are those of nats-server's selectS2AutoModeBasedOnRTT.
func TestTheFirstLevelIsThatOfTheHandshake(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		thresholds []time.Duration
		rtt        time.Duration
		want       Mode
	}{
		{nil, 0, ModeUncompressed},
		{nil, 10 * ms, ModeUncompressed},
		{nil, 11 * ms, ModeFast},
		{nil, 51 * ms, ModeBetter},
		{nil, 101 * ms, ModeBest},
		{[]time.Duration{0, 0, 20 * ms, 30 * ms}, 1, ModeBetter},
		{[]time.Duration{0, 0, 20 * ms, 30 * ms}, 21 * ms, ModeBest},
		{[]time.Duration{0, 0, 20 * ms}, 50 * ms, ModeBest},
		{[]time.Duration{5 * ms, 10 * ms}, 50 * ms, ModeFast},
		{[]time.Duration{5 * ms}, 50 * ms, ModeUncompressed},
	} {
		for _, mode := range []Mode{ModeAuto, ModeUnset} {
			if l := newLevel(Compression{Thresholds: c.thresholds}, mode, c.rtt); l.mode != c.want {
				t.Errorf("%v with %v: %v, want %v", c.rtt, c.thresholds, l.mode, c.want)
			}
		}
	}
}

func TestTheLevelFollowsTheLineAndNothingElse(t *testing.T) {
	ms := time.Millisecond
	fixed := newLevel(Compression{}, ModeFast, ms)
	for range 20 {
		if m, changed := fixed.observe(time.Second); changed || m != ModeFast {
			t.Fatalf("what was agreed on became %v", m)
		}
	}
	// At a threshold, and with noise about it, nothing changes.
	l := newLevel(Compression{}, ModeAuto, 45*ms)
	for i := range 1000 {
		rtt := 50*ms + time.Duration(i%5-2)*4*ms
		if m, changed := l.observe(rtt); changed {
			t.Fatalf("%v after %d round trips about the threshold", m, i)
		}
	}
	// A single long one changes nothing.
	if _, changed := l.observe(150 * ms); changed {
		t.Fatal("one long round trip changed the level")
	}
	for range 10 {
		l.observe(48 * ms)
	}
	if l.mode != ModeFast {
		t.Fatalf("one long round trip led to %v", l.mode)
	}
	// A line that has become longer, or shorter, is followed soon, and once.
	follow := func(rtt time.Duration, want Mode, most int) {
		t.Helper()
		changes, when := 0, 0
		for i := range 200 {
			if _, changed := l.observe(rtt); changed {
				changes, when = changes+1, i
			}
		}
		if l.mode != want || changes > 3 || when >= most {
			t.Fatalf("%v: %v after %d changes, the last at %d", rtt, l.mode, changes, when)
		}
	}
	follow(600*ms, ModeBest, 20)
	follow(ms, ModeUncompressed, 30)
	follow(70*ms, ModeBetter, 30)
}
