// Package catalog knows which model ids there are, what they are called, and where each is served.
//
// The invariant: a model that Lookup finds, Serving can serve, and with the same id whatever name it was asked by.
//
// The package must not know jobs, HTTP or how well a backend does at the moment; it is built once and does not change.
package catalog
