package document

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"
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
	limit(heap)
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

// limit bounds the CPU time, the stack and the memory of the process. A process over a limit ends.
func limit(heap uint64) {
	limitCPU(maxCPU)
	debug.SetMaxStack(maxStack)
	if used() > heap {
		os.Exit(exitMemory)
	}
	go watch(heap)
}

// watchEvery is how often the memory is measured. In this time a document can take about 50 MB.
const watchEvery = 20 * time.Millisecond

// watch ends the process when it has more memory than heap.
func watch(heap uint64) {
	for range time.Tick(watchEvery) {
		if used() > heap {
			os.Exit(exitMemory)
		}
	}
}

// used returns the memory that the process has, in bytes.
func used() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
