package batholith

import "fmt"

// Lines is the form of a job's input or output lines.
type Lines string

// The forms of lines.
const (
	// LinesBedrock is Bedrock's form: {"recordId", "modelInput"}, and in the output {"recordId", "modelInput", "modelOutput" or "error"}.
	LinesBedrock Lines = ""
	// LinesOpenAI is the form of OpenAI's batch files: {"custom_id", "method", "url", "body"}, and in the output {"id", "custom_id",
	// "response", "error"}. The lines of records that failed are in an object of their own, with the suffix [ErrorSuffix].
	LinesOpenAI Lines = "openai"
)

// The tags of a job that say in which form its lines are: bedrock or openai. They count when the job is created and cannot be changed later.
const (
	InputTag  = "batholith:input"
	OutputTag = "batholith:output"
)

// The ends of the names of output objects: of every job, and of the errors of a job whose output is in OpenAI's lines.
const (
	OutputSuffix = ".out"
	ErrorSuffix  = ".err"
)

// ChatCompletions is the type of a job whose input is in OpenAI's lines: each body is one of OpenAI's chat completions.
const ChatCompletions InvocationType = "ChatCompletions"

// ParseLines reads the value of [InputTag] and [OutputTag].
func ParseLines(value string) (Lines, error) {
	switch value {
	case "bedrock":
		return LinesBedrock, nil
	case string(LinesOpenAI):
		return LinesOpenAI, nil
	}
	return "", fmt.Errorf("%q is neither bedrock nor openai", value)
}

// LinesIn returns the form that tags ask for under a key. The tags of a job cannot have a value that is not understood.
func LinesIn(tags []Tag, key string) Lines {
	for _, t := range tags {
		if t.Key == key {
			lines, _ := ParseLines(t.Value)
			return lines
		}
	}
	return LinesBedrock
}

// Batch is what a client of OpenAI's batch API said of a job that Bedrock's API cannot say.
type Batch struct {
	Metadata map[string]string `json:",omitempty"` // at most 16 pairs; keys up to 64 and values up to 512 characters
	Window   string            // completion_window, as it was sent
	Endpoint string            // of all records: /v1/chat/completions
	File     string            `json:",omitempty"` // id of the input file; "": the client named an S3 URI
	// OutputExpires is how many seconds after they are written the outputs expire (output_expires_after); 0: never.
	OutputExpires int64 `json:",omitempty"`
}

// Untried is OpenAI's code, and a message, for the records that a job in this terminal status has never tried. code is empty for the other statuses: a
// Completed job has tried all of them, and a Failed one says why it failed.
func (s Status) Untried() (code, message string) {
	switch s {
	case StatusStopped:
		return "batch_cancelled", "The batch was cancelled before this request was sent."
	case StatusPartiallyCompleted, StatusExpired:
		return "batch_expired", "The completion window of the batch ended before this request was sent."
	}
	return "", ""
}
