package openai

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/jsonl"
)

const (
	// namePrefix begins the names of jobs that were created here.
	namePrefix  = "openai-"
	inputSuffix = ".jsonl"
)

// Headers of Bedrock's endpoint (Bedrock: OpenAI Batch API). headerKey comes from clients that repeat requests.
const (
	headerRole   = "X-Amzn-Bedrock-RoleArn"
	headerModel  = "X-Amzn-Bedrock-ModelId"
	headerKMS    = "X-Amzn-Bedrock-OutputEncryptionKeyId"
	headerTags   = "X-Amzn-Bedrock-Tags"
	headerKey    = "Idempotency-Key"
	headerRepeat = "X-Stainless-Retry-Count" // of OpenAI's SDKs; 0 is the first request
)

// Bounds of metadata (OpenAI: the Batch object).
const (
	mostMetadata    = 16
	longestName     = 64
	longestValue    = 512
	longestKey      = 255
	repeatTime      = 10 * time.Minute // in which a repeated request without a key finds the first
	repeatsLooked   = 50
	firstLinesBytes = 1 << 20 // in which the model is looked for
)

// newBatch is the body of a request.
type newBatch struct {
	Input    string            `json:"input_file_id"`
	Endpoint string            `json:"endpoint"`
	Window   string            `json:"completion_window"`
	Metadata map[string]string `json:"metadata"`
	Expires  *expiry           `json:"output_expires_after"`
}

// createBatch creates a batch. Everything that can be known now is checked now; the lines are checked when the job is validated.
func (h *handler) createBatch(ctx context.Context, c *call) error {
	var in newBatch
	if err := json.Unmarshal(c.body, &in, jsontext.AllowDuplicateNames(true)); err != nil {
		return wrong("", "The body is not the JSON of a batch: %s.", show(err.Error()))
	}
	hours, err := in.check()
	if err != nil {
		return err
	}
	expires, err := in.Expires.check("output_expires_after")
	if err != nil {
		return err
	}
	made := batholith.Batch{OutputExpires: expires, Metadata: in.Metadata, Window: in.Window, Endpoint: in.Endpoint}
	at, err := h.placeOf(ctx, c, in.Input, &made)
	if err != nil {
		return err
	}
	model := c.r.Header.Get(headerModel)
	if model == "" {
		if model, err = h.modelOf(ctx, c.who, at.bucket, at.key); err != nil {
			return err
		}
	}
	role := c.r.Header.Get(headerRole)
	if role == "" {
		if made.File == "" && h.Profile == bedrock.ProfileAWS {
			return wrong(headerRole, "The header %s is missing: the role that reads the input and writes the output.", headerRole)
		}
		role = h.Role(c.who.Account)
	}
	tags, err := tagsOf(c.r.Header.Get(headerTags))
	if err != nil {
		return err
	}
	members := map[string]any{"roleArn": role, "modelId": model, "timeoutDurationInHours": float64(hours), "tags": tags,
		"inputDataConfig":  map[string]any{"s3InputDataConfig": map[string]any{"s3Uri": at.input}},
		"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": at.output}}}
	if kms := c.r.Header.Get(headerKMS); kms != "" {
		members["outputDataConfig"].(map[string]any)["s3OutputDataConfig"].(map[string]any)["s3EncryptionKeyId"] = kms
	}
	if err := c.identify(members); err != nil {
		return err
	}
	req, err := bedrock.CheckCreate(members, h.Profile, h.LimitsNow())
	if err != nil {
		return err
	}
	if j, ok, err := h.repeated(ctx, c, req, made); err != nil {
		return err
	} else if ok {
		return h.answerBatch(ctx, c, j)
	}
	j, err := h.Jobs.CreateBatch(ctx, req, made)
	if err != nil {
		return err
	}
	return h.answerBatch(ctx, c, j)
}

// batchPlace is where a batch reads and writes.
type batchPlace struct {
	input, output string // URIs
	bucket, key   string // of the input
}

// placeOf returns the place of a batch over an uploaded file, whose id it sets in made, or over an S3 URI.
func (h *handler) placeOf(ctx context.Context, c *call, input string, made *batholith.Batch) (p batchPlace, err error) {
	if bucket, key, ok := splitURI(input); ok {
		if made.OutputExpires > 0 {
			return p, wrong("output_expires_after", "output_expires_after is for batches over uploaded files: the output of this one is in your own bucket. Leave it out, and delete the output, or let a lifecycle rule of the bucket do it.")
		}
		return batchPlace{input, input[:strings.LastIndexByte(input, '/')+1], bucket, key}, nil
	}
	f, err := h.file(ctx, c.who, input, ActionRead)
	if err != nil {
		return p, err
	}
	if f.purpose() != purposeInput {
		return p, wrong("input_file_id", "File %s has the purpose %s; a batch reads a file of the purpose batch.", show(input), f.purpose())
	}
	made.File = f.id
	below := "s3://" + h.Bucket(c.who.Account) + "/"
	return batchPlace{below + f.key, below + outputsOf(made.OutputExpires), h.Bucket(c.who.Account), f.key}, nil
}

// answerBatch answers a batch that the caller has just created. The policies may not permit to get it: then its times are not known.
func (h *handler) answerBatch(ctx context.Context, c *call, j batholith.Job) error {
	now, changes, err := h.Jobs.Batch(ctx, j.ID)
	var refused bedrock.Refusal
	switch {
	case errors.As(err, &refused):
		return c.send(batchOf(j, nil))
	case err != nil:
		return err
	}
	return c.send(batchOf(now, changes))
}

var window = regexp.MustCompile(`^([0-9]{1,4})h$`)

// check checks the members of a request, and returns the hours of the window.
func (in *newBatch) check() (hours int, err error) {
	switch {
	case in.Input == "":
		return 0, refusal(http.StatusBadRequest, "missing_required_parameter", "input_file_id", "input_file_id is missing: the id of an uploaded file, or an S3 URI.")
	case in.Endpoint == "":
		return 0, refusal(http.StatusBadRequest, "missing_required_parameter", "endpoint", "endpoint is missing; it must be one of %s.", strings.Join(batholith.Endpoints(), ", "))
	case batholith.TypeOfEndpoint(in.Endpoint) == "":
		return 0, wrong("endpoint", "endpoint is '%s'; it must be one of %s.", show(in.Endpoint), strings.Join(batholith.Endpoints(), ", "))
	case in.Window == "":
		return 0, refusal(http.StatusBadRequest, "missing_required_parameter", "completion_window", "completion_window is missing, for example 24h.")
	case len(in.Metadata) > mostMetadata:
		return 0, wrong("metadata", "metadata has %d pairs; it has at most %d.", len(in.Metadata), mostMetadata)
	}
	for k, v := range in.Metadata {
		switch {
		case k == "" || utf8.RuneCountInString(k) > longestName:
			return 0, wrong("metadata", "A key of metadata has 1 to %d characters; '%s' has not.", longestName, show(k))
		case utf8.RuneCountInString(v) > longestValue:
			return 0, wrong("metadata", "A value of metadata has at most %d characters; that of '%s' has more.", longestValue, show(k))
		}
	}
	m := window.FindStringSubmatch(in.Window)
	if m == nil {
		return 0, wrong("completion_window", "completion_window is '%s'; it is a number of hours such as 24h.", show(in.Window))
	}
	hours, _ = strconv.Atoi(m[1])
	return hours, nil
}

// splitURI splits an S3 URI.
func splitURI(text string) (bucket, key string, ok bool) {
	rest, ok := strings.CutPrefix(text, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	return bucket, key, ok
}

// tagsOf reads the tags of a job: a JSON list of {"key", "value"}, a JSON object, or the form of a query (a=1&b=2).
func tagsOf(text string) (tags []any, err error) {
	add := func(k, v string) { tags = append(tags, map[string]any{"key": k, "value": v}) }
	switch text = strings.TrimSpace(text); {
	case text == "":
		return nil, nil
	case text[0] == '[':
		var list []map[string]any
		if json.Unmarshal([]byte(text), &list) == nil {
			for _, t := range list {
				tags = append(tags, t)
			}
			return tags, nil
		}
	case text[0] == '{':
		var pairs map[string]string
		if json.Unmarshal([]byte(text), &pairs) == nil {
			for k, v := range pairs {
				add(k, v)
			}
			return tags, nil
		}
	default:
		if pairs, err := url.ParseQuery(text); err == nil {
			for k := range pairs {
				add(k, pairs.Get(k))
			}
			return tags, nil
		}
	}
	return nil, wrong(headerTags, `The header %s cannot be read; write [{"key":"team","value":"blue"}] or team=blue.`, headerTags)
}

// identify gives a job its name and its token. A request with an Idempotency-Key has the same ones each time, so that the store finds the first
// job. The key counts for its sender alone.
func (c *call) identify(members map[string]any) error {
	key := c.r.Header.Get(headerKey)
	if key == "" {
		members["jobName"] = namePrefix + newID()
		return nil
	}
	if len(key) > longestKey {
		return wrong(headerKey, "The header %s has %d characters; it has at most %d.", headerKey, len(key), longestKey)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", c.who.Principal, key))
	token := hex.EncodeToString(sum[:20])
	members["clientRequestToken"], members["jobName"] = "openai"+token, namePrefix+token[:16]
	return nil
}

// repeated finds the batch of a request that an SDK repeats without a key, after the first one's answer was lost: the newest one of the caller
// that is the same and some minutes old.
func (h *handler) repeated(ctx context.Context, c *call, in *bedrock.CreateModelInvocationJobInput, made batholith.Batch) (j batholith.Job, ok bool, err error) {
	if n, err := strconv.Atoi(c.r.Header.Get(headerRepeat)); err != nil || n < 1 || in.ClientRequestToken != "" {
		return j, false, nil
	}
	jobs, err := h.Jobs.Batches(ctx, namePrefix, "", repeatsLooked)
	var refused bedrock.Refusal
	if errors.As(err, &refused) { // who may create and not list is not helped
		return j, false, nil
	}
	for _, j := range jobs {
		b := j.Batch
		if j.Owner == c.who.Principal && h.Now().Sub(j.Submitted) < repeatTime && j.Token == "" && j.Input.URI == in.InputDataConfig.S3InputDataConfig.S3URI && j.ModelID == in.ModelID &&
			j.RoleARN == in.RoleARN && j.KMSKeyID == in.OutputDataConfig.S3OutputDataConfig.S3EncryptionKeyID &&
			b.Window == made.Window && b.OutputExpires == made.OutputExpires && b.Endpoint == made.Endpoint && b.File == made.File && maps.Equal(b.Metadata, made.Metadata) {
			return j, true, nil
		}
	}
	return j, false, err
}

// modelOf reads the model of a batch from the first of its lines that names one. Validation checks that all lines name it.
func (h *handler) modelOf(ctx context.Context, who bedrock.Caller, bucket, key string) (string, error) {
	const remedy = "Name the model in body.model of each line"
	b, err := h.Open(ctx, who, ActionRead, bucket, key)
	if err != nil {
		return "", err
	}
	o, err := b.Head(ctx, key)
	if errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrNoBucket) {
		return "", refusal(http.StatusNotFound, "not_found", "input_file_id", "There is no object s3://%s/%s. For an input of several objects, name the model in the header %s.", show(bucket), show(key), headerModel)
	}
	if err != nil {
		return "", err
	}
	if o.Bytes == 0 {
		return "", refusal(http.StatusBadRequest, "empty_file", "input_file_id", "The input file is empty.")
	}
	r := blob.NewReader(ctx, b, key, o.ETag, 0, min(o.Bytes, firstLinesBytes))
	defer r.Close()
	lines := jsonl.NewScannerOf(io.LimitReader(r, firstLinesBytes), batholith.LinesOpenAI)
	why := ""
	for lines.Next() {
		if p := lines.Problem(); p != nil {
			if why == "" {
				why = fmt.Sprintf("Line %d: %s.", p.Line, p.Reason)
			}
			continue
		}
		if name, ok := jsonl.ModelIn(lines.Line().Input); ok && name != "" {
			return name, nil
		}
		if why == "" {
			why = fmt.Sprintf("Line %d: body.model is missing.", lines.Line().N)
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", refusal(http.StatusBadRequest, "invalid_jsonl", "input_file_id", "No line of the input names a model. %s %s.", why, remedy)
}
