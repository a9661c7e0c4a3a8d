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
	configured string // as it stands in the options: plain, or a bcrypt hash
	hashed     bool
	key        []byte // of the digests
	plain      digest // of configured, if that is plain

	// Anyone's. The password that was right the last time, so that bcrypt runs once for each user
	// and Directory, and not for each of a thousand reconnecting devices.
	remembered atomic.Pointer[digest]
}

func newKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails
	return key
}

func newSecret(configured string, key []byte) (*secret, error) {
	s := &secret{configured: configured, hashed: isBcrypt(configured), key: key}
	if !s.hashed {
		s.plain = s.digest(configured)
		return s, nil
	}
	if _, err := bcrypt.Cost([]byte(configured)); err != nil {
		return nil, badf("the password looks like a bcrypt hash and is none: %w", err)
	}
	return s, nil
}

func (s *secret) digest(password string) (sum digest) {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(password))
	mac.Sum(sum[:0])
	return sum
}

// isBcrypt reports whether a configured password is a hash by its prefix, as nats-server does.
func isBcrypt(password string) bool {
	return len(password) > 3 && strings.HasPrefix(password, "$2") && password[3] == '$' &&
		strings.IndexByte("abxy", password[2]) >= 0
}

// compare decides at once if it can. known is false when the hash must be asked.
func (s *secret) compare(offered string) (right, known bool) {
	sum := s.digest(offered)
	if !s.hashed {
		return same(sum, s.plain), true
	}
	if last := s.remembered.Load(); last != nil && same(sum, *last) {
		return true, true
	}
	return false, false
}

// compareHash takes tens of milliseconds and more.
func (s *secret) compareHash(offered string) bool {
	if !matches(s.configured, offered) {
		return false
	}
	sum := s.digest(offered)
	s.remembered.Store(&sum)
	return true
}

// stillOpens reports whether who has come in by s may stay when next takes its place. Where only
// a hash could tell, and it is another one, the answer is no: the client has to show its password.
func (s *secret) stillOpens(next *secret) bool {
	if s.configured == next.configured {
		return true
	}
	last := s.remembered.Load()
	return s.hashed && !next.hashed && last != nil && same(s.digest(next.configured), *last)
}

// same compares in constant time.
func same(a, b digest) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

func matches(hash, offered string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(offered)) == nil
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
