// Package failpoint lets a test kill the process at a named point, like a kill -9 at the worst moment.
//
// The points lie between the steps of the crash table in ARCHITECTURE.md. A test starts the program with
//
//	BATHOLITH_FAILPOINT=lifecycle.sealed       dies when the point is passed for the first time
//	BATHOLITH_FAILPOINT=results.committed:3    dies when the point is passed for the third time
//
// and the shipped program dies there by SIGKILL: nothing is flushed, deferred or answered. It is for tests only. Without the
// variable a point is one comparison with nil.
//
// Invariant: [Points], [BatchPoints], [HeldPoints], [MovePoints], [BackupPoints], [ForgetPoints] and [SharedPoints] list exactly the points in the program, and each point is in one place.
//
// The package must not know what happens at its points.
package failpoint
