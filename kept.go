package batholith

// Kept says whether finished records of a job that Failed wait, outside its output, to be published: its output could not be written.
type Kept string

// The states of kept results.
const (
	KeptNone       Kept = "None"       // the output has everything that was finished, or it was discarded
	KeptWaiting    Kept = "Kept"       // they wait to be published or discarded
	KeptPublishing Kept = "Publishing" // somebody asked for their publication, which has not succeeded yet
	KeptDiscarding Kept = "Discarding" // somebody gave them up; they are about to be deleted, and cannot be published any more
)
