package storetest

import (
	"testing"

	"pgregory.net/rapid"
)

// models are state machines: random histories, each step of which must end as a model in memory says.
func models() []law {
	return []law{
		{"JobsAreThoseOfTheModel", func(t *testing.T, p Port) {
			n := 0
			rapid.Check(bubble{t}, func(rt *rapid.T) {
				n++
				m := newJobModel(p, n)
				rt.Repeat(rapid.StateMachineActions(m))
			})
		}},
		{"NoRecordIsEverCommittedTwice", func(t *testing.T, p Port) {
			n := 0
			rapid.Check(bubble{t}, func(rt *rapid.T) {
				n++
				m := newLeaseModel(t, p, n)
				rt.Repeat(rapid.StateMachineActions(m))
			})
		}},
	}
}

// bubble is a test in a bubble of virtual time. It hides the test's deadline, for which rapid would ask and which has no meaning there.
type bubble struct{ rapid.TB }
