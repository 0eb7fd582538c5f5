// Package doctor examines a service from outside and reports what is wrong: its data directory,
// server, model servers and jobs, their leftovers, and the rights of each role in the buckets.
//
// [Examine] returns findings as data. The package does not read flags or settings and does not
// print: [Options] say what to examine, and the caller prints the findings. A check is skipped
// if something that it depends on is broken.
//
// It changes nothing except two small objects at each tested place, which it deletes again, and
// leftovers of finished jobs if Options.Fix is set.
package doctor
