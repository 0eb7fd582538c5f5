// Package confine runs work on hostile content in a process of its own: the program itself, with limits
// of CPU time, memory and stack, and without its environment.
//
// A few kilobytes of a document or a table can decompress to gigabytes, loop for ever, or nest until the
// stack is full. Go cannot stop a goroutine, and survives neither a full stack nor a lack of memory, and
// the libraries that read such formats have no limits of their own.
//
//	caller                     process
//	Command(ctx, arg, …)  →    Enter(limits), the work, exit 0
//	Death(err, …)         ←    or over a limit
package confine
