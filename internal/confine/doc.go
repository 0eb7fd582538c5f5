// Package confine runs work on hostile content in a child process. The child is this program, started again
// with an empty environment and with limits of CPU time, memory and stack.
//
// A document or table of a few kilobytes can decompress to gigabytes, loop for ever, or nest until the stack
// is full. Go cannot stop a goroutine, and a Go process does not survive a full stack or a lack of memory.
// The libraries that read such formats have no limits of their own.
//
//	parent                     child
//	Command(ctx, arg, …)  →    Enter(limits), then the work, then exit 0
//	Death(err, …)         ←    or it ends because it is over a limit
package confine
