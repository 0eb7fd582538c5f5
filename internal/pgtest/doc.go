// Package pgtest starts PostgreSQL for tests: a private cluster in a temporary folder, with an empty database for each test.
//
// The servers listen on a socket in their own folder only, so that they need no free port and do not meet another PostgreSQL of the machine.
// A guard process stops a cluster and deletes its folder when the test process has ended, whatever ended it.
//
// [Shared] is the server that the tests of one process share. [Start] is for a test that restarts, pauses or promotes its server.
// A test without PostgreSQL on the machine is skipped, unless the variable CI is set.
//
// The package must not know what the databases hold.
package pgtest
