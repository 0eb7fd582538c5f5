package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/batholith/batholith/internal/follow"
)

// Policies are the policies of a running server, which follow their file. They are safe for concurrent use; Run
// may be called once.
type Policies struct {
	log   *slog.Logger
	state atomic.Pointer[state]

	mu   sync.Mutex
	file string                  // "": there is none
	text follow.Contents[string] // of the file
}

// state is what decisions use now. It is replaced as a whole, so a decision never sees half of a change.
type state struct {
	set  *Set   // nil: there is no file
	note string // why the file's present text does not hold; "" when it does
}

// Open reads the policy file of a server. With file "" every principal may do everything in its own account. The
// error is an [*Error] if the file has mistakes, otherwise it says why the file cannot be read. log may be nil.
func Open(file string, log *slog.Logger) (*Policies, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Policies{log: log}
	apply, err := p.Plan(file)
	if err != nil {
		return nil, err
	}
	apply()
	return p, nil
}

// Plan reads another policy file, or the same one again, and returns what makes p decide by it and follow it. Nothing has changed before apply is
// called. With file "" there are no policies. The errors are those of Open.
func (p *Policies) Plan(file string) (apply func(), err error) {
	var text string
	var set *Set
	if file != "" {
		if text, err = read(file); err != nil {
			return nil, err
		}
		if set, err = Parse(file, text); err != nil {
			return nil, err
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.file, p.text = file, follow.Since(text)
		p.state.Store(&state{set: set})
	}, nil
}

// Load reads and checks a policy file once. Its errors are those of Open.
func Load(file string) (*Set, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// read returns the text of a regular file, at most one byte more than the allowed size, so that Parse can refuse a
// longer one.
func read(file string) (string, error) {
	text, err := follow.Read(file, maxFile+1)
	switch {
	case errors.Is(err, follow.ErrNotRegular):
		return "", fmt.Errorf("read the policies: %s is not a regular file", file)
	case err != nil:
		return "", fmt.Errorf("read the policies: %w", err)
	}
	return text, nil
}

// Decide returns whether a caller may do something, and why. It reads memory only and does not block.
func (p *Policies) Decide(_ context.Context, r Request) Decision {
	if s := p.state.Load(); s.set != nil {
		return s.set.Decide(r)
	}
	if d, ok := owned(r); !ok {
		return d
	}
	return Decision{Allowed: true, Reason: "No policy file is set: every principal may do everything in its own account."}
}

// Unrestricted reports whether no policy file is set, so that every principal may do everything in its own
// account.
func (p *Policies) Unrestricted() bool { return p.state.Load().set == nil }

// Note returns why the policies in use are not those of the file, or "" if they are. It holds no text of the file,
// since /readyz shows it.
func (p *Policies) Note() string { return p.state.Load().note }

// Run follows the file until ctx ends, and returns its error. If the file is removed, cannot be read or has
// mistakes, the previous policies stay in use and Note says so. After a restart there are no previous ones, and
// Open fails.
func (p *Policies) Run(ctx context.Context) error {
	return follow.Run(ctx, p.look)
}

// look reads the file once. A text takes effect, or is refused, at the second look that finds it. Otherwise a file
// that is still being written could be used without the policies that forbid.
func (p *Policies) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == "" {
		return
	}
	text, err := read(p.file)
	if err != nil {
		p.text.Lost()
		p.keep("it cannot be read", err)
		return
	}
	if !p.text.Changed(text) {
		return
	}
	set, err := Parse(p.file, text)
	if err != nil {
		p.keep("it has errors", err)
		return
	}
	p.state.Store(&state{set: set})
	p.log.Info("the policies were read again", "file", p.file, "policies", set.Len())
}

// keep keeps the previous policies in use, sets the note and logs the error, once for each reason. The caller holds mu.
func (p *Policies) keep(reason string, err error) {
	now := p.state.Load()
	note := fmt.Sprintf("the previous policies of %s stay in force, because %s; see the log", p.file, reason)
	var wrong *Error
	if errors.As(err, &wrong) {
		note = fmt.Sprintf("the previous policies of %s stay in force, because it has an error at %s; see the log", p.file, wrong.Problems[0].place())
	}
	if now.note == note {
		return
	}
	p.state.Store(&state{set: now.set, note: note})
	p.log.Error("the policy file is missing or has errors; the previous policies stay in force", "file", p.file, "err", err)
}
