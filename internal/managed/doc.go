// Package managed runs model servers as child processes: it starts them, waits until they are ready, restarts them when they end, keeps
// their output in a log file, and stops them with this process.
//
// # The life of a server
//
// [Server.Run] is the loop of one server:
//
//	stop what an earlier run left
//	for ever:
//	    starting   choose a free port of 127.0.0.1, start the process, ask its health paths until one answers
//	    ready      Dial connects; Ready is closed; health is still watched
//	    waiting    the process has ended, or is sick and was stopped; wait with backoff
//	stopped        ctx has ended: SIGTERM to the process group, after a grace SIGKILL
//
// Each process is the leader of a session of its own, so a Ctrl-C at the terminal does not reach it: records in flight are finished
// first. What is left of its group when it ends is killed.
//
// # Crashes
//
// After each change of state, DATA/servers/NAME.json names the process: its id, its start time and the boot of the machine, which
// together no other process has.
//
//	this process dies                what is left                          what the next start does
//	before the file names the child  Linux, Windows: nothing; the system   –
//	                                 kills the child with us
//	while the server runs            Linux: processes that the child has   stops what is left of the child's session:
//	                                 started; elsewhere: the whole group   SIGTERM, after the grace SIGKILL
//	after the server has ended       a file without a process              nothing: no process has that id and start time
//	while a log is set aside         NAME.log.1 without NAME.log           begins a new NAME.log
//
// Invariant: at most one process of a server runs at any time, and none outlives the process that started it by more than until the next
// start.
//
// On Windows a child is in a job object, which the system ends with this process. A child is asked to end by Ctrl-Break; where this process
// has no console, as a service, it is ended at once.
//
// The package knows neither models nor requests. What a server prints may contain prompts: it goes to the log file only. Lines are quoted
// elsewhere only from a process that was never ready, because no request was sent to it.
package managed
