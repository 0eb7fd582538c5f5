// Package engine joins the parts of the service into a process: the API, a worker, or both.
//
// A worker validates jobs, sends their records, stores the outcomes and publishes the output. An API process answers Bedrock's
// operations and holds nothing. The two meet in the database only: a job that one process creates is run by another over the same
// database and the same buckets.
//
// The package knows the adapters by name, and nothing of flags, settings files, terminals or sockets. What a process is made of stands
// in [Options]. It starts no goroutine before [Engine.Run], and whatever Run starts has ended when it returns.
//
// The simulation of the whole service is in the tests of this package: sim_test.go and its neighbours.
package engine
