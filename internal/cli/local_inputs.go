package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
)

// inputsFolder holds, for each job of run that has not ended, the files that it was begun with: DIR/.batholith/inputs/<job id>.json.
const inputsFolder = "inputs"

// begunWith is what a job of run was begun with. A later run over the same goes on with the job.
type begunWith struct {
	Model string                   `json:"modelId"`
	Type  batholith.InvocationType `json:"modelInvocationType"`
	Files []begunFile              `json:"files"`
}

// begunFile is one input file as it was then.
type begunFile struct {
	Path     string `json:"path"` // absolute
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // in nanoseconds since 1970
}

// lookAt reads size and time of every input file.
func (l *local) lookAt() (b begunWith, err error) {
	b.Model, b.Type = l.o.Model, l.o.Type
	for _, f := range l.inputs {
		path, err := filepath.Abs(f.path)
		if err != nil {
			return b, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return b, files.PathAndReason(err)
		}
		b.Files = append(b.Files, begunFile{path, info.Size(), info.ModTime().UnixNano()})
	}
	return b, nil
}

// fingerprint is the same for two runs of which the later goes on with the job of the earlier.
func (b begunWith) fingerprint() string {
	text := fmt.Appendf(nil, "%s\n%s\n", b.Model, b.Type)
	for _, f := range b.Files {
		text = fmt.Appendf(text, "%s\n%d\n%d\n", f.Path, f.Bytes, f.Modified)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:32]
}

// changedSince is the first file of b that an earlier run of the same model had otherwise; "" if there is none.
func (b begunWith) changedSince(earlier begunWith) string {
	if b.Model != earlier.Model || b.Type != earlier.Type {
		return ""
	}
	had := map[string]begunFile{}
	for _, f := range earlier.Files {
		had[f.Path] = f
	}
	for _, f := range b.Files {
		if before, ok := had[f.Path]; ok && before != f {
			return f.Path
		}
	}
	return ""
}

// inputsFile is where the inputs of a job are kept.
func (l *local) inputsFile(id string) string {
	return filepath.Join(l.o.Output, state, inputsFolder, id+".json")
}

// keep writes what a job is begun with. It is only for a message, so that nothing waits for the disk.
func (l *local) keep(id string, b begunWith) error {
	text, err := json.Marshal(b)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(l.inputsFile(id)), 0o700)
	}
	if err == nil {
		err = os.WriteFile(l.inputsFile(id), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note the inputs of the job: %w", files.PathAndReason(err))
	}
	return nil
}

// superseded finds the newest job that another run began with one of these files and that cannot be gone on with, since the file has changed.
func (l *local) superseded(now begunWith, unfinished []batholith.Job) (job batholith.Job, path string) {
	for _, j := range unfinished { // the oldest first
		var earlier begunWith
		text, err := os.ReadFile(l.inputsFile(j.ID))
		if err != nil || json.Unmarshal(text, &earlier) != nil {
			continue // of a former version
		}
		if changed := now.changedSince(earlier); changed != "" {
			job, path = j, changed
		}
	}
	return job, l.asNamed(path)
}

// asNamed is an absolute path as the person has named the file.
func (l *local) asNamed(path string) string {
	for _, f := range l.inputs {
		if abs, err := filepath.Abs(f.path); err == nil && abs == path {
			return f.path
		}
	}
	return path
}

// forget removes what was kept of a job that is over.
func (l *local) forget(id string) error {
	if err := os.Remove(l.inputsFile(id)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
