package batholith

import (
	"fmt"
	"strings"
	"time"
)

// Model is a model that jobs may name, as the catalogue shows it.
type Model struct {
	ID       string   // Bedrock's model id, or any configured name
	Aliases  []string // further names: inference profile ids, a short name
	Name     string   // for people
	Provider string   // at most 20 characters (Bedrock: providerName)
	Family   string   // of bodies: anthropic, openai, titan-text, titan-embed, llama …
	Inputs   []string // TEXT, IMAGE, EMBEDDING (Bedrock: ModelModality)
	Outputs  []string
}

// Gauges are what a model server says of itself at the moment, over all its engines, with the requests of everybody.
type Gauges struct {
	Running int // requests being worked on
	Waiting int // requests that have come and wait for a slot
}

// Learned is what was found out about how many requests a backend takes at once.
type Learned struct {
	Backend string // as it names itself; holds no secret
	Model   string // the backend's own name of it
	Limit   int    // requests in flight
	Goodput float64
	At      time.Time
}

// Forecast is what is expected of a job that is Scheduled or InProgress, if everything stays as it is.
type Forecast struct {
	Position int       // among the jobs that wait for the same model, from 1; 0 when it has begun
	Begin    time.Time // of a job that waits; zero while nothing is known of the model's rate
	End      time.Time // zero while nothing is known
	Late     bool      // End is after the job's time is over, and cannot be saved by letting it go first
}

// String is the forecast in words, for the note of a job. It is "" while nothing is known.
func (f Forecast) String() string {
	said := ""
	if f.Position > 0 {
		said = fmt.Sprintf("Number %d of the jobs that wait for this model.", f.Position)
	}
	for _, at := range []struct {
		what string
		when time.Time
	}{{"begin", f.Begin}, {"end", f.End}} {
		if !at.when.IsZero() {
			said += fmt.Sprintf(" Expected to %s about %s.", at.what, at.when.UTC().Format(time.RFC3339))
		}
	}
	if f.Late {
		said += lateForecast
	}
	return strings.TrimSpace(said)
}

// lateForecast ends the words of a forecast that is late.
const lateForecast = " That is after its time is over; what is done by then is kept."
