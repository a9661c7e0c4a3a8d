package leafnode

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nkeys"
)

// maxSecretFile bounds a file with credentials: what is larger is something else.
const maxSecretFile = 256 << 10

// connectCredentials are the fields of CONNECT that say who we are.
type connectCredentials struct {
	user, password, token string
	nkey, jwt, signature  string
}

// loadCredentials is called for each attempt to reach the remote r at u, and says at once whether its
// files can be used. What it returns reads them anew, so that no secret lies in memory between attempts
// and a new file counts as soon as it is there.
func loadCredentials(r *Remote, u *url.URL) (func(nonce string) (connectCredentials, error), error) {
	sign := func(nonce string) (connectCredentials, error) {
		c := fromURL(u)
		var err error
		switch { // in nats-server's order; user and password go along, for a hub that asks somebody else
		case r.Credentials != "":
			err = c.signWithFile(r.Credentials, nonce)
		case r.NKey != "":
			err = c.signWithSeed(r.NKey, nonce)
		}
		return c, err
	}
	if _, err := sign("try"); err != nil {
		return nil, err
	}
	return func(nonce string) (connectCredentials, error) {
		if nonce == "" && (r.Credentials != "" || r.NKey != "") {
			return connectCredentials{}, errNoNonce
		}
		return sign(nonce)
	}, nil
}

// fromURL takes user:password@, or token@. A name alone is sent as both, as nats-server does.
func fromURL(u *url.URL) (c connectCredentials) {
	if u == nil || u.User == nil {
		return c
	}
	c.user = u.User.Username()
	password, ok := u.User.Password()
	if c.password = password; !ok {
		c.token = c.user
	}
	return c
}

// Missing is what is to be said of a file with credentials that is not there, and the key that names it. It is no
// error: the file may come later. Empty: nothing.
func (r *Remote) Missing() (key, text string) {
	key, name := "credentials", r.Credentials
	if name == "" {
		key, name = "nkey", r.NKey
	}
	if _, _, err := nkeys.DecodeSeed([]byte(name)); err == nil || name == "" || looksLikeSeed(name) {
		return "", ""
	}
	_, err := os.Stat(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return "", ""
	}
	reason, remedy := explain(unreadable(key, name, err))
	return key, reason + ", and the hub is not dialled before it is there: " + remedy
}

// signWithFile takes the JWT and the seed of a credentials file.
func (c *connectCredentials) signWithFile(name, nonce string) error {
	text, err := readSecret("credentials", name)
	defer clear(text)
	if err != nil {
		return err
	}
	blocks := decorated(text)
	if len(blocks) < 2 {
		return unusable(about("credentials", name), errors.New("it holds no user's JWT and seed between lines of dashes"), "name a file made by `nsc generate creds`")
	}
	_, err = c.sign(blocks[1], nonce)
	if err != nil {
		return unusable(about("credentials", name), err, remedySeed)
	}
	c.jwt = string(blocks[0])
	return nil
}

// signWithSeed takes a seed, or a file that has it, bare or between lines of dashes.
func (c *connectCredentials) signWithSeed(seedOrFile, nonce string) error {
	key, err := c.sign([]byte(seedOrFile), nonce)
	if err != nil {
		if looksLikeSeed(seedOrFile) {
			return unusable("nkey", err, remedySeed)
		}
		if key, err = c.signWithSeedFile(seedOrFile, nonce); err != nil {
			return err
		}
	}
	c.nkey = key
	return nil
}

func (c *connectCredentials) signWithSeedFile(name, nonce string) (public string, err error) {
	text, err := readSecret("nkey", name)
	defer clear(text)
	if err != nil {
		return "", err
	}
	seed := trim(text)
	if blocks := decorated(text); len(blocks) > 0 {
		seed = blocks[len(blocks)-1]
	}
	if public, err = c.sign(seed, nonce); err != nil {
		return "", unusable(about("nkey", name), err, remedySeed)
	}
	return public, nil
}

// sign signs the nonce with a user's seed. Errors of nkeys quote nothing of it.
func (c *connectCredentials) sign(seed []byte, nonce string) (public string, err error) {
	kind, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return "", errors.New("there is no valid seed")
	}
	clear(raw)
	if kind != nkeys.PrefixByteUser {
		return "", fmt.Errorf("the seed is that of an %v, and a user's is needed", kind)
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	signature, err := pair.Sign([]byte(nonce))
	if err != nil {
		return "", err
	}
	if public, err = pair.PublicKey(); err != nil {
		return "", err
	}
	c.signature = base64.RawURLEncoding.EncodeToString(signature)
	return public, nil
}

// looksLikeSeed keeps a mistyped seed from being taken for the name of a file, and shown.
func looksLikeSeed(text string) bool {
	const seedSize, slip = 58, 8
	if len(text) < seedSize-slip || len(text) > seedSize+slip || text[0] != 'S' && text[0] != 's' {
		return false
	}
	for _, b := range []byte(text) {
		if !('A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9') {
			return false
		}
	}
	return true
}

// decorated returns the lines of text that stand alone between two lines of dashes, such as
//
//	-----BEGIN NATS USER JWT-----
//	eyJ0eXAi...
//	------END NATS USER JWT------
func decorated(text []byte) (blocks [][]byte) {
	var between []byte
	open := false
	for len(text) > 0 {
		end := 0
		for end < len(text) && text[end] != '\n' {
			end++
		}
		line := trim(text[:end])
		text = text[min(end+1, len(text)):]
		switch {
		case len(line) == 0:
		case len(line) > 6 && string(line[:3]) == "---" && string(line[len(line)-3:]) == "---":
			if open && between != nil {
				blocks = append(blocks, between)
			}
			open, between = !open, nil
		case open:
			between = line
		}
	}
	return blocks
}

// trim takes off white space without a copy that would have to be wiped.
func trim(line []byte) []byte {
	blank := func(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
	for len(line) > 0 && blank(line[0]) {
		line = line[1:]
	}
	for len(line) > 0 && blank(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	return line
}

// remedySeed is for what holds no seed of a user.
const remedySeed = "a user's seed begins with SU and has 58 letters and digits: `nsc generate creds` or `nk -gen user` makes one"

// about names a file and the key that names it.
func about(key, name string) string { return fmt.Sprintf("%s %q", key, name) }

// unusable is the error of credentials for which no hub need be asked.
func unusable(what string, err error, remedy string) error {
	return fmt.Errorf("%w: %s: %w", errCredentials, what, &dialError{what, err, remedy})
}

// unreadable says what to do about a file that cannot be read.
func unreadable(key, name string, err error) error {
	remedy := "look at the name and at who may read it"
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.IsAbs(name):
		remedy = "put the file there, or look for a slip in its name"
	case errors.Is(err, fs.ErrNotExist):
		remedy = "put the file there, or name it with a full path: relative names count from the folder the server was started in"
	case errors.Is(err, fs.ErrPermission):
		remedy = "let the user that the server runs as read it"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return unusable(about(key, name), err, remedy)
}

// readSecret reads a file into one buffer, which the caller wipes.
func readSecret(key, name string) ([]byte, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nobody may ever write to a FIFO
	if err != nil {
		return nil, unreadable(key, name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(key, name, err)
	}
	if info.Size() > maxSecretFile || !info.Mode().IsRegular() {
		return nil, unusable(about(key, name), fmt.Errorf("it is no file, or larger than %d KiB", maxSecretFile>>10), "name a file with credentials")
	}
	text := make([]byte, info.Size())
	n, err := io.ReadFull(file, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(text)
		return nil, unreadable(key, name, err)
	}
	return text[:n], nil
}
