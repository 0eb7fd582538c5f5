// Package events posts the changes of jobs to the receivers of the settings (webhooks).
//
// Every change is an event of the store's outbox. A receiver gets each at least once, those of one job in order, and has a cursor in the
// store: everything up to it was delivered or given up. So a process that dies repeats what it had delivered behind an event that was not;
// the event's id is the same then.
//
//	cursor   a   b   c   d   e   …         a, b: of job 1; c: of job 2
//	         ×   –   ✓                     a is tried again, b waits for it, c was delivered
//
// A receiver that does not answer holds up neither a job nor another receiver: the events wait in the store.
//
// The package must not know SQL, and nothing about a job but what its row says.
package events
