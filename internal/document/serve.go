package document

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/batholith/batholith/internal/confine"
)

// Serve is the main function of the process that reads one document. args are those of the program,
// beginning with [Command]; in has the document, out gets its pages or why it cannot be read. It
// returns the exit code. It sets limits for the whole process. ok is false if args are not those of
// such a process.
func Serve(args []string, in io.Reader, out io.Writer) (code int, ok bool) {
	if len(args) != 3 || args[0] != Command {
		return 0, false
	}
	heap, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return 0, false
	}
	confine.Enter(confine.Limits{CPU: maxCPU, Heap: heap, Stack: maxStack})
	return serve(args[1], in, out), true
}

func serve(format string, in io.Reader, out io.Writer) int {
	data, err := io.ReadAll(in)
	if err != nil {
		return 1
	}
	var a answer
	a.Pages, err = Pages(format, data, DefaultLimits)
	if u, ok := errors.AsType[*Unreadable](err); ok {
		a.Unreadable = u.Why
	}
	if json.NewEncoder(out).Encode(a) != nil {
		return 1
	}
	return 0
}
