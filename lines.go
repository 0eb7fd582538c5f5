package batholith

import (
	"fmt"
	"strings"
)

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

// The tags of a job that say in which form its lines are: bedrock or openai; and of which endpoint of OpenAI's API the lines of its input are,
// without the tag [ChatEndpoint]. They count when the job is created and cannot be changed later.
const (
	InputTag    = "batholith:input"
	OutputTag   = "batholith:output"
	EndpointTag = "batholith:endpoint"
)

// The ends of the names of output objects: of every job, and of the errors of a job whose output is in OpenAI's lines.
const (
	OutputSuffix = ".out"
	ErrorSuffix  = ".err"
)

// The types of jobs whose input is in OpenAI's lines: each body is one of the endpoint.
const (
	ChatCompletions InvocationType = "ChatCompletions"
	Responses       InvocationType = "Responses"
	Embeddings      InvocationType = "Embeddings"
	Completions     InvocationType = "Completions"
)

// ChatEndpoint is the usual endpoint of OpenAI's lines.
const ChatEndpoint = "/v1/chat/completions"

var endpoints = []struct {
	path string
	typ  InvocationType
}{{ChatEndpoint, ChatCompletions}, {"/v1/responses", Responses}, {"/v1/embeddings", Embeddings}, {"/v1/completions", Completions}}

// Endpoints returns the endpoints of OpenAI's API that jobs can have, each the url of its lines.
func Endpoints() []string {
	all := make([]string, len(endpoints))
	for i, e := range endpoints {
		all[i] = e.path
	}
	return all
}

// EndpointIn returns the endpoint that is this text; "": there is none. It allocates nothing.
func EndpointIn(text []byte) string {
	for _, e := range endpoints {
		if e.path == string(text) {
			return e.path
		}
	}
	return ""
}

// TypeOfEndpoint returns the type of jobs of an endpoint; "": jobs cannot have it.
func TypeOfEndpoint(endpoint string) InvocationType {
	for _, e := range endpoints {
		if e.path == endpoint {
			return e.typ
		}
	}
	return ""
}

// Endpoint returns the endpoint of the type; "": it is a type of Bedrock's lines.
func (t InvocationType) Endpoint() string {
	for _, e := range endpoints {
		if e.typ == t {
			return e.path
		}
	}
	return ""
}

// ParseEndpoint reads the value of [EndpointTag].
func ParseEndpoint(value string) (InvocationType, error) {
	if t := TypeOfEndpoint(value); t != "" {
		return t, nil
	}
	return "", fmt.Errorf("%q is not one of %s", value, strings.Join(Endpoints(), ", "))
}

// TypeIn returns the type that the tags of a job in OpenAI's lines ask for.
func TypeIn(tags []Tag) InvocationType {
	for _, t := range tags {
		if t.Key == EndpointTag {
			typ, _ := ParseEndpoint(t.Value)
			return typ
		}
	}
	return ChatCompletions
}

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
	Endpoint string            // of all records, one of [Endpoints]
	File     string            `json:",omitempty"` // id of the input file; "": the client named an S3 URI
	// OutputExpires is how many seconds after they are written the outputs expire (output_expires_after); 0: never.
	OutputExpires int64 `json:",omitempty"`
}

// Untried is OpenAI's code, and a message, for the records that a job in this terminal status has never tried. code is empty for the other statuses: a
// Completed job has tried all of them, and a Failed one says why it failed.
func (s Status) Untried() (code, message string) {
	switch s {
	case StatusStopped:
		return "batch_cancelled", "The batch was cancelled before this request was answered."
	case StatusPartiallyCompleted, StatusExpired:
		return "batch_expired", "The completion window of the batch ended before this request was answered."
	}
	return "", ""
}
