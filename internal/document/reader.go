package document

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/batholith/batholith/internal/confine"
)

// Command is the argument with which the program reads one document: see [Serve].
const Command = "read-document-from-stdin"

// Limits of the process that reads one document.
const (
	maxCPU   = 30        // seconds of CPU time
	maxHeap  = 512 << 20 // bytes of memory
	maxStack = 64 << 20  // bytes of one stack
	patience = 5 * time.Minute
)

// A process that cannot be started, or that somebody stops, is started again: the machine may lack memory or processes for a moment. The waits
// between the attempts are firstWait, doubled each time; together 6.3 s.
const (
	attempts  = 7
	firstWait = 100 * time.Millisecond
)

// Reader reads documents in processes of their own, at most one for each CPU at a time. It is safe
// for concurrent use.
type Reader struct {
	program confine.Program
	heap    int // bytes of memory that a process may have
	slots   chan struct{}
	run     func(*exec.Cmd) error // starts a process and waits for its end
}

// NewReader returns a reader that starts the running program with [Command].
func NewReader() (*Reader, error) {
	program, err := confine.Self()
	if err != nil {
		return nil, err
	}
	return &Reader{program: program, heap: maxHeap, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), run: (*exec.Cmd).Run}, nil
}

// Pages reads the text of each page. The error is an [*Unreadable], unless the process cannot be
// started.
func (r *Reader) Pages(format string, data []byte) (pages []string, err error) {
	if !Readable(format) {
		return Pages(format, nil, DefaultLimits)
	}
	r.slots <- struct{}{}
	defer func() { <-r.slots }()
	for n := range attempts {
		pages, err = r.once(format, data)
		if _, unreadable := errors.AsType[*Unreadable](err); err == nil || unreadable || n == attempts-1 {
			break
		}
		time.Sleep(firstWait << n)
	}
	return pages, err
}

// once reads a document in one process.
func (r *Reader) once(format string, data []byte) ([]string, error) {
	// The CPU time is the limit. The time of the clock only ends a process that hangs without
	// computing.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := r.program.Command(ctx, Command, format, strconv.Itoa(r.heap))
	cmd.Stdin = bytes.NewReader(data)
	var out bytes.Buffer
	said := confine.Beginning{Most: 4 << 10}
	cmd.Stdout, cmd.Stderr = &out, &said
	err := r.run(cmd)
	if err == nil {
		return outcome(out.Bytes())
	}
	if cause := confine.Death(err, ctx.Err() != nil, said.String()); cause != confine.Elsewhere {
		return nil, death(cause, err)
	}
	return nil, fmt.Errorf("run a process that reads a document: %w", err)
}

// answer is what the process writes.
type answer struct {
	Pages      []string `json:"pages,omitempty"`
	Unreadable string   `json:"unreadable,omitempty"`
}

// outcome reads the answer of a process that has ended well.
func outcome(out []byte) ([]string, error) {
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		return nil, fmt.Errorf("read the answer of the process that reads a document: %w", err)
	}
	if a.Unreadable != "" {
		return nil, &Unreadable{a.Unreadable}
	}
	return a.Pages, nil
}

// death returns why the document ended the process that read it.
func death(cause confine.Cause, err error) error {
	switch cause {
	case confine.Time:
		return unreadable("takes more than %d s to read; split it, or give its text", maxCPU)
	case confine.Memory:
		return unreadable("takes more than %d MB of memory to read; split it, or give its text", maxHeap>>20)
	case confine.Stack:
		return unreadable("is nested too deeply to be read; print it to a new file, or give its text")
	}
	return unreadable("cannot be read (%v); print it to a new file, or give its text", err)
}

// Here reads documents in the calling process. It is for tests: a hostile document can end the process.
type Here struct{}

// Pages reads the text of each page.
func (Here) Pages(format string, data []byte) ([]string, error) {
	return Pages(format, data, DefaultLimits)
}
