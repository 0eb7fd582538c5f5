// Package doctor looks at a service from outside and says what is wrong with it: its data directory, its server, the model servers, its
// jobs and what they left behind, and what each role may do in the buckets.
//
// [Examine] returns findings as data. The package knows no flags, no settings file and no terminal: what to look at stands in
// [Options], and who calls prints what was found. What cannot be looked at, because something before it is broken, is left out.
//
// Nothing is changed but two small objects for each place that is tried, which are deleted again, and leftovers of jobs that are over,
// where Options.Fix asks for that.
package doctor
