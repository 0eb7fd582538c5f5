// Package engine joins the parts of the service into a process: the API, a worker, or both.
//
// A worker validates jobs, sends their records, stores the outcomes and publishes the output. An API process answers Bedrock's
// operations and keeps no state. The two communicate only through the database: one process creates a job, and another process with the
// same database and buckets runs it.
//
// The package knows the adapters by name. It must not know flags, settings files, terminals or sockets. [Options] says what a process
// consists of. No goroutine starts before [Engine.Run], and all of them have ended when Run returns.
//
// The simulation of the whole service is in the tests of this package: sim_test.go and its neighbours.
package engine
