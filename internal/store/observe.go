package store

import "time"

// Observe makes f be called after every transaction that writes and every read, with "write" or "read", how long it took, repetitions and the
// wait for a connection included, and its error. Errors include refusals, such as batholith.ErrMoved. It must be called before the store is
// used by others. f must return quickly.
func (s *Store) Observe(f func(operation string, took time.Duration, err error)) { s.observe = f }

// observed begins an observation; the caller calls the result when err is set.
func (s *Store) observed(operation string, err *error) func() {
	if s.observe == nil {
		return func() {}
	}
	began := time.Now()
	return func() { s.observe(operation, time.Since(began), *err) }
}

// System is the name of the database's kind: sqlite or postgresql.
func (s *Store) System() string {
	if s.dialect.serial() {
		return "sqlite"
	}
	return "postgresql"
}
