package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
)

// refuseLines returns a refusal if the job has lines that are not valid records: it names the first ones and the object that lists them.
// The list is written before the job ends, so that a reader of the message finds it. After a crash in between, both are made again.
func refuseLines(ctx context.Context, job batholith.Job, place blob.Place, plans []*plan, found []jsonl.Found, discreet bool) error {
	head := batholith.ValidationHead{Version: batholith.ValidationVersion, JobARN: job.ARN().String(), Files: int64(len(plans)), Listed: int64(len(found))}
	for _, p := range plans {
		head.Records += p.valid
		head.Invalid += p.invalid
	}
	if head.Invalid == 0 {
		return nil
	}
	key := place.Prefix + batholith.ValidationName
	at := blob.URI(place.Output, key)
	if err := place.Output.Put(ctx, key, list(head, place.Input, plans, found)); err != nil {
		if !blob.Permanent(err) {
			return fmt.Errorf("list the bad lines of job %s: %w", job.ID, err)
		}
		at = ""
	}
	return &refusal{message: verdict(head, place.Input, plans, found, at, discreet)}
}

// list is the content of the list: one JSON object per line, first the head.
func list(head batholith.ValidationHead, input blob.Bucket, plans []*plan, found []jsonl.Found) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(head) // neither of these types can fail
	for _, f := range found {
		_ = enc.Encode(batholith.InvalidLine{File: blob.URI(input, plans[f.File].file.Key), Line: f.Line, Offset: f.Offset, Column: f.Column(), Reason: f.Reason})
	}
	return b.Bytes()
}

// verdict is the job's message: how many lines are bad, as many of them as fit into batholith.MaxMessage, and where all are listed.
func verdict(head batholith.ValidationHead, input blob.Bucket, plans []*plan, found []jsonl.Found, at string, discreet bool) string {
	var b strings.Builder
	lines := "lines are"
	if head.Invalid == 1 {
		lines = "line is"
	}
	fmt.Fprintf(&b, "%d %s not a valid record.", head.Invalid, lines)
	where := whereabouts(head, plain.Line(at))
	told := int64(0)
	for _, f := range found {
		one := plain.Sprintf(" s3://%s/%s line %d: %s.", input.Name(), plans[f.File].file.Key, f.Line, reasonOf(f, discreet))
		room := batholith.MaxMessage - b.Len() - len(one) - len(" And  more.") - 19 // digits of the number
		if told == 0 && room < len(where) {
			where = "" // both have long keys: the first bad line is more useful than the place of the list
		}
		if room < len(where) {
			break
		}
		b.WriteString(one)
		told++
	}
	if told < head.Invalid {
		fmt.Fprintf(&b, " And %d more.", head.Invalid-told)
	}
	return b.String() + where
}

// whereabouts says where the list is. It ends the message.
func whereabouts(head batholith.ValidationHead, at string) string {
	switch {
	case at == "":
		return ""
	case head.Invalid == 1:
		return " Listed in: " + at
	case head.Listed < head.Invalid:
		return fmt.Sprintf(" The first %d of them: %s", head.Listed, at)
	}
	return " All of them: " + at
}
