package batholith

import (
	"math"
	"time"
	"unicode/utf8"
)

// InvocationType says which operation each record stands for (Bedrock: ModelInvocationType).
type InvocationType string

// The two invocation types. An empty one means InvokeModel.
const (
	InvokeModel InvocationType = "InvokeModel" // modelInput is the model family's own body
	Converse    InvocationType = "Converse"    // modelInput is a Converse body without modelId
)

// Request is what a client asked for when it created a job.
type Request struct {
	Name         string
	ModelID      string // as the client wrote it: a model id, an alias or an ARN
	RoleARN      string
	Token        string `json:",omitempty"` // clientRequestToken, for idempotency
	Type         InvocationType
	Input        Location
	InputFormat  string `json:",omitempty"` // "JSONL", when the client said so
	Output       Location
	KMSKeyID     string `json:",omitempty"` // encrypts the output objects
	VPC          *VPC   `json:",omitempty"`
	TimeoutHours int    `json:",omitempty"` // 0: the default of the settings
	Tags         []Tag  `json:",omitempty"`
}

// Location is an S3 URI and, when named, the account that must own its bucket.
type Location struct {
	URI   string
	Owner string `json:",omitempty"` // 12 digits
}

// VPC names the subnets and security groups that a job's traffic goes through.
type VPC struct {
	SubnetIDs        []string
	SecurityGroupIDs []string
}

// Tag is a label that a client put on a job.
type Tag struct {
	Key, Value string
}

// Job is a model invocation job as the store knows it.
type Job struct {
	ID      string // 12 lower-case letters and digits
	Account string // 12 digits
	Region  string
	Owner   string // principal that created it
	Model   string // the catalogue's id of what ModelID names: quotas and queues are by model, whatever name was used
	Request

	Status  Status
	Ending  Status // terminal; what Status becomes when the job's output is all that is left of it. Empty before that is certain, and after
	Message string // how it ended: why it failed or expired, how much was done when it was stopped. At most MaxMessage bytes, like the next two. See Told
	Note    string // what is worth knowing before it ends, such as why it waits; empty once Status is terminal
	Failing string // why the job is on its way to StatusFailed, in which it ends unless a stop comes first. Empty once Status is terminal

	Kept Kept // "" is KeptNone

	Submitted time.Time
	Modified  time.Time
	Ended     time.Time // zero until the status is terminal
	Expires   time.Time // jobExpirationTime: Submitted plus the timeout

	Counts Counts
	Tokens Tokens
}

// MaxMessage is the longest Message, Note or Failing in bytes (Bedrock: Message, at most 2048 characters).
const MaxMessage = 2048

// CutMessage cuts a message to MaxMessage bytes, between two characters.
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

// Told returns what clients are told of the job in words. The message is Bedrock's: why the job Failed or Expired, and empty in any other
// status. The note is ours: why the job waits, that it will fail, or how it ended.
func (j Job) Told() (message, note string) {
	switch {
	case j.Status.HasMessage():
		return j.Message, ""
	case j.Message != "" || j.Status.Terminal():
		return "", j.Message
	case j.Note != "":
		return "", j.Note
	case j.Failing != "":
		return "", CutMessage("The job is ending as Failed: " + j.Failing)
	}
	return "", ""
}

// ARN is the job's name to clients.
func (j Job) ARN() ARN { return JobARN(j.Region, j.Account, j.ID) }

// Counts are the record counters that Get and List answer.
// Processed is always Succeeded plus Errored, and Total is 0 until validation has counted the records.
type Counts struct {
	Total, Processed, Succeeded, Errored int64
}

// Add returns the sum of two counts. It saturates: see [Sum].
func (c Counts) Add(d Counts) Counts {
	return Counts{Sum(c.Total, d.Total), Sum(c.Processed, d.Processed), Sum(c.Succeeded, d.Succeeded), Sum(c.Errored, d.Errored)}
}

// Tokens are sums of what model servers reported, in their own tokens. None is below 0 or beyond 2^63-1, whatever a server reports.
// Input counts every prompt token; CacheRead and CacheWrite tell which of them a prompt cache held or took in.
type Tokens struct {
	Input, Output, CacheRead, CacheWrite int64
}

// MaxRequestTokens is the largest count that is believed of one request, prompt or answer. No model reads or writes nearly as much.
const MaxRequestTokens = 1<<31 - 1

// BelievedTokens is the count n that a model server tells of one request, or 0, as if it told none, where n is negative or above
// MaxRequestTokens. A false count would otherwise be billed, and take a principal's share of the model for hours.
func BelievedTokens(n int64) int64 {
	if n < 0 || n > MaxRequestTokens {
		return 0
	}
	return n
}

// Add returns the sum of two token counts. It saturates: see [Sum].
func (t Tokens) Add(u Tokens) Tokens {
	return Tokens{Sum(t.Input, u.Input), Sum(t.Output, u.Output), Sum(t.CacheRead, u.CacheRead), Sum(t.CacheWrite, u.CacheWrite)}
}

// Sum adds two counts. A sum that does not fit is 2^63-1, and a count below 0 counts as 0: one absurd number from a server must not make a
// job's totals negative or keep them from being stored.
func Sum(a, b int64) int64 {
	a, b = max(a, 0), max(b, 0)
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Kept says whether finished records of a job that Failed wait, outside its output, to be published: its output could not be written.
type Kept string

// The states of kept results.
const (
	KeptNone       Kept = "None"       // the output has everything that was finished, or it was discarded
	KeptWaiting    Kept = "Kept"       // they wait to be published or discarded
	KeptPublishing Kept = "Publishing" // somebody asked for their publication, which has not succeeded yet
	KeptDiscarding Kept = "Discarding" // somebody gave them up; they are about to be deleted, and cannot be published any more
)

// ListQuery asks for one page of an account's jobs, in the order in which they were submitted.
type ListQuery struct {
	Account      string
	After        time.Time // submitted later than this; zero: no bound
	Before       time.Time // submitted earlier than this; zero: no bound
	Status       Status    // empty: any
	NameContains string    // part of the name, letter for letter; empty: any
	Ascending    bool      // oldest first; otherwise newest first
	Limit        int       // jobs on the page, at least 1
	Cursor       int64     // what the page before returned; 0: the first page
}
