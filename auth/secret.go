package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// A digest stands for a password in memory: keyed, so that it says nothing outside this process.
type digest [sha256.Size]byte

// A secret is what a password or token is compared with.
type secret struct {
	// Set when made.
	plain digest // of the configured text, if it is not a hash
	hash  []byte // the bcrypt hash, nil if the text is plain

	// Anyone's. The password that was right the last time, so that bcrypt runs once for each user
	// and Directory, and not for each of a thousand reconnecting devices.
	remembered atomic.Pointer[digest]
}

func newKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return key
}

func (d *Directory) digest(password string) (sum digest) {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(password))
	mac.Sum(sum[:0])
	return sum
}

func (d *Directory) newSecret(configured string) (*secret, error) {
	if !isBcrypt(configured) {
		return &secret{plain: d.digest(configured)}, nil
	}
	if _, err := bcrypt.Cost([]byte(configured)); err != nil {
		return nil, fmt.Errorf("%w: the password looks like a bcrypt hash and is none: %w", ErrOptions, err)
	}
	return &secret{hash: []byte(configured)}, nil
}

// isBcrypt reports whether a configured password is a hash by its prefix, as nats-server does.
func isBcrypt(password string) bool {
	return len(password) > 3 && strings.HasPrefix(password, "$2") && password[3] == '$' &&
		strings.IndexByte("abxy", password[2]) >= 0
}

// compare decides at once if it can. known is false when the hash must be asked.
func (s *secret) compare(d *Directory, offered string) (right, known bool) {
	sum := d.digest(offered)
	if s.hash == nil {
		return subtle.ConstantTimeCompare(sum[:], s.plain[:]) == 1, true
	}
	if last := s.remembered.Load(); last != nil && subtle.ConstantTimeCompare(sum[:], last[:]) == 1 {
		return true, true
	}
	return false, false
}

// compareHash takes tens of milliseconds and more.
func (s *secret) compareHash(d *Directory, offered string) bool {
	if !matches(s.hash, offered) {
		return false
	}
	sum := d.digest(offered)
	s.remembered.Store(&sum)
	return true
}

func matches(hash []byte, offered string) bool {
	return bcrypt.CompareHashAndPassword(hash, []byte(offered)) == nil
}

// HashPassword makes the bcrypt hash that may stand in a configuration instead of the password.
// cost 0 is the usual one.
func HashPassword(password string, cost int) (string, error) {
	const usualCost = 11 // what the nats command uses
	if cost == 0 {
		cost = usualCost
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", fmt.Errorf("auth: hash a password: %w", err)
	}
	return string(hash), nil
}
