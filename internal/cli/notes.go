package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// jobNotes are the members that Batholith adds to a job in answers of Get and List. Bedrock has no such members,
// and its SDKs ignore them.
type jobNotes struct {
	Note     string     `json:"note,omitempty"`
	Position int64      `json:"queuePosition,omitempty"` // among the jobs that wait for the model, from 1
	Begin    *time.Time `json:"expectedStart,omitempty"`
	End      *time.Time `json:"expectedEnd,omitempty"`
	Paused   *time.Time `json:"pausedSince,omitempty"` // nil: the job is not paused
	Reason   string     `json:"pauseReason,omitempty"`
	Usage    *jobUsage  `json:"usage,omitempty"`     // nil: nothing yet, or a server that does not tell it
	Resumes  *time.Time `json:"resumesAt,omitempty"` // when a pause ends by itself
	Backends []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"backends,omitempty"` // to which the job's records go
}

// noted decodes the additional members of an answer of Get (Notes) or of List (Jobs).
type noted struct {
	Notes *jobNotes `json:"batholith"`
	Jobs  []struct {
		ARN   string    `json:"jobArn"`
		Notes *jobNotes `json:"batholith"`
	} `json:"invocationJobSummaries"`
}

// of returns the notes of one job in the answer of a List, or nil.
func (n noted) of(arn string) *jobNotes {
	for _, j := range n.Jobs {
		if j.ARN == arn {
			return j.Notes
		}
	}
	return nil
}

// maxNoted is the most that is read of an answer for its notes, in bytes. A page of 1,000 jobs with the longest
// members has 12 MB.
const maxNoted = 32 << 20

// readNotes returns an option for one SDK call that also decodes the notes of the answer into n. The SDK still
// reads the whole answer. Notes that cannot be decoded are left out without an error, since the job itself is
// known.
func readNotes(n *noted) func(*bedrock.Options) {
	keep := middleware.DeserializeMiddlewareFunc("batholith.notes", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
		middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		answer, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok || answer.StatusCode != 200 {
			return out, metadata, err
		}
		body, err := io.ReadAll(io.LimitReader(answer.Body, maxNoted))
		rest := answer.Body
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), rest), rest} // after an error, the SDK reads it once more and reports it
		if err == nil {
			*n = noted{}
			_ = json.Unmarshal(body, n)
		}
		return out, metadata, nil
	})
	return func(o *bedrock.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Deserialize.Add(keep, middleware.After) // right after the transport: before the SDK reads the body
		})
	}
}

// forecast returns the forecast that the note states, or nil if the note is something else. It compares the note's
// text with that of [batholith.Forecast.String], because only the text tells them apart.
func (j jobFacts) forecast() *batholith.Forecast {
	if j.Message != "" || j.Notes == nil {
		return nil
	}
	f := batholith.Forecast{Position: int(j.Notes.Position)}
	if j.Notes.Begin != nil {
		f.Begin = *j.Notes.Begin
	}
	if j.Notes.End != nil {
		f.End = *j.Notes.End
	}
	if f == (batholith.Forecast{}) {
		return nil
	}
	late := f
	late.Late = true
	switch j.Notes.Note {
	case f.String():
		return &f
	case late.String():
		return &late
	}
	return nil
}

// told returns what the user should read about the job: its message, otherwise its note, and the name of that
// field. Lines of the input that are not valid records stand on lines of their own.
func (j jobFacts) told() (name, text string) {
	if j.Message == "" && j.Notes != nil {
		return "note", plain.Line(j.Notes.Note)
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(j.Input, "s3://"), "/")
	return "message", laidOut(plain.Line(j.Message), plain.Line("s3://"+bucket+"/"))
}
