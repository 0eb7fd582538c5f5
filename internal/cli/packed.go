package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/records"
	"github.com/batholith/batholith/internal/system"
)

// isPacked reports whether a name is that of a compressed file of records.
func isPacked(name string) bool {
	bare := records.Unpacked(name)
	return bare != name && strings.HasSuffix(bare, inputSuffix)
}

// unpackedInputs are inputs whose compressed files, and stdin, are replaced by unpacked copies.
type unpackedInputs struct {
	inputs []string
	app    *app
	work   []work // of run: they stay until the job has ended
	dir    string // of the other commands: it is removed at the end of the command
}

// unpackInputs replaces compressed files and stdin by copies in a temporary folder.
func (a *app) unpackInputs(ctx context.Context, inputs []string) (u *unpackedInputs, err error) {
	u = &unpackedInputs{app: a, inputs: inputs}
	return u, u.replace(ctx, func(i int, _ string) (string, error) {
		if u.dir == "" {
			if u.dir, err = os.MkdirTemp("", "batholith-unpacked-"); err != nil {
				return "", err
			}
		}
		dir := filepath.Join(u.dir, fmt.Sprint(i)) // two inputs may have one name
		return dir, os.Mkdir(dir, 0o700)
	})
}

// keepUnpacked is unpackInputs for run: a copy stays where it is until the job has ended, so that an interrupted job goes on.
func (a *app) keepUnpacked(ctx context.Context, output string, inputs []string) (u *unpackedInputs, err error) {
	u = &unpackedInputs{app: a, inputs: inputs}
	var lock *work
	return u, u.replace(ctx, func(_ int, input string) (string, error) {
		w, err := openWorkUnder(lock, output, input)
		if err != nil {
			return "", err
		}
		if lock == nil {
			lock = &w
		}
		u.work = append(u.work, w)
		return w.dir, nil
	})
}

// openWorkUnder is openWork for a process that may have the lock already.
func openWorkUnder(lock *work, output, source string) (work, error) {
	if lock == nil {
		return openWork(output, source)
	}
	w, err := folderOf(output, source)
	if err == nil {
		err = os.MkdirAll(w.dir, 0o700)
	}
	return w, err
}

// replace unpacks each input that needs it to the folder that room gives for it. After an error, nothing of this command is left.
func (u *unpackedInputs) replace(ctx context.Context, room func(i int, input string) (dir string, err error)) (err error) {
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	replaced := append([]string{}, u.inputs...)
	if first := slices.Index(u.inputs, "-"); first >= 0 && slices.Contains(u.inputs[first+1:], "-") {
		return &usageError{reason: "stdin is named twice", remedy: "write - once"}
	}
	for i, input := range u.inputs {
		if input != "-" && !isPacked(input) || isS3(input) {
			continue
		}
		if info, err := os.Stat(input); input != "-" && (err != nil || info.IsDir()) {
			continue // gather says what is wrong
		}
		dir, err := room(i, input)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, stemOf(input)+inputSuffix)
		if err := unpackTo(ctx, path, input); err != nil {
			return err
		}
		if u.app.unpacked == nil {
			u.app.unpacked = map[string]string{}
		}
		if u.app.unpacked[path] = input; input == "-" {
			u.app.unpacked[path] = "stdin"
		}
		replaced[i] = path
	}
	u.inputs = replaced
	return nil
}

// unpackTo writes the content of a compressed file, or of stdin, to path.
func unpackTo(ctx context.Context, path, input string) error {
	in := stdin(ctx)
	if input != "-" {
		f, err := os.Open(input)
		if err != nil {
			return files.PathAndReason(err)
		}
		defer f.Close()
		in = f
	} else {
		input = "stdin"
	}
	content, err := records.Unpack(in)
	if err != nil {
		return hint(fmt.Errorf("unpack %s: %w", input, err), "fetch or make the file again, and check it with gzip -t or zstd -t")
	}
	defer content.Close()
	if err := copyTo(path+".new", content); err != nil {
		os.Remove(path + ".new")
		remedy := "fetch or make the file again, and check it with gzip -t or zstd -t"
		if system.Is(err, syscall.ENOSPC) {
			remedy = "make room on the disk for the unpacked copy"
		}
		return hint(fmt.Errorf("unpack %s: %w", input, err), "%s", remedy)
	}
	_, err = placeFile(path+".new", path)
	return err
}

// stdin returns the standard input, whose reading fails when ctx ends: Ctrl-C must not wait for somebody who types.
func stdin(ctx context.Context) io.Reader { return interruptibly(ctx, os.Stdin) }

// interruptibly returns a reader of r that fails with the cause of ctx when it ends, even while r gives nothing. Its goroutine ends with r, or
// with the process.
func interruptibly(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, struct{ io.Reader }{r})
		in.CloseWithError(err)
	}()
	return out
}

// remove removes the copies that a job has used, when it has ended.
func (u *unpackedInputs) remove() {
	for _, w := range u.work {
		w.remove()
	}
}

// close removes temporary copies, and gives up the lock.
func (u *unpackedInputs) close() {
	if u.dir != "" {
		os.RemoveAll(u.dir)
	}
	for _, w := range u.work {
		if w.lock != nil {
			w.lock.Close()
		}
	}
	u.work = nil
}

// equalFiles reports whether two files have the same content. A file that is not there is equal to none.
func equalFiles(a, b string) (bool, error) {
	x, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer y.Close()
	p, q := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(x, p)
		m, other := io.ReadFull(y, q)
		switch {
		case !bytes.Equal(p[:n], q[:m]):
			return false, nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return errors.Is(other, io.EOF) || errors.Is(other, io.ErrUnexpectedEOF), nil
		case err != nil || other != nil:
			return false, errors.Join(err, other)
		}
	}
}
