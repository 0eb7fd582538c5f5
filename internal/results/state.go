package results

// State is what a Writer holds at one moment, for metrics.
type State struct {
	Pending      int64 // bytes of outcomes in memory that are not committed
	PendingBound int64 // of Pending; slots wait when it is reached
	Jobs         int   // jobs with such outcomes
	Journal      int64 // bytes of the journal's files of this process
	Failing      bool  // the disk refuses the journal: outcomes are in memory only
}

// State returns the present state.
func (w *Writer) State() State {
	w.mu.Lock()
	s := State{Pending: w.pending, PendingBound: w.o.PendingBytes, Jobs: len(w.queues)}
	w.mu.Unlock()
	j := w.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	s.Failing = j.failing
	for _, f := range j.files {
		s.Journal += f.bytes
	}
	return s
}
