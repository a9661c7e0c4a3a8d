//go:build linux

package differential

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
)

// The text forms of keys and JWTs are written out here instead of taken from the library that
// edgebus reads them with: a mistake that both shared would not be seen.

// First bytes of keys.
const (
	accountKey  = 0
	operatorKey = 14 << 3
	seedKey     = 18 << 3
	userKey     = 20 << 3
)

var (
	keyText = base32.StdEncoding.WithPadding(base32.NoPadding)
	jwtText = base64.RawURLEncoding
)

// A key signs: for a user, an account or an operator.
type key struct {
	kind    byte
	private ed25519.PrivateKey
}

// newKey makes a key of its name alone, so that a seed gives the same scenario again.
func newKey(kind byte, name string) *key {
	secret := sha256.Sum256([]byte(name))
	return &key{kind: kind, private: ed25519.NewKeyFromSeed(secret[:])}
}

func (k *key) public() string {
	return withChecksum(append([]byte{k.kind}, k.private.Public().(ed25519.PublicKey)...))
}

func (k *key) seed() string {
	return withChecksum(append([]byte{seedKey | k.kind>>5, k.kind & 31 << 3}, k.private.Seed()...))
}

// signNonce is what a client sends as sig.
func signNonce(seed, nonce string) (string, error) {
	raw, err := keyText.DecodeString(seed)
	if err != nil || len(raw) != 2+ed25519.SeedSize+2 {
		return "", fmt.Errorf("%q is not a seed", seed)
	}
	private := ed25519.NewKeyFromSeed(raw[2 : 2+ed25519.SeedSize])
	return jwtText.EncodeToString(ed25519.Sign(private, []byte(nonce))), nil
}

// jwt signs claims.
func (k *key) jwt(claims map[string]any) string {
	claims["iss"] = k.public()
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	text := jwtText.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + jwtText.EncodeToString(body)
	return text + "." + jwtText.EncodeToString(ed25519.Sign(k.private, []byte(text)))
}

func withChecksum(raw []byte) string {
	return keyText.EncodeToString(binary.LittleEndian.AppendUint16(raw, checksum(raw)))
}

// checksum is CRC-16 as XMODEM has it.
func checksum(raw []byte) (sum uint16) {
	for _, b := range raw {
		sum ^= uint16(b) << 8
		for range 8 {
			if sum&0x8000 != 0 {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}

func TestKeysHaveTheirFirstLetter(t *testing.T) {
	for kind, letter := range map[byte]byte{userKey: 'U', accountKey: 'A', operatorKey: 'O'} {
		k := newKey(kind, "any")
		if k.public()[0] != letter || k.seed()[:2] != "S"+string(letter) {
			t.Errorf("%c: %s, %.2s…", letter, k.public(), k.seed())
		}
	}
	if sum := checksum([]byte("123456789")); sum != 0x31c3 { // the check value that catalogues of CRCs give
		t.Errorf("%#x", sum)
	}
}
