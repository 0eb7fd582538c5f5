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

// Memory is a bucket in memory. It is safe for concurrent use; its fields are set before it is used.
type Memory struct {
	// Fault, when set, is asked before every call, with the name of the method and the key ("" for none, the prefix for
	// List; once for every key of Delete). The call takes effect when apply is true, and err is its answer:
	//
	//	true, nil   as usual
	//	false, err  failed, and nothing happened
	//	true, err   failed, yet it happened; a Read gives half of the bytes before the error
	//	false, nil  claimed to have happened, but did not (writes only)
	//
	// It may block, to stall the call, and may be called by several goroutines at once.
	Fault func(op, key string) (apply bool, err error)
	// MinPart is the least size of a part that is not the last, for tests that want S3's 5 MiB.
	MinPart int

	name    string
	mu      sync.Mutex
	objects map[string]entry
	uploads map[string]*upload
	calls   map[string]int
	lastID  int
}

type entry struct {
	body     []byte // never written again
	etag     string
	modified time.Time
}

type upload struct {
	key   string
	parts map[int][]byte
}

// NewMemory makes an empty bucket named "memory".
func NewMemory() *Memory { return NewNamedMemory("memory") }

// NewNamedMemory makes an empty bucket.
func NewNamedMemory(name string) *Memory {
	return &Memory{name: name, objects: map[string]entry{}, uploads: map[string]*upload{}, calls: map[string]int{}}
}

// Keys lists the keys of all objects, sorted. Like the other looks from outside it asks no Fault.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sorted("")
}

// Object is the content of an object.
func (m *Memory) Object(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	return bytes.Clone(o.body), ok
}

// OpenUploads lists the keys of uploads that are neither complete nor aborted, sorted.
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

// Calls counts the calls of a method so far, failed ones included; a Delete counts once for every key.
func (m *Memory) Calls(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

// SetFault sets Fault while the bucket is in use.
func (m *Memory) SetFault(f func(op, key string) (apply bool, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Fault = f
}

// ask counts a call and lets Fault decide on it. It must be called without the lock, as Fault may block.
func (m *Memory) ask(ctx context.Context, op, key string) (bool, error) {
	m.mu.Lock()
	m.calls[op]++
	fault := m.Fault
	m.mu.Unlock()
	if fault != nil {
		if apply, err := fault(op, key); !apply || err != nil {
			return apply, err
		}
	}
	return true, context.Cause(ctx)
}

// change runs do under the lock if the fault lets it, and answers as the fault says.
func (m *Memory) change(ctx context.Context, op, key string, do func() error) error {
	apply, err := m.ask(ctx, op, key)
	if !apply {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(do(), err)
}

func (m *Memory) errorf(verb, key string, err error) error {
	return fmt.Errorf("%s s3://%s/%s: %w", verb, m.name, key, err)
}

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

// Name is the bucket's name.
func (m *Memory) Name() string { return m.name }

// List yields what is there when it begins.
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

// Head tells of one object.
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

// Read opens a range, as the client does.
func (m *Memory) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	apply, fault := m.ask(ctx, "Read", key)
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

// failing is a reader that has nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Put writes a whole object.
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
