package authz

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// pollTime is how often the file is read again. A change counts when two reads in a row have found it, so that a file that is being written
// is never taken for a whole one: a half-written file could lack the policies that forbid.
const pollTime = time.Second

// Policies are the policies of a running server. They are safe for concurrent use; Run may be called once.
type Policies struct {
	file  string // "": there is none
	log   *slog.Logger
	state atomic.Pointer[state]

	// Of Run alone: the text that was read last, and the last that was taken or refused. The zero value is no text.
	seen, judged digest
}

type digest [sha256.Size]byte

// state is what holds now.
type state struct {
	set  *Set   // nil: there is no file
	note string // why the file's present text does not hold; "" when it does
}

// Open reads the policy file of a server; "" is none. Its error is an [*Error], or tells why the file cannot be read.
func Open(file string, log *slog.Logger) (*Policies, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Policies{file: file, log: log}
	if file == "" {
		p.state.Store(&state{})
		return p, nil
	}
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	set, err := Parse(file, text)
	if err != nil {
		return nil, err
	}
	p.seen = sha256.Sum256([]byte(text))
	p.judged = p.seen
	p.state.Store(&state{set: set})
	return p, nil
}

// Load reads and checks a policy file once.
func Load(file string) (*Set, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// read returns the text of a file, and one byte more than is allowed of a longer one.
func read(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read the policies: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read the policies: %s is no file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the policies: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("read the policies: %w", err)
	}
	return string(text), nil
}

// Decide tells whether a caller may do something.
func (p *Policies) Decide(_ context.Context, r Request) Decision {
	if s := p.state.Load(); s.set != nil {
		return s.set.Decide(r)
	}
	if d, ok := owned(r); !ok {
		return d
	}
	return Decision{Allowed: true, Reason: "No policy file is set: every principal may do everything in its own account."}
}

// Unrestricted tells that no policy file is set, so that every principal may do everything in its own account.
func (p *Policies) Unrestricted() bool { return p.state.Load().set == nil }

// Note says why the policies that hold are not those of the file; "" when they are.
func (p *Policies) Note() string { return p.state.Load().note }

// Run follows the file until ctx ends. A file that cannot be read, or is faulty, changes nothing but the note: the policies of before hold.
func (p *Policies) Run(ctx context.Context) error {
	if p.file == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			p.look()
		}
	}
}

// look reads the file once, and takes a text that it has found twice.
func (p *Policies) look() {
	text, err := read(p.file)
	if err != nil {
		p.seen, p.judged = digest{}, digest{}
		p.keep("it cannot be read", err)
		return
	}
	sum := digest(sha256.Sum256([]byte(text)))
	if sum != p.seen || sum == p.judged {
		p.seen = sum
		return
	}
	p.judged = sum
	set, err := Parse(p.file, text)
	if err != nil {
		p.keep("it has errors", err)
		return
	}
	p.state.Store(&state{set: set})
	p.log.Info("the policies were read again", "file", p.file, "policies", set.Len())
}

// keep lets the policies of before hold, and says why, once.
func (p *Policies) keep(reason string, err error) {
	now := p.state.Load()
	note := fmt.Sprintf("the policies of %s are those of before, because %s; see the log", p.file, reason)
	var wrong *Error
	if errors.As(err, &wrong) {
		note = fmt.Sprintf("the policies of %s are those of before, because it has an error at %s; see the log", p.file, wrong.Problems[0].place())
	}
	if now.note == note {
		return
	}
	p.state.Store(&state{set: now.set, note: note})
	p.log.Error("the policy file was changed and is not taken: the policies of before hold", "file", p.file, "err", err)
}
