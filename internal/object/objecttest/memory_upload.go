package objecttest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

var (
	errNoUpload = errors.New("no such upload")
	errBadPart  = errors.New("invalid part")
)

// CreateUpload starts an upload. If Fault lets it fail after its effect, only OpenUploads shows
// the upload.
func (m *Memory) CreateUpload(ctx context.Context, key string) (string, error) {
	id := ""
	err := m.change(ctx, "CreateUpload", key, func() error {
		m.lastID++
		id = fmt.Sprintf("upload-%d", m.lastID)
		m.uploads[id] = &upload{key: key, parts: map[int][]byte{}}
		return nil
	})
	if err != nil {
		return "", m.errorf("begin upload of", key, err)
	}
	return id, nil
}

// find returns the upload with this id and key. The caller holds the lock.
func (m *Memory) find(key, id string) (*upload, error) {
	if u := m.uploads[id]; u != nil && u.key == key {
		return u, nil
	}
	return nil, errNoUpload
}

// UploadPart stores a copy of part n, from 1.
func (m *Memory) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	sum := md5.Sum(body)
	err := m.change(ctx, "UploadPart", key, func() error {
		u, err := m.find(key, id)
		if err == nil {
			u.parts[n] = bytes.Clone(body)
		}
		return err
	})
	if err != nil {
		return "", m.errorf(fmt.Sprintf("upload part %d of", n), key, err)
	}
	return hex.EncodeToString(sum[:]), nil
}

// CompleteUpload joins the parts to the object. All parts except the last must have the same
// size, at least MinPart. It may be repeated: if the object consists of exactly these parts, it
// returns nil.
func (m *Memory) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	err := m.change(ctx, "CompleteUpload", key, func() error {
		body, etag, err := m.assemble(key, id, etags)
		// The upload was completed before: the object's ETag proves that it has these parts.
		if errors.Is(err, errNoUpload) && m.objects[key].etag == multipartETag(etags) {
			return nil
		}
		if err != nil {
			return err
		}
		m.objects[key] = entry{body, etag, time.Now()}
		delete(m.uploads, id)
		return nil
	})
	if err != nil {
		return m.errorf("complete upload of", key, err)
	}
	return nil
}

// assemble joins the parts of an upload, after it checked their ETags and sizes. The caller
// holds the lock.
func (m *Memory) assemble(key, id string, etags []string) (body []byte, etag string, err error) {
	u, err := m.find(key, id)
	if err != nil {
		return nil, "", err
	}
	for i, want := range etags {
		// The ETag must be that of the stored part, as S3 requires.
		part, ok := u.parts[i+1]
		if sum := md5.Sum(part); !ok || hex.EncodeToString(sum[:]) != want {
			return nil, "", fmt.Errorf("part %d: %w", i+1, errBadPart)
		}
		if i < len(etags)-1 && (len(part) < m.MinPart || len(part) != len(u.parts[1])) || len(part) > len(u.parts[1]) {
			return nil, "", fmt.Errorf("part %d has %d bytes, the first %d: %w", i+1, len(part), len(u.parts[1]), errBadPart)
		}
		body = append(body, part...)
	}
	if len(etags) == 0 {
		return nil, "", errBadPart
	}
	return body, multipartETag(etags), nil
}

// multipartETag returns the MD5 of the parts' MD5s, a dash and their number, as S3 does.
func multipartETag(etags []string) string {
	h := md5.New()
	for _, e := range etags {
		sum, _ := hex.DecodeString(e) // a text that is not an MD5 matches nothing
		h.Write(sum)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(etags))
}

// AbortUpload deletes an upload. A missing one is not an error.
func (m *Memory) AbortUpload(ctx context.Context, key, id string) error {
	err := m.change(ctx, "AbortUpload", key, func() error {
		if _, err := m.find(key, id); err == nil {
			delete(m.uploads, id)
		}
		return nil
	})
	if err != nil {
		return m.errorf("abort upload of", key, err)
	}
	return nil
}

// ListUploads yields the uploads that are open when it starts, sorted by key and id.
func (m *Memory) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		if _, err := m.ask(ctx, "ListUploads", prefix); err != nil {
			yield(batholith.Upload{}, m.errorf("list uploads of", prefix, err))
			return
		}
		m.mu.Lock()
		var open []batholith.Upload
		for id, u := range m.uploads {
			if strings.HasPrefix(u.key, prefix) {
				open = append(open, batholith.Upload{Key: u.key, UploadID: id})
			}
		}
		m.mu.Unlock()
		slices.SortFunc(open, func(a, b batholith.Upload) int {
			return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.UploadID, b.UploadID))
		})
		for _, u := range open {
			if !yield(u, nil) {
				return
			}
		}
	}
}
