package batholith

import (
	"fmt"
	"strings"
	"time"
)

// Model is one entry of the model catalogue: a model that a job may name.
type Model struct {
	ID       string    // Bedrock's model id, or any configured name
	Aliases  []string  // other accepted ids: inference profile ids, a short name
	Name     string    // display name
	Provider string    // at most 20 characters (Bedrock: providerName)
	Family   string    // format of request and response bodies: anthropic, openai, titan-text, titan-embed, llama …
	Inputs   []string  // TEXT, IMAGE, EMBEDDING (Bedrock: ModelModality)
	Outputs  []string  // the same values
	Context  int       // the most tokens of a prompt and its answer together; 0: as the model's servers say
	Released time.Time // zero: unknown

	Streams bool // its answers can be streamed
}

// Gauges are the current load of a model server, from its metrics page. They include requests of other clients,
// summed over the server's engines.
type Gauges struct {
	Running int // requests that the server is processing
	Waiting int // requests that wait in the server's queue
}

// Learned is the limit of parallel requests that Batholith measured for one backend and model. It is stored, so
// that a restart does not begin from nothing.
type Learned struct {
	Backend string    // the backend's host and port; contains no secret
	Model   string    // the name that the backend uses for the model
	Limit   int       // requests in flight
	Goodput float64   // tokens per second at that limit
	At      time.Time // when it was measured
}

// Forecast estimates when a job that is Scheduled or InProgress starts and ends, if the load stays as it is
// now.
type Forecast struct {
	Position int       // place in the queue of the job's model, from 1; 0: the job has started
	Begin    time.Time // expected start of a queued job; zero: the model's throughput is not known yet
	End      time.Time // expected end; zero: not known yet
	Late     bool      // End is after the job's timeout, even if this job is served first
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
const lateForecast = " That is after the job's timeout; records finished by the timeout are kept."
