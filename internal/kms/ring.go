package kms

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// Key is a key as the settings name it.
type Key struct {
	ID       string   // "": the one in the file
	Aliases  []string // with or without alias/
	File     string
	Disabled bool   // neither encrypts nor decrypts
	Account  string // that owns it, 12 digits; "": that of the ring
}

// DefaultAlias names the key that is used where a request for encryption names none. If no key
// of the account has this alias, it is the account's first key.
const DefaultAlias = "aws/s3"

// Kinds of faults, which callers tell apart.
var (
	ErrNotFound = errors.New("there is no such key")
	ErrDisabled = errors.New("the key is disabled")
	ErrUnusable = errors.New("the key cannot be used") // its file is missing, damaged, open to others, or another one
	ErrInvalid  = errors.New("the ciphertext does not decrypt")
)

// Fault says why a key cannot be used, and what to do. Its kind, one of the errors above, tells callers how to
// answer. No text of it holds key material.
type Fault struct {
	kind           error
	Reason, Remedy string
}

// Error returns the reason and the remedy.
func (f *Fault) Error() string { return f.Reason + ": " + f.Remedy }

// Unwrap returns the kind: ErrNotFound, ErrDisabled, ErrUnusable or ErrInvalid.
func (f *Fault) Unwrap() error { return f.kind }

func fault(kind error, remedy, reason string, args ...any) error {
	return &Fault{kind: kind, Reason: fmt.Sprintf(reason, args...), Remedy: remedy}
}

// Ring holds the keys of all accounts. It is safe for concurrent use. An id is unique in the ring, because encrypted
// data names its key by id only. An alias is unique in its account.
//
// Rotation needs no restart: before a key encrypts, and when it lacks a version to decrypt
// with, its file is read again if it changed.
type Ring struct {
	place
	set atomic.Pointer[keySet]
}

// keySet is what a ring holds now. It is replaced as a whole.
type keySet struct {
	keys  []*held
	ids   map[string]*held
	names map[string]map[string]*held // by account, then by id and alias/NAME
}

// held is a key with the content of its file.
type held struct {
	Key
	mu   sync.Mutex
	file *File
	seen os.FileInfo // of the file when it was read
}

// Ref names a key and the account that owns it.
type Ref struct{ ID, ARN, Account string }

// Open reads the key files and returns the ring. Keys without an account belong to account. It fails with a
// *Fault if a file cannot be used or two keys have the same name.
func Open(region, account string, keys []Key) (*Ring, error) {
	r, to := &Ring{place: place{region, account}}, &keySet{ids: map[string]*held{}, names: map[string]map[string]*held{}}
	for _, k := range keys {
		h := &held{Key: k}
		h.Account = cmp.Or(h.Account, account)
		if err := h.load(); err != nil {
			return nil, err
		}
		h.ID = h.file.ID
		to.keys = append(to.keys, h)
		if other := to.ids[h.ID]; other != nil {
			return nil, twice(h.ID, other, h)
		}
		to.ids[h.ID] = h
		ours := to.names[h.Account]
		if ours == nil {
			ours = map[string]*held{}
			to.names[h.Account] = ours
		}
		names := []string{h.ID}
		for _, a := range k.Aliases {
			name, ok := Alias(a)
			if !ok {
				return nil, fault(ErrUnusable, "use letters, digits, dashes, underscores and slashes", "%q is not an alias of the key %s", a, h.ID)
			}
			names = append(names, "alias/"+name)
		}
		for _, name := range names {
			if other := ours[name]; other != nil && other != h {
				return nil, twice(name, other, h)
			}
			ours[name] = h
		}
	}
	r.set.Store(to)
	return r, nil
}

// Replace takes the keys of other from now on. What is being encrypted or decrypted goes on with the key that it has.
func (r *Ring) Replace(other *Ring) { r.set.Store(other.set.Load()) }

// twice is the fault of two keys with one name.
func twice(name string, one, other *held) error {
	return fault(ErrUnusable, "give each its own", "two keys have the name %s, those of %s and %s", name, one.File, other.File)
}

// load reads the file of the key and checks that it holds the key with this id.
func (h *held) load() error {
	info, _ := os.Stat(h.File) // before it is read: what changes meanwhile is read again. nil: ReadFile says why
	f, err := ReadFile(h.File)
	if err != nil {
		return err
	}
	if h.ID != "" && h.ID != f.ID {
		return fault(ErrUnusable, "name the file of that key", "the key file %s holds the key %s and not %s", h.File, f.ID, h.ID)
	}
	h.file, h.seen = f, info
	return nil
}

// current returns the content of the key file. It reads the file again if its time, size, mode or inode changed. A
// file that lost a version is refused: what that version encrypted could not be read any more.
func (h *held) current() (*File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if info, err := os.Stat(h.File); err == nil && h.seen != nil && os.SameFile(info, h.seen) && info.ModTime().Equal(h.seen.ModTime()) &&
		info.Size() == h.seen.Size() && info.Mode() == h.seen.Mode() {
		return h.file, nil
	}
	before := h.file
	if err := h.load(); err != nil {
		return nil, err
	}
	if lost := before.lostIn(h.file); lost != 0 {
		err := fault(ErrUnusable, "put the file back from your copy", "version %d of the key %s is not in %s any more", lost, h.ID, h.File)
		h.file, h.seen = before, nil
		return nil, err
	}
	return h.file, nil
}

// lostIn returns the first version that other lacks or has with another secret, or 0.
func (f *File) lostIn(other *File) int {
	for _, v := range f.Versions {
		if w, ok := other.version(v.Number); !ok || w.secret != v.secret {
			return v.Number
		}
	}
	return 0
}

// inMemory returns the content as it was last read, without looking at the file.
func (h *held) inMemory() *File {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.file
}

// Find returns the key that a name stands for in the settings and for the operator's commands: an id or an ARN of any
// account, or an alias of the ring's account. "" is the default key of that account. The error is ErrNotFound or
// ErrDisabled.
func (r *Ring) Find(name string) (Ref, error) {
	h, err := r.find(name)
	if err != nil {
		return Ref{}, err
	}
	return r.ref(h), nil
}

// FindFor is Find for a caller, who finds the keys of the own account only. The error about a key of another account
// is that about a key that does not exist.
func (r *Ring) FindFor(account, name string) (Ref, error) {
	h, err := r.findFor(account, name)
	if err != nil {
		return Ref{}, err
	}
	return r.ref(h), nil
}

// ByID returns the key with an id, also if it is disabled. ok is false if the settings do not have it any more.
func (r *Ring) ByID(id string) (ref Ref, ok bool) {
	h := r.set.Load().ids[id]
	if h == nil {
		return Ref{}, false
	}
	return r.ref(h), true
}

// ref returns the names of a key.
func (r *Ring) ref(h *held) Ref { return Ref{ID: h.ID, ARN: r.arn(h, "key/"+h.ID), Account: h.Account} }

// find is Find before the result is a name.
func (r *Ring) find(name string) (*held, error) {
	account := r.account
	if of, is := accountOf(name); is {
		account = of
	} else if h := r.set.Load().ids[name]; h != nil {
		account = h.Account
	}
	return r.findFor(account, name)
}

// findFor returns the key of an account that a name stands for: an id, an alias or an ARN; "" is the default key.
func (r *Ring) findFor(account, name string) (*held, error) {
	var h *held
	if name == "" {
		h = r.usual(account)
	} else if resource, ok := r.resource(account, name); ok {
		h = r.set.Load().names[account][resource]
	}
	switch {
	case len(r.set.Load().keys) == 0 && name != "":
		return nil, fault(ErrNotFound, "make one with: batholith kms create FILE", "there is no encryption key %q, since the settings have none (kms.keys)", name)
	case h == nil && name == "":
		return nil, fault(ErrNotFound, "make one with: batholith kms create FILE", "the settings have no encryption key (kms.keys) of the account %s", account)
	case h == nil:
		return nil, fault(ErrNotFound, "batholith kms list shows the keys", "there is no encryption key %q of the account %s in the settings", name, account)
	case h.Disabled:
		return nil, fault(ErrDisabled, "remove disabled from its settings", "the key %s is disabled", r.arn(h, "key/"+h.ID))
	}
	return h, nil
}

// usual returns an account's key for requests that name none, or nil if it has no key.
func (r *Ring) usual(account string) *held {
	if h := r.set.Load().names[account]["alias/"+DefaultAlias]; h != nil {
		return h
	}
	if i := slices.IndexFunc(r.set.Load().keys, func(h *held) bool { return h.Account == account }); i >= 0 {
		return r.set.Load().keys[i]
	}
	return nil
}

// Described is the public part of a key, as kms list shows it.
type Described struct {
	ID       string    `json:"id"`
	ARN      string    `json:"arn"`
	Account  string    `json:"account"`
	Aliases  []string  `json:"aliases"`
	File     string    `json:"file"`
	Versions []Version `json:"-"`
	Disabled bool      `json:"disabled"`
}

// List describes the keys in the order of the settings.
func (r *Ring) List() []Described {
	var all []Described
	for _, h := range r.set.Load().keys {
		d := Described{ID: h.ID, ARN: r.arn(h, "key/"+h.ID), Account: h.Account, Aliases: []string{}, File: h.File, Versions: slices.Clone(h.inMemory().Versions), Disabled: h.Disabled}
		for _, a := range h.Aliases {
			name, _ := Alias(a)
			d.Aliases = append(d.Aliases, "alias/"+name)
		}
		all = append(all, d)
	}
	return all
}
