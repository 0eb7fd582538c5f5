package batholith

import (
	"math"
	"time"
	"unicode/utf8"
)

// InvocationType is the Bedrock operation that each record's body belongs to (Bedrock: ModelInvocationType).
type InvocationType string

// The two invocation types. The empty string means InvokeModel.
const (
	InvokeModel InvocationType = "InvokeModel" // modelInput is the model family's own body
	Converse    InvocationType = "Converse"    // modelInput is a Converse body without modelId
)

// Request holds the parameters of CreateModelInvocationJob. Quotas and defaults are not applied to it.
type Request struct {
	Name         string
	ModelID      string // as the client sent it: a model id, an alias or an ARN
	RoleARN      string
	Token        string `json:",omitempty"` // clientRequestToken: a repeated Create with the same token returns the first job
	Type         InvocationType
	Input        Location
	InputFormat  string `json:",omitempty"` // "JSONL" or, if the client did not send it, empty
	Output       Location
	KMSKeyID     string `json:",omitempty"` // encrypts the output objects; empty: the bucket's default
	VPC          *VPC   `json:",omitempty"`
	TimeoutHours int    `json:",omitempty"` // 0: the configured default
	Tags         []Tag  `json:",omitempty"`
	InputLines   Lines  `json:",omitempty"` // form of the input's lines; LinesOpenAI implies a type of an endpoint
	OutputLines  Lines  `json:",omitempty"`
	Batch        *Batch `json:",omitempty"` // nil: the job was not created through OpenAI's API
	// Trace is the trace context of the request that created the job (W3C traceparent); "": it was not traced. It is no part of the request.
	Trace string `json:",omitempty"`
}

// Location is an S3 URI, with the account that must own its bucket if the client named one.
type Location struct {
	URI   string
	Owner string `json:",omitempty"` // 12 digits
}

// VPC lists the subnets and security groups that the job's connections obey.
type VPC struct {
	SubnetIDs        []string
	SecurityGroupIDs []string
}

// Tag is a label that a client attached to a job.
type Tag struct {
	Key, Value string
}

// Job is a model invocation job as the store keeps it.
type Job struct {
	ID      string // 12 lower-case letters and digits
	Account string // 12 digits
	Region  string
	Owner   string // the principal that created it
	Model   string // catalogue id that ModelID resolves to. Quotas and queues use it, so aliases of a model share them
	Request

	Status  Status
	Ending  Status // the terminal status that Status gets once the output is published. Empty until that is decided, and again once Status is terminal
	Message string // how the job ended: why it failed or expired, or how much was done when it was stopped. Message, Note and Failing have at most MaxMessage bytes. Clients see Told
	Note    string // information while the job is not terminal, for example why it waits; then empty
	Failing string // why the job will end as StatusFailed, unless a stop comes first. Empty once Status is terminal

	Kept Kept // empty: KeptNone

	// Restored: the database was restored, and may be older than the bucket of the job. Nothing of it is sent before the two are compared.
	Restored bool
	Paused   Pause // zero: the job is not paused

	// Needs are the features that a program must know to run the job, sorted. The store adds those of the request.
	Needs []Feature

	Submitted time.Time
	Modified  time.Time // time of the last change
	Ended     time.Time // zero until the status is terminal
	Expires   time.Time // jobExpirationTime: Submitted plus the timeout

	Counts Counts
	Tokens Tokens
}

// MaxMessage is the longest Message, Note or Failing in bytes (Bedrock: Message, at most 2048 characters).
const MaxMessage = 2048

// CutMessage cuts a message to at most MaxMessage bytes. It never splits a UTF-8 character.
func CutMessage(message string) string {
	if len(message) <= MaxMessage {
		return message
	}
	n := MaxMessage
	for n > 0 && !utf8.RuneStart(message[n]) {
		n--
	}
	return message[:n]
}

// Told returns the two texts about the job that clients see. message is Bedrock's: why the job Failed or
// Expired, and empty in every other status. note is Batholith's own: why the job waits, that it is going to
// fail, or how it ended. At most one of them is not empty.
func (j Job) Told() (message, note string) {
	switch {
	case j.Status.HasMessage():
		return j.Message, ""
	case j.Message != "" || j.Status.Terminal():
		return "", j.Message
	case !j.Paused.Since.IsZero():
		return "", CutMessage(j.Paused.note(j))
	case j.Note != "":
		return "", j.Note
	case j.Failing != "":
		return "", CutMessage("The job is ending as Failed: " + j.Failing)
	}
	return "", ""
}

// ARN returns the job's ARN, which clients call jobArn.
func (j Job) ARN() ARN { return JobARN(j.Region, j.Account, j.ID) }

// Counts are the record counters in the answers of Get and List. Processed = Succeeded + Errored. Total is 0
// until validation has counted the records.
type Counts struct {
	Total, Processed, Succeeded, Errored int64
}

// Add returns the sum of two counts. It does not overflow: see [Sum].
func (c Counts) Add(d Counts) Counts {
	return Counts{Sum(c.Total, d.Total), Sum(c.Processed, d.Processed), Sum(c.Succeeded, d.Succeeded), Sum(c.Errored, d.Errored)}
}

// Tokens are sums of the token counts that model servers reported, in each server's own tokens. Every member is
// between 0 and 2^63-1, whatever a server reports. Input counts all prompt tokens; CacheRead and CacheWrite are
// the parts of Input that were read from or written to a prompt cache.
type Tokens struct {
	Input, Output, CacheRead, CacheWrite int64
}

// MaxRequestTokens is the largest token count that Batholith accepts for one request, for its prompt or its
// answer. Real models stay far below it.
const MaxRequestTokens = 1<<31 - 1

// BelievedTokens returns n, the token count that a model server reported for one request, or 0 if n is negative
// or above MaxRequestTokens. A wrong count would be billed, and would use up a principal's fair share of the
// model for hours.
func BelievedTokens(n int64) int64 {
	if n < 0 || n > MaxRequestTokens {
		return 0
	}
	return n
}

// Add returns the sum of two token counts. It does not overflow: see [Sum].
func (t Tokens) Add(u Tokens) Tokens {
	return Tokens{Sum(t.Input, u.Input), Sum(t.Output, u.Output), Sum(t.CacheRead, u.CacheRead), Sum(t.CacheWrite, u.CacheWrite)}
}

// Sum adds two counts. Negative arguments count as 0, and a sum above 2^63-1 becomes 2^63-1. So one absurd
// number from a server cannot make a job's totals negative or impossible to store.
func Sum(a, b int64) int64 {
	a, b = max(a, 0), max(b, 0)
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Kept says what happens to the finished records of a job that Failed because its output could not be written.
// They are stored outside the output until somebody publishes or discards them.
type Kept string

// The states of kept results.
const (
	KeptNone       Kept = "None"       // nothing is kept: the output is complete, or the records were discarded
	KeptWaiting    Kept = "Kept"       // the records wait to be published or discarded
	KeptPublishing Kept = "Publishing" // a user asked to publish them; that has not succeeded yet
	KeptDiscarding Kept = "Discarding" // a user discarded them; they are about to be deleted and can no longer be published
)

// ListQuery selects one page of an account's jobs, sorted by submission time.
type ListQuery struct {
	Account      string
	After        time.Time // only jobs submitted later; zero: no bound
	Before       time.Time // only jobs submitted earlier; zero: no bound
	Status       Status    // empty: any status
	NameContains string    // substring of the name, case-sensitive; empty: any name
	Ascending    bool      // oldest first; otherwise newest first
	Limit        int       // jobs on the page, at least 1
	Tags         bool      // the jobs come with their tags
	Cursor       int64     // position returned with the previous page; 0: the first page
}
