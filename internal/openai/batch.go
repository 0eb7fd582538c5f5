package openai

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// A batch is in one of these states (OpenAI: the Batch object).
const (
	stateValidating = "validating"
	stateFailed     = "failed"
	stateInProgress = "in_progress"
	stateFinalizing = "finalizing"
	stateCompleted  = "completed"
	stateExpired    = "expired"
	stateCancelling = "cancelling"
	stateCancelled  = "cancelled"
)

// batch is a batch as clients read it. Times are Unix seconds.
type batch struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Endpoint    string            `json:"endpoint"`
	Model       string            `json:"model"`
	Errors      *errorList        `json:"errors"`
	Input       string            `json:"input_file_id"`
	Window      string            `json:"completion_window"`
	State       string            `json:"status"`
	Output      *string           `json:"output_file_id"`
	ErrorOutput *string           `json:"error_file_id"`
	Created     int64             `json:"created_at"`
	InProgress  *int64            `json:"in_progress_at"`
	Expires     *int64            `json:"expires_at"`
	Finalizing  *int64            `json:"finalizing_at"`
	Completed   *int64            `json:"completed_at"`
	Failed      *int64            `json:"failed_at"`
	Expired     *int64            `json:"expired_at"`
	Cancelling  *int64            `json:"cancelling_at"`
	Cancelled   *int64            `json:"cancelled_at"`
	Counts      counts            `json:"request_counts"`
	Usage       *usage            `json:"usage"`
	Metadata    map[string]string `json:"metadata"`
}

type counts struct {
	Total     int64 `json:"total"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
}

// usage is what the batch used.
type usage struct {
	Input        int64 `json:"input_tokens"`
	InputDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	Output        int64 `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int64 `json:"total_tokens"`
}

// errorList is why a batch failed.
type errorList struct {
	Object string       `json:"object"`
	Data   []batchError `json:"data"`
}

type batchError struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
	Line    *int64  `json:"line"`
}

// stateOf is the state of a job's batch. A Scheduled job is validated and waits for its turn, which OpenAI calls in_progress. A job of which only
// the publication of its output is left is finalizing.
func stateOf(j batholith.Job) string {
	switch j.Status {
	case batholith.StatusScheduled:
		return stateInProgress
	case batholith.StatusInProgress:
		if j.Ending != "" || j.Counts.Total > 0 && j.Counts.Processed >= j.Counts.Total {
			return stateFinalizing
		}
		return stateInProgress
	case batholith.StatusCompleted:
		return stateCompleted
	case batholith.StatusFailed:
		return stateFailed
	case batholith.StatusExpired, batholith.StatusPartiallyCompleted:
		return stateExpired
	case batholith.StatusStopping:
		return stateCancelling
	case batholith.StatusStopped:
		return stateCancelled
	}
	return stateValidating // Submitted, Validating
}

// seconds is a time in Unix seconds; nil for the zero time.
func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	s := t.Unix()
	return &s
}

// batchOf returns a job as a batch. changes are those of its status.
func batchOf(j batholith.Job, changes []batholith.Change) batch {
	b := batch{ID: j.ID, Object: "batch", Endpoint: j.Type.Endpoint(), Model: j.ModelID, Window: "24h", State: stateOf(j), Created: j.Submitted.Unix(), Expires: seconds(j.Expires),
		Input: j.Input.URI, Counts: counts{j.Counts.Total, j.Counts.Succeeded, j.Counts.Errored}}
	if o := j.Batch; o != nil {
		b.Endpoint, b.Window, b.Metadata = o.Endpoint, o.Window, o.Metadata
		if o.File != "" {
			b.Input = o.File
		}
	}
	first := func(statuses ...batholith.Status) *int64 {
		for _, c := range changes {
			for _, s := range statuses {
				if c.Status == s {
					return seconds(c.At)
				}
			}
		}
		return nil
	}
	b.InProgress, b.Cancelling = first(batholith.StatusScheduled, batholith.StatusInProgress), first(batholith.StatusStopping)
	switch b.State {
	case stateFinalizing:
		b.Finalizing = seconds(j.Modified)
	case stateCompleted:
		b.Finalizing, b.Completed = seconds(j.Ended), seconds(j.Ended)
	case stateFailed:
		b.Failed = seconds(j.Ended)
		b.Errors = &errorList{Object: "list", Data: []batchError{{Code: "batch_failed", Message: j.Message}}}
	case stateExpired:
		b.Expired = seconds(j.Ended)
	case stateCancelled:
		b.Cancelled = seconds(j.Ended)
	}
	if t := j.Tokens; t.Input+t.Output > 0 {
		b.Usage = &usage{Input: t.Input, Output: t.Output, Total: batholith.Sum(t.Input, t.Output)}
		b.Usage.InputDetails.Cached = t.CacheRead
	}
	if j.Status.Terminal() {
		if code, _ := j.Status.Untried(); code != "" && j.OutputLines == batholith.LinesOpenAI {
			b.Counts.Failed = j.Counts.Total - j.Counts.Succeeded // each has a line in the errors
		}
		if j.Counts.Succeeded > 0 {
			b.Output = outputName(j, batholith.OutputSuffix)
		}
		if b.Counts.Failed > 0 {
			b.ErrorOutput = outputName(j, batholith.ErrorSuffix)
		}
	}
	return b
}

// outputName is how clients name an output: the id of a file, or an S3 URI. For an input of several objects it is the folder of all outputs.
func outputName(j batholith.Job, suffix string) *string {
	if j.Batch != nil && j.Batch.File != "" {
		id := outputID(j.ID, suffix, j.Batch.OutputExpires)
		return &id
	}
	uri := strings.TrimSuffix(j.Output.URI, "/") + "/" + j.ID + "/"
	if name := j.Input.URI[strings.LastIndexByte(j.Input.URI, '/')+1:]; strings.HasSuffix(name, inputSuffix) {
		uri += name + suffix
	}
	return &uri
}

// getBatch answers one batch.
func (h *handler) getBatch(ctx context.Context, c *call) error {
	j, changes, err := h.batch(ctx, c.name)
	if err != nil {
		return err
	}
	b := batchOf(j, changes)
	if list := h.badLines(ctx, c.who, j); len(list) > 0 {
		b.Errors.Data = list
	}
	return c.send(b)
}

// batch finds a batch.
func (h *handler) batch(ctx context.Context, id string) (batholith.Job, []batholith.Change, error) {
	if !batholith.ValidJobID(id) {
		return batholith.Job{}, nil, refusal(http.StatusNotFound, "not_found", "", "No batch found with id '%s'.", show(id))
	}
	return h.Jobs.Batch(ctx, id)
}

// cancelBatch stops a batch. The answer is the batch as it is then.
func (h *handler) cancelBatch(ctx context.Context, c *call) error {
	if _, _, err := h.batch(ctx, c.name); err != nil {
		return err
	}
	if err := h.Jobs.StopBatch(ctx, c.name); err != nil {
		return err
	}
	return h.getBatch(ctx, c)
}
