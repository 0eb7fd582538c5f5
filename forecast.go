package batholith

import "time"

// Forecast is what is expected of a job that is Scheduled or InProgress, if everything stays as it is.
type Forecast struct {
	Position int       // among the jobs that wait for the same model, from 1; 0 when it has begun
	Begin    time.Time // of a job that waits; zero while nothing is known of the model's rate
	End      time.Time // zero while nothing is known
	Late     bool      // End is after the job's time is over, and cannot be saved by letting it go first
}
