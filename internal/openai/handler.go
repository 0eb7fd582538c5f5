package openai

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
)

// Jobs are the jobs of the caller of ctx (bedrock.WithCaller). Their errors are a [bedrock.Refusal], or faults.
type Jobs interface {
	CreateBatch(ctx context.Context, in *bedrock.CreateModelInvocationJobInput, batch batholith.Batch) (batholith.Job, error)
	// Batch returns a job and the changes of its status, oldest first.
	Batch(ctx context.Context, id string) (batholith.Job, []batholith.Change, error)
	// Batches returns up to limit+1 jobs that were created here, newest first: the newest, or those after a job. name is part of their names.
	Batches(ctx context.Context, name, after string, limit int) ([]batholith.Job, error)
	StopBatch(ctx context.Context, id string) error
}

// Actions on objects, in the words of policies.
const (
	ActionRead   = "s3:GetObject"
	ActionWrite  = "s3:PutObject"
	ActionList   = "s3:ListBucket"
	ActionDelete = "s3:DeleteObject"
)

// Options configure a handler. Optional are Admit, Known and Log.
type Options struct {
	Jobs Jobs
	// Open opens a bucket for a caller who is permitted the action on the key; otherwise the error is a bedrock.Refusal.
	Open func(ctx context.Context, who bedrock.Caller, action, bucket, key string) (blob.Bucket, error)
	// Bucket is the bucket of an account's files, and Role the role of its batches.
	Bucket, Role func(account string) string

	LimitsNow func() batholith.Limits
	Profile   bedrock.Profile

	// Admit checks a request's head before its body is read, and reports whether the sender is verified then. Authenticate returns the sender of
	// a whole request. Known is called with it.
	Admit        func(r *http.Request) (verified bool, err error)
	Authenticate func(r *http.Request, body []byte) (bedrock.Caller, error)
	Known        func(ctx context.Context, operation string, who bedrock.Caller)
	Log          *slog.Logger
	Now          func() time.Time
	// Room is the memory budget of the process, of which uploads take their part; nil: one of their own.
	Room *memory.Budget
}

// Bounds of requests.
const (
	maxBody        = 1 << 20          // bytes of a request that is no upload
	maxUploads     = 32               // files that are received at the same time
	uploadPatience = 30 * time.Second // how long another one waits for its turn and for memory
	uploadAgain    = 30 * time.Second // after which its client may try again
	stallTime      = time.Minute      // without a byte from the client, or without one that it takes
)

// handler is immutable but for uploads and room.
type handler struct {
	Options
	uploads *semaphore.Weighted
	room    *memory.Account // of the uploads
}

// NewHandler returns the handler of the requests for which [Is] is true.
func NewHandler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Known == nil {
		o.Known = func(context.Context, string, bedrock.Caller) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Room == nil {
		o.Room = memory.NewBudget(4 * uploadBytes)
	}
	return &handler{Options: o, uploads: semaphore.NewWeighted(maxUploads), room: o.Room.Account(uploadBytes)}
}

// Is reports whether a request is for this package.
func Is(r *http.Request) bool {
	_, ok := below(r)
	return ok
}

// below returns the path of a request below the API, without a slash at its end.
func below(r *http.Request) (path string, ok bool) {
	for _, prefix := range []string{"/v1/", "/openai/v1/"} {
		path, found := strings.CutPrefix(r.URL.EscapedPath(), prefix)
		if word, _, _ := strings.Cut(path, "/"); found && (word == "files" || word == "batches") {
			return strings.TrimSuffix(path, "/"), true
		}
	}
	return "", false
}

// call is one request.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	id   string // of the request
	who  bedrock.Caller
	name string // the part of the path that names a file or a batch, unescaped
	body []byte
}

// operation is one operation. Its run writes an answer, or returns an error and has written nothing.
type operation struct {
	name    string // for the audit log, with "OpenAI" before it
	method  string
	first   string // of the path
	last    string // after the name; "": nothing
	named   bool
	streams bool // the body is read by run
	run     func(h *handler, ctx context.Context, c *call) error
}

var operations = []operation{
	{name: "CreateBatch", method: http.MethodPost, first: "batches", run: (*handler).createBatch},
	{name: "ListBatches", method: http.MethodGet, first: "batches", run: (*handler).listBatches},
	{name: "GetBatch", method: http.MethodGet, first: "batches", named: true, run: (*handler).getBatch},
	{name: "CancelBatch", method: http.MethodPost, first: "batches", named: true, last: "cancel", run: (*handler).cancelBatch},
	{name: "UploadFile", method: http.MethodPost, first: "files", streams: true, run: (*handler).uploadFile},
	{name: "ListFiles", method: http.MethodGet, first: "files", run: (*handler).listFiles},
	{name: "GetFile", method: http.MethodGet, first: "files", named: true, run: (*handler).getFile},
	{name: "GetFileContent", method: http.MethodGet, first: "files", named: true, last: "content", run: (*handler).fileContent},
	{name: "DeleteFile", method: http.MethodDelete, first: "files", named: true, run: (*handler).deleteFile},
}

// find returns the operation of a request.
func find(r *http.Request) (op operation, name string, err error) {
	path, _ := below(r)
	parts := strings.Split(path, "/")
	for _, op := range operations {
		want := []string{op.first}
		if op.named {
			want = append(want, "")
		}
		if op.last != "" {
			want = append(want, op.last)
		}
		if op.method != r.Method || len(parts) != len(want) || parts[0] != op.first || op.last != "" && parts[len(parts)-1] != op.last {
			continue
		}
		if op.named {
			if name, err = url.PathUnescape(parts[1]); err != nil || name == "" {
				break
			}
		}
		return op, name, nil
	}
	return op, "", refusal(http.StatusNotFound, "unknown_url", "", "There is no operation %s %s.", show(r.Method), show(r.URL.EscapedPath()))
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: w, r: r, id: uuid.NewString()}
	w.Header().Set("x-amzn-RequestId", c.id)
	w.Header().Set("X-Request-Id", c.id)
	closeUnread := bedrock.Unread(r)
	err := h.serve(c)
	if err == nil {
		return
	}
	closeUnread(w.Header())
	h.refuse(c, err)
}

// serve carries out one request. It has written nothing if it returns an error.
func (h *handler) serve(c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // what net/http compares
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	op, name, err := find(c.r)
	if err != nil {
		return err
	}
	c.name = name
	verified, err := h.Admit(c.r)
	if err != nil {
		return err
	}
	if op.streams && !verified {
		return refusal(http.StatusBadRequest, "", "", "Send this request with a bearer key (Authorization: Bearer …). A signature covers the whole body, which is not kept here.")
	}
	if !op.streams {
		c.body, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return refusal(http.StatusRequestEntityTooLarge, "", "", "The body is longer than %d bytes.", long.Limit)
		case err != nil:
			return refusal(http.StatusBadRequest, "", "", "The connection ended before the whole body had arrived. Send the request again.")
		}
	}
	if c.who, err = h.Authenticate(c.r, c.body); err != nil {
		return err
	}
	ctx := bedrock.WithCaller(c.r.Context(), c.who)
	h.Known(ctx, "OpenAI"+op.name, c.who)
	return op.run(h, ctx, c)
}

// send answers with a JSON document.
func (c *call) send(v any) error {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(body) // a client that has gone needs no answer
	return nil
}

// newID returns random letters and digits.
func newID() string { return strings.ToLower(rand.Text()[:16]) }
