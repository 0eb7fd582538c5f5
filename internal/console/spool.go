package console

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// Bounds of uploads through the console. The command submit and S3 clients have none of them.
const (
	mostUpload   = 2 << 30 // bytes of one file
	mostSpooled  = 8 << 30 // bytes of all files that wait for their use
	mostDrafts   = 64
	draftTime    = time.Hour // that a file waits
	uploadTime   = time.Hour
	fieldBytes   = 4 << 10 // of a form's field
	mostFields   = 16
	arrivalPause = time.Minute // for the next bytes of a file
)

// spool is a folder of files that were uploaded and are not used yet. It counts the bytes before they are written.
type spool struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	bytes  int64
	drafts map[string]*draft // by id
}

// newSpool empties the folder: its files belong to sessions of an earlier process.
func newSpool(dir string, now func() time.Time) (*spool, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty the folder for uploads of the console: %w", err)
	}
	return &spool{dir: dir, now: now, drafts: map[string]*draft{}}, nil
}

// received is a file that a browser has sent.
type received struct {
	spool  *spool
	path   string
	name   string // without folders
	bytes  int64
	fields map[string]string
	file   *os.File // while it is written
	once   sync.Once
}

func (r *received) open() (*os.File, error) { return os.Open(r.path) }

// remove deletes the file. It may be called again.
func (r *received) remove() {
	r.once.Do(func() {
		os.Remove(r.path)
		r.spool.give(r.bytes)
	})
}

// take counts bytes; ok is false if there is no room for them.
func (s *spool) take(n int64) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+n > mostSpooled {
		return false
	}
	s.bytes += n
	return true
}

func (s *spool) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= n
}

// patient gives the request time for a long upload, of a browser to the console or of the console to a bucket.
func (v *visit) patient() error {
	rc, until := http.NewResponseController(v.w), time.Now().Add(uploadTime)
	return errors.Join(rc.SetReadDeadline(until), rc.SetWriteDeadline(until))
}

// receive reads a form with one file, which must be its last part. The form's token is checked before the file is read.
func (v *visit) receive() (*received, error) {
	reader, err := v.r.MultipartReader()
	if err != nil {
		return nil, badRequest("Choose a file.")
	}
	if err := v.patient(); err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for {
		part, err := reader.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, badRequest("Choose a file.")
		case err != nil:
			return nil, badRequest("The upload broke off. Send it again.")
		case part.FormName() != "file":
			if len(fields) >= mostFields {
				return nil, badRequest("The form has too many fields.")
			}
			text, err := io.ReadAll(io.LimitReader(part, fieldBytes+1))
			if err != nil || len(text) > fieldBytes {
				return nil, badRequest("The field %s is too long.", part.FormName())
			}
			fields[part.FormName()] = string(text)
			continue
		}
		if err := v.checkForm(fields["csrf"]); err != nil {
			return nil, err
		}
		if part.FileName() == "" {
			return nil, badRequest("Choose a file.")
		}
		got, err := v.c.spool.create()
		if err != nil {
			return nil, err
		}
		got.name, got.fields = part.FileName(), fields
		got.name = got.name[strings.LastIndexAny(got.name, `/\`)+1:]
		if err := v.store(got, part); err != nil {
			got.remove()
			return nil, err
		}
		return got, nil
	}
}

// create makes an empty file in the spool.
func (s *spool) create() (*received, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	r := &received{spool: s, path: filepath.Join(s.dir, rand.Text())}
	var err error
	r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return r, err
}

// Write adds bytes to the file. It refuses those for which there is no room.
func (r *received) Write(p []byte) (int, error) {
	switch n := int64(len(p)); {
	case r.bytes+n > mostUpload:
		return 0, &fault{http.StatusRequestEntityTooLarge, "The file is too large", "The console takes files of up to " + humanize.IBytes(mostUpload) + ", also of records that are made of a table. Use: batholith submit, or an S3 client."}
	case !r.spool.take(n):
		return 0, &fault{http.StatusServiceUnavailable, "There is no room for this file", "Too many files of others wait to be submitted. Try again later, or use: batholith submit"}
	}
	r.bytes += int64(len(p))
	n, err := r.file.Write(p)
	if err != nil {
		err = fmt.Errorf("store an upload: %w", err)
	}
	return n, err
}

// close ends the writing.
func (r *received) close() error { return r.file.Close() }

// store writes a part to the spool.
func (v *visit) store(got *received, part *multipart.Part) error {
	defer got.close()
	rc := http.NewResponseController(v.w)
	buffer := make([]byte, 256<<10)
	for end := time.Now().Add(uploadTime); ; {
		n, err := part.Read(buffer)
		if _, err := got.Write(buffer[:n]); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return got.close()
		case err != nil || time.Now().After(end):
			return badRequest("The upload broke off. Send it again.")
		}
		if err := rc.SetReadDeadline(time.Now().Add(arrivalPause)); err != nil {
			return err
		}
	}
}

// draft is an uploaded file with its validation, of which no job was made yet.
type draft struct {
	*received
	id      string
	session [sha256.Size]byte
	began   time.Time
	model   string
	table   string // file that the records were made of; "": it is the file itself
	found   Validation
}

// keep makes a draft of a file. The oldest one goes if there are too many.
func (s *spool) keep(d *draft) {
	d.id, d.began = rand.Text(), s.now()
	s.mu.Lock()
	var oldest *draft
	if len(s.drafts) >= mostDrafts {
		for _, one := range s.drafts {
			if oldest == nil || one.began.Before(oldest.began) {
				oldest = one
			}
		}
		delete(s.drafts, oldest.id)
	}
	s.drafts[d.id] = d
	s.mu.Unlock()
	if oldest != nil {
		oldest.remove()
	}
}

// find returns a draft of a session, or nil.
func (s *spool) find(id string, of *session) *draft {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.drafts[id]; d != nil && d.session == of.id {
		return d
	}
	return nil
}

// drop removes a draft and its file.
func (s *spool) drop(d *draft) {
	s.mu.Lock()
	delete(s.drafts, d.id)
	s.mu.Unlock()
	d.remove()
}

// tidy removes the drafts that have waited too long, or whose session has ended.
func (s *spool) tidy(lives func([sha256.Size]byte) bool) {
	now := s.now()
	var old []*draft
	s.mu.Lock()
	for id, d := range s.drafts {
		if now.Sub(d.began) > draftTime || !lives(d.session) {
			old = append(old, d)
			delete(s.drafts, id)
		}
	}
	s.mu.Unlock()
	for _, d := range old {
		d.remove()
	}
}
