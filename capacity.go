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
	Set      Abilities // by the settings; what they do not know, the model's servers are asked for
	Released time.Time // zero: unknown

	Streams bool // its answers can be streamed
}

// Ability says whether a model can do something.
type Ability int8

// The abilities. The zero value says that it is not known.
const (
	AbilityUnknown Ability = iota
	Able
	Unable
)

// AbilityOf returns Able or Unable.
func AbilityOf(can bool) Ability {
	if can {
		return Able
	}
	return Unable
}

// Abilities are what a model can do, as its server or the settings say it.
type Abilities struct {
	Context int     // the most tokens of a prompt; 0: unknown
	Images  Ability // the model sees images
	Tools   Ability // the model calls tools
}

// Or returns a, with what it does not know taken from b.
func (a Abilities) Or(b Abilities) Abilities {
	if a.Context == 0 {
		a.Context = b.Context
	}
	if a.Images == AbilityUnknown {
		a.Images = b.Images
	}
	if a.Tools == AbilityUnknown {
		a.Tools = b.Tools
	}
	return a
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

// JobForecast is the forecast of one job.
type JobForecast struct {
	Job string // id
	Forecast
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

// Load is what one worker does at one backend: a row through which the workers of a backend share its limit.
type Load struct {
	Worker, Backend, Model string
	Share                  float64 // part of the limit that the worker may use; the shares of all workers add up to at most 1
	InFlight               int     // its requests in flight
	Wants                  int     // requests that it would have in flight if it were alone
	Calls                  int     // of these, requests and reserve for interactive calls
	Purses                 []Purse // of the others, by whom they are for; empty: all are of one purse
	Limit                  int     // requests in flight of all workers together, as this worker found it
	Bound                  int     // the same as found from refusals; 0: none
	Source                 string  // of Limit: configured, slots, gauges, goodput
	Found                  bool    // Limit was measured
	Lead                   bool    // this worker searches Limit for all
	Idle                   float64 // work per second of one request in an empty server; 0: not measured
	Goodput                float64 // work per second of all workers at Limit; 0: not measured
}

// Purse is a part of what a worker wants to send: the requests that are equally entitled. The limit is divided among the groups of all workers
// equally, and within a group by weight.
type Purse struct {
	Group  string // equal for the same principal in all processes; holds no name. Empty: the requests go before those of all groups
	Weight int    // within the group, above 0
	Wants  int    // requests
}
