package results

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/batholith/batholith"
)

// damagedExt is appended to the name of a journal file that was damaged in the middle: it is not read again, but kept for
// a person to look at.
const damagedExt = ".damaged"

// replay hands each outcome of a journal file to visit, in the order in which they were appended; the line is the
// visitor's. It stops where the bytes stop making sense: silently at a torn end, which a killed writer leaves behind, and
// with errDamaged when frames would follow. Nothing behind that place is trusted.
func replay(path string, visit func(worker string, o batholith.Outcome) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	in := frames{r: bufio.NewReaderSize(file, 64<<10), left: info.Size()}
	if err := in.head(journalMagic); err != nil {
		return unlessTorn(path, err)
	}
	worker, err := in.next()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return in.stop(path, err)
	}
	owner := string(worker)
	for {
		payload, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return in.stop(path, err)
		}
		o, err := journalled(payload, in.form)
		if err != nil {
			return fmt.Errorf("read journal %s: %w", path, err)
		}
		if err := visit(owner, o); err != nil {
			return err
		}
	}
}

// journalled decodes a frame's payload into an outcome of its own memory.
func journalled(payload []byte, form uint16) (batholith.Outcome, error) {
	job, rest, err := takeBytes(payload)
	if err != nil {
		return batholith.Outcome{}, err
	}
	o, rest, err := takeOutcome(rest, form)
	if err == nil && len(rest) > 0 {
		err = errDamaged
	}
	o.Job, o.Line = string(job), append([]byte(nil), o.Line...)
	return o, err
}

// stop decides what an unreadable frame means: one that the file ends with, or that zeros follow to its end, was never finished.
func (f *frames) stop(path string, err error) error {
	if errors.Is(err, errDamaged) && (f.left == 0 || f.zeros()) {
		return nil
	}
	return unlessTorn(path, err)
}

// zeros tells whether nothing but zeros is left: a disk may have grown the file without having got the bytes.
func (f *frames) zeros() bool {
	var b [4096]byte
	for {
		n, err := f.r.Read(b[:])
		for _, c := range b[:n] {
			if c != 0 {
				return false
			}
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

func unlessTorn(path string, err error) error {
	if errors.Is(err, errTorn) {
		return nil
	}
	return fmt.Errorf("read journal %s: %w", path, err)
}
