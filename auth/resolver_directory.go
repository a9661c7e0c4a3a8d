package auth

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// fileEnd is how the files of accounts end; deletedEnd comes behind it for those that were
	// deleted; newStart is how files begin that are being written.
	fileEnd    = ".jwt"
	deletedEnd = ".deleted"
	newStart   = ".new-"

	// sweepPause is the time between two looks for expired files.
	sweepPause = time.Minute
	// sweepsExpired is how many of them in a row have to find a JWT expired before its file is removed: a
	// clock that runs years ahead for a while must not empty the folder.
	sweepsExpired = 60
)

var (
	errFull     = errors.New("jwt store is full")
	errNoDelete = errors.New("delete must be enabled in server config")
)

// A directoryResolver has a file <account>.jwt for each account. A file is written aside and then
// renamed, so that whoever reads it finds the old or the new one.
type directoryResolver struct {
	// Set when made.
	dir    string
	limit  int
	cache  bool          // at the limit, forget what was not used for the longest time
	ttl    time.Duration // not 0: forget what was not used for so long, instead of what is expired
	delete bool
	hard   bool
	now    func() time.Time
	settle func(folder string) error // SyncFolder

	// Anyone's, under mu. Files are written and removed under it, too: they are small, and two
	// writers of one file would leave the index with the wrong one.
	mu    sync.Mutex
	files map[string]*list.Element // of *accountFile
	used  *list.List               // the one not used for the longest time in front
	alarm *time.Timer
	over  bool
}

// An accountFile is what is known of one file.
type accountFile struct {
	account string
	hash    [sha256.Size]byte
	expires time.Time // zero: never
	sweeps  int       // in a row that have found it expired
}

func openDirectory(o *ResolverOptions) (*directoryResolver, error) {
	r := &directoryResolver{
		dir: o.Dir, cache: o.Type == resolverCache, ttl: o.TTL, delete: o.AllowDelete || o.Type == resolverCache,
		hard: o.HardDelete || o.Type == resolverCache, now: time.Now, settle: SyncFolder,
		files: make(map[string]*list.Element), used: list.New(),
	}
	r.limit = int(min(cmp.Or(o.Limit, maxAccounts), maxAccounts))
	if r.cache {
		r.limit = int(min(cmp.Or(o.Limit, defaultCacheLimit), maxAccounts))
	}
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return nil, badf("resolver: dir: %w", err)
	}
	if err := r.index(); err != nil {
		return nil, badf("resolver: dir: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armLocked()
	return r, nil
}

// index reads what is there and removes what a crash has left half written.
func (r *directoryResolver) index() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, newStart) {
			if info, err := entry.Info(); err == nil && r.now().Sub(info.ModTime()) > sweepPause {
				os.Remove(filepath.Join(r.dir, name)) // another server may share the folder and be writing
			}
			continue
		}
		account, ok := strings.CutSuffix(name, fileEnd)
		if !ok || !isAccount(account) || len(r.files) >= maxAccounts {
			continue
		}
		if token, err := r.read(account); err == nil {
			r.noteLocked(account, token)
		}
	}
	return nil
}

func (r *directoryResolver) path(account string) string { return filepath.Join(r.dir, account+fileEnd) }

// read returns a file that is not larger than a JWT may be.
func (r *directoryResolver) read(account string) (string, error) {
	info, err := os.Stat(r.path(account))
	if err != nil {
		return "", err
	}
	if info.Size() > maxAccountJWT {
		return "", fmt.Errorf("the file of account %s is too large for a JWT", account)
	}
	token, err := os.ReadFile(r.path(account))
	return string(token), err
}

// noteLocked enters a file into the index as just used.
func (r *directoryResolver) noteLocked(account, token string) {
	f := &accountFile{account: account, hash: sha256.Sum256([]byte(token)), expires: timeOf(peek(token).Expires)}
	if r.ttl > 0 {
		f.expires = r.now().Add(r.ttl)
	}
	if e := r.files[account]; e != nil {
		e.Value = f
		r.used.MoveToBack(e)
		return
	}
	r.files[account] = r.used.PushBack(f)
}

func (r *directoryResolver) forgetLocked(account string) {
	if e := r.files[account]; e != nil {
		r.used.Remove(e)
		delete(r.files, account)
	}
}

func (r *directoryResolver) fetch(account string) (string, error) {
	if !isAccount(account) {
		return "", errNoAccount
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	token, err := r.read(account)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", errNoAccount
		}
		return "", err
	}
	if e := r.files[account]; e != nil || len(r.files) < r.limit { // somebody may have put it there by hand
		r.noteLocked(account, token)
	}
	return token, nil
}

// save writes an account's file. It is in place when save returns, for whoever looks after a power cut, too;
// after an error it may be.
func (r *directoryResolver) save(account, token string) error {
	if !isAccount(account) {
		return errors.New("invalid public key")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saveLocked(account, token)
}

// saveIfNewer leaves a file alone that holds the same or a later JWT.
func (r *directoryResolver) saveIfNewer(account, token string) error {
	if !isAccount(account) {
		return errors.New("invalid public key")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if there, err := r.read(account); err == nil {
		if a, b := peek(there), peek(token); a.Subject != "" && (a.ID == b.ID || a.IssuedAt > b.IssuedAt) {
			return nil
		}
	}
	return r.saveLocked(account, token)
}

func (r *directoryResolver) saveLocked(account, token string) error {
	if e := r.files[account]; e == nil && len(r.files) >= r.limit {
		if !r.cache {
			return errFull
		}
		oldest := r.used.Front().Value.(*accountFile).account
		if err := os.Remove(r.path(oldest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.forgetLocked(oldest)
	}
	if err := writeAside(r.dir, r.path(account), token); err != nil {
		return err
	}
	r.noteLocked(account, token)
	r.armLocked()
	return r.settle(r.dir)
}

// writeAside replaces a file in one step, which is on disk when its folder is.
func writeAside(dir, path, content string) error {
	f, err := os.CreateTemp(dir, newStart+"*")
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(dir, 0o750) == nil { // somebody has cleaned up
		f, err = os.CreateTemp(dir, newStart+"*")
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Chmod(0o640)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// remove deletes an account's file, or renames it if that is how deleting is configured. One that
// is not there is deleted already, on disk as well when remove returns without an error.
func (r *directoryResolver) remove(account string) error {
	if !r.delete {
		return errNoDelete
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.hard {
		err = os.Remove(r.path(account))
	} else {
		err = os.Rename(r.path(account), r.path(account)+deletedEnd)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.forgetLocked(account)
	if err := r.settle(r.dir); !errors.Is(err, fs.ErrNotExist) { // somebody has removed all of them
		return err
	}
	return nil
}

// list returns the accounts that are not expired, sorted.
func (r *directoryResolver) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	accounts := make([]string, 0, len(r.files))
	for account, e := range r.files {
		if f := e.Value.(*accountFile); r.ttl > 0 || f.expires.IsZero() || r.now().Before(f.expires) {
			accounts = append(accounts, account)
		}
	}
	slices.Sort(accounts)
	return accounts
}

// hash stands for all files: two servers with the same one have nothing to tell each other.
func (r *directoryResolver) hash() (sum [sha256.Size]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.files {
		for i, b := range e.Value.(*accountFile).hash {
			sum[i] ^= b
		}
	}
	return sum
}

// armLocked sets the alarm that sweeps, if anything can expire.
func (r *directoryResolver) armLocked() {
	if r.alarm != nil || r.over {
		return
	}
	for _, e := range r.files {
		if !e.Value.(*accountFile).expires.IsZero() {
			pause := sweepPause
			if r.ttl > 0 {
				pause = min(max(r.ttl/2, time.Second), sweepPause)
			}
			r.alarm = time.AfterFunc(pause, r.sweep)
			return
		}
	}
}

// sweep removes the files of what is expired.
func (r *directoryResolver) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alarm = nil
	if r.over {
		return
	}
	now := r.now()
	for account, e := range r.files {
		f := e.Value.(*accountFile)
		if f.expires.IsZero() || now.Before(f.expires) {
			f.sweeps = 0
			continue
		}
		if f.sweeps++; r.ttl == 0 && f.sweeps < sweepsExpired {
			continue
		}
		if err := os.Remove(r.path(account)); err == nil || errors.Is(err, fs.ErrNotExist) {
			r.forgetLocked(account)
		}
	}
	r.armLocked()
}

func (r *directoryResolver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.alarm != nil {
		r.alarm.Stop()
	}
}

// peeked is what a JWT says of itself, whether it is right or not.
type peeked struct {
	Subject  string `json:"sub"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// peek reads a JWT without checking its signature, which would take seconds for a full folder.
func peek(token string) (p peeked) {
	_, rest, _ := strings.Cut(strings.TrimSpace(token), ".")
	body, _, _ := strings.Cut(rest, ".")
	if text, err := base64.RawURLEncoding.DecodeString(body); err == nil {
		json.Unmarshal(text, &p)
	}
	return p
}
