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

// inputsFolder holds one file for each unfinished job of run, DIR/.batholith/inputs/<job id>.json. It lists the
// input files as they were when the job was created. It only serves the message that an input has changed; without
// it, jobs continue all the same.
const inputsFolder = "inputs"

// begunWith is the model, type and input files that a job of run was created with. A later run with equal values
// continues the job.
type begunWith struct {
	Model string                   `json:"modelId"`
	Type  batholith.InvocationType `json:"modelInvocationType"`
	Files []begunFile              `json:"files"`
}

// begunFile identifies the content of a file by path, size and time. The content itself is not read.
type begunFile struct {
	Path     string `json:"path"` // absolute
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // in nanoseconds since 1970
}

// lookAt returns the present size and modification time of each input file. A file that is gone is an error.
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

// fingerprint returns 32 hexadecimal digits that are equal for two runs over the same unchanged files with the
// same model and type.
func (b begunWith) fingerprint() string {
	text := fmt.Appendf(nil, "%s\n%s\n", b.Model, b.Type)
	for _, f := range b.Files {
		text = fmt.Appendf(text, "%s\n%d\n%d\n", f.Path, f.Bytes, f.Modified)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:32]
}

// changedSince returns the path of the first file whose size or time differs from that of the earlier run, or "".
// Runs with another model or type are not compared.
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

// inputsFile returns the path of the note about a job's inputs.
func (l *local) inputsFile(id string) string {
	return filepath.Join(l.o.Output, state, inputsFolder, id+".json")
}

// keep writes the note about a job's inputs. It does not sync: after a crash the note may be missing, and then
// only a message is missing.
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

// superseded returns the newest unfinished job that used one of these files in an earlier version, and the file's
// path as the user wrote it. That job cannot be continued. path is "" if there is none.
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

// asNamed returns a file's path as the user wrote it on the command line.
func (l *local) asNamed(path string) string {
	for _, f := range l.inputs {
		if abs, err := filepath.Abs(f.path); err == nil && abs == path {
			return f.path
		}
	}
	return path
}

// forget removes the note about a job's inputs after the job has ended. That it is already gone is no error.
func (l *local) forget(id string) error {
	if err := os.Remove(l.inputsFile(id)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
