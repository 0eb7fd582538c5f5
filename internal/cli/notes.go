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

// jobNotes is what Batholith tells of a job beside Bedrock's members. Amazon tells none of it.
type jobNotes struct {
	Note     string     `json:"note,omitempty"`
	Position int64      `json:"queuePosition,omitempty"` // among the jobs that wait for the model, from 1
	Begin    *time.Time `json:"expectedStart,omitempty"`
	End      *time.Time `json:"expectedEnd,omitempty"`
}

// noted is an answer of Get or List with the members that the SDK drops.
type noted struct {
	Notes *jobNotes `json:"batholith"`
	Jobs  []struct {
		ARN   string    `json:"jobArn"`
		Notes *jobNotes `json:"batholith"`
	} `json:"invocationJobSummaries"`
}

// of returns the notes of one job of a list.
func (n noted) of(arn string) *jobNotes {
	for _, j := range n.Jobs {
		if j.ARN == arn {
			return j.Notes
		}
	}
	return nil
}

// maxNoted bounds what is read of an answer for its notes, in bytes. A page of 1,000 jobs with the longest members has 12 MB.
const maxNoted = 32 << 20

// readNotes has one call of the SDK also decode an answer's notes into n. Notes that cannot be read are none.
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

// forecast is what the note says in words, if it is a forecast; nil when it is another note or none. The server writes a forecast as
// [batholith.Forecast.String] does.
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

// told is what a person should know of the job in words, the message or else the note. Bad lines of the input are each on a line.
func (j jobFacts) told() (name, text string) {
	if j.Message == "" && j.Notes != nil {
		return "note", plain.Line(j.Notes.Note)
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(j.Input, "s3://"), "/")
	return "message", laidOut(plain.Line(j.Message), plain.Line("s3://"+bucket+"/"))
}
