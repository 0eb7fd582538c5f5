package batholith

import (
	"fmt"
	"strings"
	"time"
)

// Pause says that no record of a job is sent, since when, and why. A paused job keeps its status, its place and its deadline. It can be
// stopped; it ends if its deadline passes, or if its last record was in flight when it was paused.
type Pause struct {
	Since  time.Time // zero: the job is not paused
	Reason string    // a sentence without its full stop, at most MaxMessage bytes
	Until  time.Time // when the job goes on by itself; zero: it waits until somebody resumes it
}

// MayPause reports whether the job can be paused: it has not ended, and is not about to end.
func (j Job) MayPause() bool {
	return !j.Status.Terminal() && j.Status != StatusStopping && j.Ending == "" && j.Failing == ""
}

// note is what a client reads about a paused job.
func (p Pause) note(j Job) string {
	const form = "2006-01-02 15:04:05 UTC"
	var b strings.Builder
	fmt.Fprintf(&b, "Paused since %s: %s. ", p.Since.UTC().Format(form), strings.TrimSuffix(p.Reason, "."))
	if !p.Until.IsZero() {
		fmt.Fprintf(&b, "The job goes on by itself at %s, or now with: batholith job resume %s. ", p.Until.UTC().Format(form), j.ID)
	} else {
		fmt.Fprintf(&b, "The job goes on with: batholith job resume %s. ", j.ID)
	}
	fmt.Fprintf(&b, "Its deadline stays %s", j.Expires.UTC().Format(form))
	return b.String()
}
