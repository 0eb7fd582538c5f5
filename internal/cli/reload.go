package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/follow"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/sigv4"
)

// A running server reads its settings again
//
//	after SIGHUP
//	when the content of the settings file, or of a file with certificate authorities that it names, has changed
//	when `batholith reload` asks for it, by a file in the data directory
//
// in the same way as at the start: flags and variables override the file. All of it is checked before any of it is used, so settings with
// an error change nothing. Then each part is replaced as a whole:
//
//	callers in both the old and the new settings; policies; roles, buckets, encryption keys; networks, limits, models; all callers
//
// In this order a request is never decided by the key of one and the policies of the other. A crash in between loses nothing: the next
// start reads the file.

// rereading says how a server reads its settings again.
type rereading struct {
	sources config.Sources
	raw     *config.Config             // as they were read last, before the server added its own keys and roles
	adopt   func(*config.Config) error // adds what the data directory adds at the start
	level   *slog.LevelVar             // of the log
	data    string                     // folder in which batholith reload asks
}

// Files in the data directory by which batholith reload asks for a reload and gets its result.
const (
	askFile    = "reload.ask"
	answerFile = "reload.json"
)

// reloaded is the result of a reload, as batholith reload prints it.
type reloaded struct {
	ID           string    `json:"id,omitempty"` // of the question; "": nobody asked
	At           time.Time `json:"at"`
	File         string    `json:"file,omitempty"`
	Changed      []string  `json:"changed"`
	NeedsRestart []string  `json:"needsRestart"`
	Problems     []problem `json:"problems,omitempty"` // why nothing was changed
}

// problem is why settings cannot be used.
type problem struct {
	What   string `json:"what"` // with its place
	Remedy string `json:"remedy,omitempty"`
}

// reloads are what /readyz says of the settings file.
type reloads struct{ said atomic.Pointer[string] }

func (r *reloads) note() string {
	if text := r.said.Load(); text != nil {
		return *text
	}
	return ""
}

// followSettings reloads the settings until ctx ends.
func (s *service) followSettings(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, name := range []string{askFile, answerFile} { // of a command that was killed
		_ = os.Remove(filepath.Join(s.o.Again.data, name)) // mostly there is none; a question that stays is answered
	}
	content := follow.Since(s.content())
	if s.changedSinceStart() {
		s.reload(ctx, "")
	}
	due := make(chan string, 1) // the id of a question, "" without one
	go func() {                 // ends with ctx
		_ = follow.Run(ctx, func() {
			id, asked := s.question()
			if content.Changed(s.content()) || asked {
				select {
				case due <- id:
				case <-ctx.Done():
				}
			}
		})
	}()
	for {
		id := ""
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hangups:
		case id = <-due:
		}
		r := s.reload(ctx, id)
		if id != "" {
			s.answer(r)
		}
	}
}

// changedSinceStart reports whether the settings file has changed between the start of the program and now.
func (s *service) changedSinceStart() bool {
	_, changed, later, err := config.Reload(s.o.Again.sources, s.o.Again.raw)
	return err != nil || len(changed) > 0 || len(later) > 0
}

// question returns the id of a question of batholith reload, and removes it.
func (s *service) question() (id string, asked bool) {
	path := filepath.Join(s.o.Again.data, askFile)
	text, err := files.ReadFile(path)
	if err != nil || len(text) == 0 {
		return "", false
	}
	if err := os.Remove(path); err != nil {
		return "", false // another look answers it
	}
	return strings.TrimSpace(string(text)), true
}

// answer writes the result of a reload for batholith reload.
func (s *service) answer(r reloaded) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = files.WriteFile(filepath.Join(s.o.Again.data, answerFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		s.o.Log.Warn("write the result of a reload", "err", err)
	}
}

// content is the text of the settings file and of the files with certificate authorities that the settings name, or why it cannot be read.
func (s *service) content() string {
	var all strings.Builder
	for _, path := range followed(s.o.Again.sources.File, s.settings()) {
		text, err := follow.Read(path, 64<<20)
		all.WriteString(fmt.Sprintf("%s %v %d\n%s\n", path, err, len(text), text))
	}
	return all.String()
}

// followed are the files whose change reloads the settings. The other files that settings name are followed by the parts that use them.
func followed(file string, c *config.Config) (paths []string) {
	if file != "" {
		paths = append(paths, file)
	}
	for _, m := range c.Models {
		for _, b := range m.Backends {
			if b.CAFile != "" && !slices.Contains(paths, b.CAFile) {
				paths = append(paths, b.CAFile)
			}
		}
	}
	return paths
}

// reload reads the settings and uses them. It logs the result.
func (s *service) reload(ctx context.Context, id string) reloaded {
	a := s.o.Again
	r := reloaded{ID: id, At: time.Now().UTC(), File: a.sources.File, Changed: []string{}, NeedsRestart: []string{}}
	next, changed, later, err := config.Reload(a.sources, a.raw)
	var warnings []string
	if err == nil {
		warnings = next.Warnings
		err = s.use(ctx, next)
	}
	if err != nil {
		r.Problems = problemsOf(err)
		said := "the settings cannot be used, so the previous ones stay in force; see the log"
		if wrong, ok := errors.AsType[*config.Error](err); ok {
			said = fmt.Sprintf("the settings have an error (%s), so the previous ones stay in force; see the log", placeOf(wrong.Problems[0]))
		}
		s.reloads.said.Store(&said)
		for _, p := range r.Problems {
			s.o.Log.Error("the settings cannot be used; the previous ones stay in force", "err", p.What, "remedy", p.Remedy)
		}
		return r
	}
	r.Changed, r.NeedsRestart = append(r.Changed, changed...), append(r.NeedsRestart, later...)
	said := ""
	if len(later) > 0 {
		said = "changes of these settings take effect at the next start: " + strings.Join(later, ", ")
	}
	if before := s.reloads.note(); len(later) > 0 && before != said {
		s.o.Log.Warn("a change of these settings needs a restart", "settings", strings.Join(later, ", "))
	}
	s.reloads.said.Store(&said)
	if len(changed) > 0 {
		for _, w := range warnings {
			s.o.Log.Warn(w)
		}
		s.o.Log.Info("the settings were read again", "changed", strings.Join(changed, ", "))
	}
	return r
}

// placeOf is where a problem is, without its text.
func placeOf(p config.Problem) string {
	if p.Origin.Name == "" {
		return "of " + p.Origin.Source
	}
	return p.Origin.String()
}

// problemsOf splits an error into what batholith reload prints.
func problemsOf(err error) (all []problem) {
	if wrong, ok := errors.AsType[*config.Error](err); ok {
		for _, p := range wrong.Problems {
			all = append(all, problem{p.String(), p.Remedy})
		}
		return all
	}
	p := problem{What: plain.Redact(err.Error())}
	var hinted *hintedError
	if errors.As(err, &hinted) {
		p.Remedy = hinted.remedy
	}
	return []problem{p}
}

// use replaces the settings in use by those that were read. Nothing has changed if it returns an error, except for one of the start of a model
// server.
func (s *service) use(ctx context.Context, read *config.Config) error {
	c := *read
	c.Roles = slices.Clone(read.Roles)
	if err := s.o.Again.adopt(&c); err != nil {
		return err
	}
	if c.API() {
		if err := s.adoptAdmin(ctx, &c); err != nil {
			return err
		}
	}
	now := s.settings()
	if c.EmbeddedS3() {
		addOwnRoles(&c)
		keepRolesKeys(&c, now)
		giveRolesKeys(&c)
	}
	apply, err := s.plan(&c)
	if err != nil {
		return err
	}
	unchanged := c
	unchanged.Credentials = slices.DeleteFunc(slices.Clone(c.Credentials), func(k config.Credential) bool {
		return !slices.ContainsFunc(now.Credentials, func(o config.Credential) bool { return sameCaller(k, o) })
	})
	unchanged.APIKeys = slices.DeleteFunc(slices.Clone(c.APIKeys), func(k config.APIKey) bool {
		return !slices.ContainsFunc(now.APIKeys, func(o config.APIKey) bool {
			return k.Key == o.Key && k.Principal == o.Principal && k.Account == o.Account && slices.Equal(k.Groups, o.Groups)
		})
	})
	s.admit(&unchanged)
	err = apply()
	s.now.Store(&c)
	s.admit(&c)
	s.o.Again.raw = read
	s.o.Again.level.Set(logLevel(c.Log))
	return err
}

// sameCaller reports whether two access keys are the same key of the same caller.
func sameCaller(a, b config.Credential) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey && a.Principal == b.Principal && a.Account == b.Account && slices.Equal(a.Groups, b.Groups)
}

// admit makes the callers of c those of the API and of the embedded S3.
func (s *service) admit(c *config.Config) {
	if s.callers != nil {
		s.callers.now.Store(keyRing(c))
	}
	if s.s3 != nil {
		s.s3.SetAccounts(s3Accounts(c))
	}
}

// plan opens everything that the settings name, and returns what puts it in the place of what is used now.
func (s *service) plan(c *config.Config) (apply func() error, err error) {
	places, err := placesOf(c, s.base)
	if err != nil {
		return nil, err
	}
	ring, err := c.Ring()
	if err != nil {
		return nil, err
	}
	through, err := c.Network.Open()
	if err != nil {
		return nil, err
	}
	policies := func() {}
	if s.policy != nil {
		if policies, err = s.policy.Plan(c.Policy); err != nil {
			return nil, err
		}
	}
	to := engine.Settings{Models: modelsWith(c, s.servers), Networks: through, Limits: c.Limits.Rules(), Attempts: c.Attempts, Reuse: reusesTwins(c), Earlier: reusesEarlier(c),
		Sourced: c.Provenance == "lines", Silent: c.Echo == "off", StrictBodies: c.StrictBodies}
	to.Subnets, to.SecurityGroups = within(c.Network)
	serve, err := s.engine.Plan(to)
	if err != nil {
		return nil, err
	}
	return func() error {
		policies()
		s.places.Replace(places)
		s.dataKeys.Replace(ring)
		if s.keys != nil {
			s.keys.Replace(ring)
		}
		return serve()
	}, nil
}

// keepRolesKeys gives roles without keys the keys that the server has made for them before.
func keepRolesKeys(c, now *config.Config) {
	for i := range c.Roles {
		for _, was := range now.Roles {
			if r := &c.Roles[i]; r.ARN == was.ARN && r.AccessKeyID == "" && strings.HasPrefix(was.AccessKeyID, ownKey) {
				r.AccessKeyID, r.SecretAccessKey = was.AccessKeyID, was.SecretAccessKey
			}
		}
	}
}

var _ sigv4.Keys = (*rings)(nil)

// askReload asks the server of a data directory to reload, and returns the result. It waits until ctx ends. It leaves no file.
func askReload(ctx context.Context, dir, id string) (r reloaded, err error) {
	if err := files.WriteFile(filepath.Join(dir, askFile), []byte(id+"\n"), 0o600); err != nil {
		return r, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := files.ReadFile(filepath.Join(dir, answerFile))
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return r, err
		case err == nil && json.Unmarshal(text, &r) == nil && r.ID == id:
			return r, os.Remove(filepath.Join(dir, answerFile))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = os.Remove(filepath.Join(dir, askFile))
			return r, context.Cause(ctx)
		}
	}
}
