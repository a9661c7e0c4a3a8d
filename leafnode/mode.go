package leafnode

import (
	"fmt"
	"strings"
)

// A Mode says whether and how a link is compressed.
type Mode uint8

// The modes, in the order of nats-server's.
const (
	ModeUnset Mode = iota // ModeAuto
	ModeNotSupported
	ModeOff
	ModeAccept
	ModeAuto
	ModeUncompressed
	ModeFast
	ModeBetter
	ModeBest
)

// modeWords are what modes are called in INFO and CONNECT.
var modeWords = [...]string{
	ModeUnset:        "s2_auto",
	ModeNotSupported: "not supported",
	ModeOff:          "off",
	ModeAccept:       "accept",
	ModeAuto:         "s2_auto",
	ModeUncompressed: "s2_uncompressed",
	ModeFast:         "s2_fast",
	ModeBetter:       "s2_better",
	ModeBest:         "s2_best",
}

// String is what m is called on the wire.
func (m Mode) String() string {
	if int(m) < len(modeWords) {
		return modeWords[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// framed reports whether a link in this mode carries an S2 stream, compressed or not.
func (m Mode) framed() bool { return m == ModeUnset || m >= ModeAuto }

// parseMode takes a word of a configuration. s2_uncompressed is none: it only comes of s2_auto.
func parseMode(word string) (Mode, error) {
	switch strings.ToLower(word) {
	case "not supported", "not_supported":
		return ModeNotSupported, nil
	case "off", "disabled", "false":
		return ModeOff, nil
	case "accept":
		return ModeAccept, nil
	case "on", "enabled", "true", "auto", "s2_auto":
		return ModeAuto, nil
	case "fast", "s2_fast":
		return ModeFast, nil
	case "better", "s2_better":
		return ModeBetter, nil
	case "best", "s2_best":
		return ModeBest, nil
	}
	return ModeUnset, fmt.Errorf("compression %q: %w", cut(word), errBadMode)
}

// agree is what this side does with what the other one announces; the other side decides for itself,
// so that both need not do the same. No word at all comes of servers that know no compression.
func agree(own Mode, peer string) (Mode, error) {
	if own == ModeUnset {
		own = ModeAuto
	}
	if own == ModeOff && peer != "" || own == ModeNotSupported {
		if peer == modeWords[ModeNotSupported] {
			own = ModeNotSupported
		}
		return own, nil // whatever the word is, it need not be understood
	}
	theirs := ModeNotSupported
	if peer != "" {
		if theirs = wireMode(peer); theirs == ModeUnset {
			return ModeUnset, fmt.Errorf("%w %q", errUnsupportedMode, cut(peer))
		}
	}
	switch {
	case theirs == ModeNotSupported:
		return ModeNotSupported, nil
	case theirs == ModeOff || own == ModeAccept && theirs == ModeAccept:
		return ModeOff, nil
	case own != ModeAccept:
		return own, nil
	case theirs == ModeAuto:
		return ModeFast, nil
	}
	return theirs, nil
}

func wireMode(word string) Mode {
	for m := ModeNotSupported; m <= ModeBest; m++ {
		if modeWords[m] == word {
			return m
		}
	}
	return ModeUnset
}
