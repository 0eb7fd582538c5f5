// Package failpoint lets a test end the process at a named point, as a kill -9 at the worst moment would.
//
// The points lie between the steps of the crash table in ARCHITECTURE.md. A test starts the program with
//
//	BATHOLITH_FAILPOINT=lifecycle.sealed       dies when the point is passed for the first time
//	BATHOLITH_FAILPOINT=results.committed:3    dies when it is passed for the third time
//
// and the program as it is shipped ends there by SIGKILL: nothing is flushed, deferred or answered. It is for tests only; without the
// variable a point is one comparison with nil.
//
// Its invariant: [Points] names every point that is in the program and no other, and each is in one place.
//
// The package must not know what happens at its points.
package failpoint
