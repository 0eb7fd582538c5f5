package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// mostFileBytes is the largest file if the settings name no limit: what one object has in parts of blob.MinPartBytes, of which S3 takes 10,000.
const mostFileBytes = 10_000 * blob.MinPartBytes

// purposeBytes is the longest value of a field beside the file.
const purposeBytes = 1 << 10

// uploadFile stores a file. Its bytes go to the bucket as they come, one part of an upload in memory. The object appears when it is whole and its
// purpose is known.
func (h *handler) uploadFile(ctx context.Context, c *call) error {
	parts, err := c.r.MultipartReader()
	if err != nil {
		return wrong("file", "The body is not multipart/form-data with a file and a purpose.")
	}
	leave, err := h.enter(ctx, c.r.ContentLength)
	if err != nil {
		return err
	}
	defer leave()
	up := &upload{h: h, c: c, id: newFileID(h.Now()), most: h.LimitsNow().MaxFileBytes}
	if up.most <= 0 || up.most > mostFileBytes {
		up.most = mostFileBytes
	}
	err = up.read(ctx, parts)
	if err == nil {
		err = up.check()
	}
	if err == nil && up.seconds > 0 {
		err = up.bucket.Put(ctx, expiresKey(up.id, up.seconds), nil)
		failpoint.Here("openai.expiry-stored")
	}
	if err != nil {
		return errors.Join(err, up.abort())
	}
	if err := up.w.Close(); err != nil {
		return err
	}
	up.w = nil
	failpoint.Here("openai.file-stored")
	f := file{id: up.id, name: up.name, bytes: up.bytes, key: up.key}
	f.created, _ = timeOf(up.id)
	f.expires = after(f.created, up.seconds)
	return c.send(f.object())
}

// Memory of an upload: a part, and a piece of the body.
const (
	pieceBytes  = 64 << 10
	uploadBytes = blob.MinPartBytes + pieceBytes
)

// enter waits for the turn of an upload of so many bytes (-1: unknown) and for its memory, of the budget that chunks and answers of jobs share. The
// first upload never waits for memory.
func (h *handler) enter(ctx context.Context, length int64) (leave func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, uploadPatience)
	defer cancel()
	busy := func(format string, a ...any) *Error {
		e := refusal(http.StatusServiceUnavailable, "server_overloaded", "", format, a...)
		e.Again = uploadAgain
		return e
	}
	if h.uploads.Acquire(waiting, 1) != nil {
		return nil, busy("%d files are being uploaded; try again in %d seconds.", maxUploads, int(uploadAgain.Seconds()))
	}
	bytes := int64(uploadBytes)
	if length > 0 {
		bytes = min(bytes, length+pieceBytes)
	}
	hold := h.room.Hold()
	if hold.Reserve(waiting, bytes) != nil {
		h.uploads.Release(1)
		return nil, busy("The server has no memory for another upload (setting memory); try again in %d seconds.", int(uploadAgain.Seconds()))
	}
	return func() { hold.Release(); h.uploads.Release(1) }, nil
}

// upload is a file that is being received.
type upload struct {
	h       *handler
	c       *call
	id      string
	most    int64
	name    string
	key     string
	purpose string
	bytes   int64
	expires *expiry // nil: never
	seconds int64   // of it, when it is checked
	bucket  blob.Bucket
	w       *blob.Writer // nil: the file has not come
}

// read reads the parts of the form, in any order.
func (u *upload) read(ctx context.Context, parts *multipart.Reader) error {
	rolling := &patient{c: u.c}
	for {
		rolling.extend()
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut(err)
		}
		switch part.FormName() {
		case "file":
			err = u.store(ctx, part, rolling)
		case "purpose":
			u.purpose, err = value(part)
		default:
			err = u.other(part)
		}
		if err != nil {
			return err
		}
	}
}

// other reads a field beside the file and its purpose. Unknown ones are ignored.
func (u *upload) other(part *multipart.Part) error {
	text, err := value(part)
	if err != nil {
		return err
	}
	e := expiry{}
	if u.expires != nil {
		e = *u.expires
	}
	known, err := e.field(part.FormName(), text)
	if known {
		u.expires = &e
	}
	return err
}

// value reads a field that is no file.
func value(part *multipart.Part) (string, error) {
	text, err := io.ReadAll(io.LimitReader(part, purposeBytes+1))
	if err != nil {
		return "", cut(err)
	}
	if len(text) > purposeBytes {
		return "", wrong(part.FormName(), "%s is longer than %d bytes.", show(part.FormName()), purposeBytes)
	}
	return string(text), nil
}

// cut is the refusal of a body that breaks off or is no form.
func cut(err error) error {
	return refusal(http.StatusBadRequest, "", "file", "The form cannot be read: %s. Send the request again.", show(err.Error()))
}

// store writes the file to the bucket.
func (u *upload) store(ctx context.Context, part *multipart.Part, rolling *patient) error {
	if u.w != nil {
		return wrong("file", "The form has two files; upload one at a time.")
	}
	u.name = part.FileName()
	if u.name == "" {
		u.name = "file" + inputSuffix
	}
	if len(u.name) > longestFileName {
		return wrong("file", "The name of the file has %d bytes; it has at most %d.", len(u.name), longestFileName)
	}
	u.key = filesFolder + u.id + "/" + escape(u.name)
	b, err := u.h.open(ctx, u.c.who, ActionWrite, u.key)
	if err != nil {
		return err
	}
	u.bucket = b
	u.w = blob.NewWriter(ctx, b, u.key, blob.WriterOptions{PartBytes: blob.MinPartBytes})
	piece := make([]byte, pieceBytes)
	for {
		rolling.extend()
		n, err := part.Read(piece)
		if u.bytes += int64(n); u.bytes > u.most {
			return refusal(http.StatusRequestEntityTooLarge, "file_too_large", "file", "The file has more than %d bytes (quota max_file_bytes).", u.most)
		}
		if _, err := u.w.Write(piece[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut(err)
		}
	}
}

// check checks what is known when the whole form has come.
func (u *upload) check() (err error) {
	if u.seconds, err = u.expires.check("expires_after"); err != nil {
		return err
	}
	switch {
	case u.w == nil:
		return refusal(http.StatusBadRequest, "missing_required_parameter", "file", "file is missing: the form has no file.")
	case u.purpose == "":
		return refusal(http.StatusBadRequest, "missing_required_parameter", "purpose", "purpose is missing; write batch.")
	case u.purpose != purposeInput:
		return wrong("purpose", "purpose is '%s'; files are for batches here, so write batch.", show(u.purpose))
	case u.bytes == 0:
		return refusal(http.StatusBadRequest, "empty_file", "file", "The file is empty.")
	}
	return nil
}

// abort gives the upload up.
func (u *upload) abort() error {
	if u.w == nil {
		return nil
	}
	return u.w.Abort()
}

// patient moves the deadlines of a connection, so that a transfer may take as long as bytes flow.
type patient struct{ c *call }

func (p *patient) extend() {
	at := http.NewResponseController(p.c.w)
	_ = at.SetReadDeadline(time.Now().Add(stallTime)) // a writer without deadlines has none to move
	_ = at.SetWriteDeadline(time.Now().Add(2 * stallTime))
}

// fileContent answers the bytes of a file.
func (h *handler) fileContent(ctx context.Context, c *call) error {
	f, err := h.file(ctx, c.who, c.name, ActionRead)
	if err != nil {
		return err
	}
	b, err := h.open(ctx, c.who, ActionRead, f.key)
	if err != nil {
		return err
	}
	rolling := &patient{c: c}
	r := blob.NewReader(ctx, b, f.key, f.etag, 0, f.bytes)
	defer r.Close()
	piece := make([]byte, pieceBytes)
	n, err := io.ReadFull(r, piece)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read file %s: %w", f.id, err)
	}
	head := c.w.Header()
	head.Set("Content-Type", "application/octet-stream")
	head.Set("Content-Length", strconv.FormatInt(f.bytes, 10))
	head.Set("X-Content-Type-Options", "nosniff")
	for {
		rolling.extend()
		if _, err := c.w.Write(piece[:n]); err != nil {
			return nil // the client has gone
		}
		n, err = io.ReadFull(r, piece)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			h.Log.Warn("a file could not be read to its end", "request", c.id, "file", f.id, "err", err)
			panic(http.ErrAbortHandler) // the client must not take what it has for the whole
		}
	}
}
