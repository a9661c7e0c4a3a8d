package client

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// An identity puts into CONNECT who we are, with the server's nonce signed.
type identity func(nonce string, to *connectOptions) error

// Creds authenticates with a credentials file, as nsc and nk write them: a user's JWT and the seed
// of its key. The file is read again for every line, so that a new one is used from the next
// reconnect on.
func Creds(file string) Option {
	return func(o *options) error {
		if _, _, err := readCreds(file); err != nil {
			return err
		}
		o.identity = func(nonce string, to *connectOptions) error {
			token, key, err := readCreds(file)
			if err != nil {
				return err
			}
			to.JWT = token
			to.Signature = encodeSignature(key.sign([]byte(nonce)))
			return nil
		}
		return nil
	}
}

// NKey authenticates with a key whose seed is the first line of a file that begins with S.
func NKey(seedFile string) Option {
	return func(o *options) error {
		load := func() (*signer, error) {
			text, err := readSecret(seedFile)
			if err != nil {
				return nil, err
			}
			return newSigner(findSeed(text), seedFile)
		}
		if _, err := load(); err != nil {
			return err
		}
		o.identity = func(nonce string, to *connectOptions) error {
			key, err := load()
			if err != nil {
				return err
			}
			to.NKey = key.public()
			to.Signature = encodeSignature(key.sign([]byte(nonce)))
			return nil
		}
		return nil
	}
}

// Signed authenticates with a key that is elsewhere, in a secure element for instance: sign is
// given the server's nonce. Of token, a user's JWT, and public, its NKey, one may be empty.
func Signed(token, public string, sign func(nonce []byte) ([]byte, error)) Option {
	return func(o *options) error {
		if sign == nil || token == "" && public == "" {
			return fmt.Errorf("%w: Signed needs a function, and a JWT or a public key", ErrCredentials)
		}
		o.identity = func(nonce string, to *connectOptions) error {
			signature, err := sign([]byte(nonce))
			if err != nil {
				return fmt.Errorf("client: signing the server's nonce: %w", err)
			}
			to.JWT, to.NKey, to.Signature = token, public, encodeSignature(signature)
			return nil
		}
		return nil
	}
}

func encodeSignature(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// maxSecretFile is far above what a JWT with many permissions takes.
const maxSecretFile = 1 << 20

func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	if len(text) > maxSecretFile {
		return nil, fmt.Errorf("%w: %s is too large to be one", ErrCredentials, file)
	}
	return text, nil
}

func readCreds(file string) (token string, key *signer, err error) {
	text, err := readSecret(file)
	if err != nil {
		return "", nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "eyJ") { // base64 of {"
			token = line
			break
		}
	}
	if token == "" {
		return "", nil, fmt.Errorf("%w: no JWT in %s", ErrCredentials, file)
	}
	key, err = newSigner(findSeed(text), file)
	return token, key, err
}

// findSeed returns the first line that looks like a seed, or nothing.
func findSeed(text []byte) []byte {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == seedText && line[0] == 'S' {
			return line
		}
	}
	return nil
}

// A seed of an NKey is base32 of two bytes that say what it is, 32 bytes of an Ed25519 seed and
// two of a CRC: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth
// The nkeys library would do, but its regular expressions are half a megabyte of every program
// with this package, whether it has keys or not.
const (
	seedText   = 58
	seedBytes  = 2 + ed25519.SeedSize + 2
	seedPrefix = 18 << 3 // 'S'
	userPrefix = 20 << 3 // 'U'
)

type signer struct{ key ed25519.PrivateKey }

func newSigner(seed []byte, file string) (*signer, error) {
	raw := make([]byte, seedBytes)
	if n, err := base32.StdEncoding.WithPadding(base32.NoPadding).Decode(raw, seed); err != nil || n != seedBytes {
		return nil, fmt.Errorf("%w: no seed of a user's key in %s", ErrCredentials, file)
	}
	body, sum := raw[:seedBytes-2], raw[seedBytes-2:]
	kind := raw[0]&7<<5 | raw[1]&0xf8>>3
	if raw[0]&0xf8 != seedPrefix || kind != userPrefix || binary.LittleEndian.Uint16(sum) != crc16(body) {
		return nil, fmt.Errorf("%w: the seed in %s is damaged, or is not a user's", ErrCredentials, file)
	}
	return &signer{ed25519.NewKeyFromSeed(body[2:])}, nil
}

func (s *signer) sign(nonce []byte) []byte { return ed25519.Sign(s.key, nonce) }

// public is the key as servers list it: U and 55 further letters.
func (s *signer) public() string {
	raw := append([]byte{userPrefix}, s.key.Public().(ed25519.PublicKey)...)
	raw = binary.LittleEndian.AppendUint16(raw, crc16(raw))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
}

// crc16 is CRC-16/XMODEM, as NKeys have it.
func crc16(data []byte) uint16 {
	var crc uint16
	for _, b := range data {
		crc ^= uint16(b) << 8
		for range 8 {
			high := crc&0x8000 != 0
			crc <<= 1
			if high {
				crc ^= 0x1021
			}
		}
	}
	return crc
}
