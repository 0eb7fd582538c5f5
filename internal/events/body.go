package events

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/batholith/batholith"
)

// envelope is an event as Amazon EventBridge passes it on (EventBridge: event structure).
type envelope struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       time.Time `json:"time"` // whole seconds
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	Detail     detail    `json:"detail"`
}

// detail is what Bedrock says of a change (Bedrock: monitor batch inference by EventBridge). Times are in the form of its example. Members
// that Bedrock does not have are in batholith.
type detail struct {
	Version        string `json:"version"`
	AccountID      string `json:"accountId"`
	JobName        string `json:"batchJobName"`
	JobARN         string `json:"batchJobArn"`
	ModelID        string `json:"batchModelId"` // an ARN
	Status         string `json:"status"`
	FailureMessage string `json:"failureMessage"`
	CreationTime   string `json:"creationTime"`
	Batholith      ours   `json:"batholith"`
}

// ours is what programs need beside Bedrock's members.
type ours struct {
	ModelID string    `json:"modelId"`    // of the catalogue
	At      time.Time `json:"changeTime"` // of the change, in milliseconds
	Output  string    `json:"outputS3Uri"`
	Counts  *counts   `json:"counts,omitempty"` // of a job that has ended
}

// counts are the record counters of a job at its end.
type counts struct {
	Total     int64 `json:"totalRecordCount"`
	Succeeded int64 `json:"successRecordCount"`
	Errored   int64 `json:"errorRecordCount"`
}

const (
	detailType = "Batch Inference Job State Change"
	source     = "aws.bedrock"
	// bedrocksTime is the form of creationTime in Bedrock's example, in UTC.
	bedrocksTime = "Jan 2, 2006, 3:04:05 PM"
	// cloudType is the type of a CloudEvent.
	cloudType = "aws.bedrock.batch-inference-job-state-change"
)

// idOf returns the id of an event. A job gets each status once, so that ARN and status name the change, in every process and after a restore.
func idOf(arn string, status batholith.Status) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(arn+"#"+string(status))).String()
}

// bodyOf returns the body of an event, its content type, and its id. job may have changed since.
func bodyOf(format Format, c batholith.Change, job batholith.Job) (body []byte, contentType, id string, err error) {
	arn := job.ARN().String()
	e := envelope{Version: "0", ID: idOf(arn, c.Status), DetailType: detailType, Source: source, Account: job.Account, Time: c.At.UTC().Truncate(time.Second), Region: job.Region,
		Resources: []string{arn}, Detail: detail{Version: "0.0", AccountID: job.Account, JobName: job.Name, JobARN: arn,
			ModelID: batholith.ARN{Partition: "aws", Service: "bedrock", Region: job.Region, Resource: "foundation-model/" + job.Model}.String(),
			Status:  string(c.Status), CreationTime: job.Submitted.UTC().Format(bedrocksTime),
			Batholith: ours{ModelID: job.Model, At: c.At.UTC(), Output: job.Output.URI}}}
	if c.Status.HasMessage() {
		e.Detail.FailureMessage = c.Message
	}
	if c.Status.Terminal() {
		e.Detail.Batholith.Counts = &counts{job.Counts.Total, job.Counts.Succeeded, job.Counts.Errored}
	}
	if format != CloudEvents {
		body, err = json.Marshal(e)
		return body, "application/json", e.ID, err
	}
	body, err = json.Marshal(map[string]any{"specversion": "1.0", "id": e.ID, "source": "/" + job.Account + "/" + job.Region + "/bedrock", "type": cloudType, "subject": arn,
		"time": c.At.UTC(), "datacontenttype": "application/json", "data": e.Detail})
	return body, "application/cloudevents+json", e.ID, err
}
