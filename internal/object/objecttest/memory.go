package objecttest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// Memory is an in-memory bucket. It is safe for concurrent use. Set its fields before use.
type Memory struct {
	// Fault, if not nil, is called before every call, with the method's name and the key ("" if
	// there is none, the prefix for List, once per key for Delete). If apply is true the call
	// takes effect; err is its result:
	//
	//	true, nil   normal
	//	false, err  failed without effect
	//	true, err   failed after its effect; a Read returns half of the bytes before the error
	//	false, nil  reported success without effect (writes only)
	//
	// It may block to delay the call. Several goroutines may call it at once.
	Fault func(op, key string) (apply bool, err error)
	// MinPart is the minimum size of every part except the last, for tests that need S3's 5
	// MiB.
	MinPart int

	name    string
	mu      sync.Mutex // guards the fields below and Fault
	objects map[string]entry
	uploads map[string]*upload
	calls   map[string]int // number of calls by method
	lastID  int
}

// entry is a stored object.
type entry struct {
	body     []byte // immutable
	etag     string
	modified time.Time
}

// upload is an unfinished upload: its key and its parts by number.
type upload struct {
	key   string
	parts map[int][]byte
}

// NewMemory returns an empty bucket with the name "memory".
func NewMemory() *Memory { return NewNamedMemory("memory") }

// NewNamedMemory returns an empty bucket with this name.
func NewNamedMemory(name string) *Memory {
	return &Memory{name: name, objects: map[string]entry{}, uploads: map[string]*upload{}, calls: map[string]int{}}
}

// Keys returns the sorted keys of all objects. Like Object, OpenUploads and Calls it does not
// call Fault.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sorted("")
}

// Object returns a copy of an object's content.
func (m *Memory) Object(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	return bytes.Clone(o.body), ok
}

// OpenUploads returns the sorted keys of unfinished uploads.
func (m *Memory) OpenUploads() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, u := range m.uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

// Calls returns the number of calls of a method, failed ones included. A Delete counts once per
// key.
func (m *Memory) Calls(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// SetFault replaces Fault while the bucket is in use.
func (m *Memory) SetFault(f func(op, key string) (apply bool, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Fault = f
}

// ask counts a call and calls Fault. The caller must not hold the lock, because Fault may
// block.
func (m *Memory) ask(ctx context.Context, op, key string) (bool, error) {
	m.mu.Lock()
	m.calls[op]++
	fault := m.Fault
	m.mu.Unlock()
	if fault != nil {
		// Fault may block, so the lock is not held here.
		if apply, err := fault(op, key); !apply || err != nil {
			return apply, err
		}
	}
	return true, context.Cause(ctx)
}

// change runs do under the lock unless Fault prevents it, and returns the errors of both.
func (m *Memory) change(ctx context.Context, op, key string, do func() error) error {
	apply, err := m.ask(ctx, op, key)
	if !apply {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// An error after the effect: the caller cannot know whether it happened.
	return errors.Join(do(), err)
}

// errorf wraps err as the S3 client does.
func (m *Memory) errorf(verb, key string, err error) error {
	return fmt.Errorf("%s s3://%s/%s: %w", verb, m.name, key, err)
}

// sorted returns the sorted keys below prefix. The caller holds the lock.
func (m *Memory) sorted(prefix string) []string {
	keys := []string{}
	for k := range m.objects {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Name returns the bucket's name.
func (m *Memory) Name() string { return m.name }

// List yields the objects that exist when it starts.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		if _, err := m.ask(ctx, "List", prefix); err != nil {
			yield(batholith.Object{}, m.errorf("list", prefix, err))
			return
		}
		m.mu.Lock()
		var infos []batholith.Object
		for _, k := range m.sorted(prefix) {
			infos = append(infos, m.objects[k].info(k))
		}
		m.mu.Unlock()
		for _, i := range infos {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (o entry) info(key string) batholith.Object {
	return batholith.Object{Key: key, Bytes: int64(len(o.body)), ETag: o.etag, Modified: o.modified}
}

// Head returns an object's metadata.
func (m *Memory) Head(ctx context.Context, key string) (batholith.Object, error) {
	if _, err := m.ask(ctx, "Head", key); err != nil {
		return batholith.Object{}, m.errorf("find", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return batholith.Object{}, m.errorf("find", key, batholith.ErrNoObject)
	}
	return o.info(key), nil
}

// Read implements blob.Bucket with the client's behaviour for short ranges.
func (m *Memory) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	apply, fault := m.ask(ctx, "Read", key)
	// With apply, the reader below delivers half of the bytes first.
	if fault != nil && !apply {
		return nil, m.errorf("read", key, fault)
	}
	m.mu.Lock()
	o, ok := m.objects[key]
	m.mu.Unlock()
	size := int64(len(o.body))
	switch {
	case n == 0:
		return io.NopCloser(strings.NewReader("")), nil
	case !ok:
		return nil, m.errorf("read", key, batholith.ErrNoObject)
	case etag != "" && etag != o.etag:
		return nil, m.errorf("read", key, batholith.ErrObjectChanged)
	case offset > size || n > 0 && offset >= size:
		return nil, m.errorf("read", key, io.ErrUnexpectedEOF)
	}
	// tail is the error after the last byte.
	end, tail := size, io.EOF
	if n > 0 && offset+n <= size {
		end = offset + n
	} else if n > 0 {
		tail = m.errorf("read", key, io.ErrUnexpectedEOF)
	}
	if fault != nil {
		end, tail = offset+(end-offset)/2, m.errorf("read", key, fault)
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(o.body[offset:end]), failing{tail})), nil
}

// failing is a reader that only returns an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Put stores a copy of body.
func (m *Memory) Put(ctx context.Context, key string, body []byte) error {
	err := m.change(ctx, "Put", key, func() error {
		sum := md5.Sum(body)
		m.objects[key] = entry{bytes.Clone(body), hex.EncodeToString(sum[:]), time.Now()}
		return nil
	})
	if err != nil {
		return m.errorf("write", key, err)
	}
	return nil
}

// Delete removes objects.
func (m *Memory) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		err := m.change(ctx, "Delete", key, func() error {
			delete(m.objects, key)
			return nil
		})
		if err != nil {
			return m.errorf("delete", key, err)
		}
	}
	return nil
}
