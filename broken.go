package batholith

import (
	"fmt"
	"runtime"
	"strings"
)

// Broken is a panic in code that worked on the bytes of one record, answer or file. It is a fault of this program that this input
// brought to light, so it ends what the input belongs to and not the process: a process that is started again would meet the same bytes
// again.
type Broken struct {
	Doing string // what was being done: "translate an answer"
	What  string // the runtime's words, or the type of the panic's value. The value itself may quote the input, and is not kept
	Stack string // functions, files and lines, the innermost first. It has no arguments, which may hold bytes of the input
}

// Error is fit for a log and for a job's message.
func (e *Broken) Error() string { return fmt.Sprintf("internal error: %s: %s", e.Doing, e.What) }

// Guard calls do and returns its error, or a [*Broken] when it panics. What do works on must be its own: locks that it holds stay held,
// and what it was changing is left as it is. Broken invariants of shared state are not for Guard; a crash is right for them.
func Guard(doing string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Broken{Doing: doing, What: panicText(p), Stack: stackOf()}
		}
	}()
	return do()
}

// panicText names a panic without its value. Errors of the Go runtime hold numbers and names of types only.
func panicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("panic with a value of type %T", p)
}

// stackOf is the stack of the panic that is being recovered.
func stackOf() string {
	const depth = 64
	pcs := make([]uintptr, depth)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for {
		f, more := frames.Next()
		if f.Function != "" && f.Function != "runtime.gopanic" {
			fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}
