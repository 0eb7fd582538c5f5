package results

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// The output of a job in OpenAI's lines is two objects for each file: answers, and the errors of failed records. The journal, segments and
// runs hold lines in Bedrock's form; they are written in OpenAI's only here. So both objects are a pure function of the outcomes, as the one
// object of other jobs is, and a publication that is repeated after a crash writes the same bytes. The errors of a job that was stopped or has
// expired also depend on whether the input can still be read (see untried), so another publisher must be able to abort them.

// errorObject is the object with the lines of failed records of one file.
type errorObject struct {
	*object
	entry batholith.ManifestErrors
	sum   uint32
}

// errorsKey is the key of the errors beside the output of this key.
func errorsKey(output string) string {
	return strings.TrimSuffix(output, batholith.OutputSuffix) + batholith.ErrorSuffix
}

// errorLine appends a line to the errors of the file that is being written.
func (w *outputs) errorLine(line []byte) error {
	if w.errors == nil {
		key := errorsKey(w.object.key)
		w.errors = &errorObject{object: newObject(w.ctx, w.p.o.Store, w.place.Output, batholith.Upload{Job: w.job.ID, Key: key, Epoch: w.epoch},
			objectOptions{Bytes: w.size, Part: w.p.o.PartBytes, Abortable: !w.final || w.untried != nil})}
		w.errors.entry.Output = uri(w.job.Output.URI, w.place.Output, key)
	}
	e := w.errors
	e.entry.Lines++
	e.entry.Bytes += int64(len(line))
	e.sum = crc32.Update(e.sum, castagnoli, line)
	_, err := e.Write(line)
	return err
}

// finishErrors completes the errors of the file that is being written, in parallel with the next files, and notes them in its entry. A file
// without failed records has none at the end: what a partial publication wrote before the database was restored is deleted.
func (w *outputs) finishErrors(f *closing) error {
	e := w.errors
	w.errors = nil
	switch {
	case w.job.OutputLines != batholith.LinesOpenAI:
		return nil
	case e == nil && w.final:
		key := errorsKey(w.place.Prefix + w.files[f.n].Output)
		_, err := w.place.Output.Head(w.ctx, key)
		if errors.Is(err, batholith.ErrNoObject) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.place.Output.Delete(w.ctx, key)
	case e == nil:
		return nil
	}
	e.entry.CRC32C = fmt.Sprintf("%08x", e.sum)
	f.entry.Errors = &e.entry
	return w.beside.do(e.Held(), func() error {
		if w.lenient {
			if there, err := w.place.Output.Head(w.ctx, e.key); err == nil && there.Bytes > e.entry.Bytes {
				return e.object.abort()
			}
		}
		if err := e.close(); err != nil {
			return err
		}
		failpoint.Here("results.errors-published")
		return nil
	})
}

// abort gives up the object, if there is one.
func (e *errorObject) abort() error {
	if e == nil {
		return nil
	}
	return e.object.abort()
}
