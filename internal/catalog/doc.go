// Package catalog holds the configured models: their ids, their other names, and the servers of
// each.
//
// Invariant: Serving finds every model that Lookup finds, and both return the same id for all
// names of a model.
//
// The package does not know jobs, HTTP or the current state of a backend. A catalogue is built
// once and never changes.
package catalog
