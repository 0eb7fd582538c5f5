package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// submission holds the arguments of submit. Empty members have the defaults of the flags: a name from the input
// and the time, output beside the input, the role batholith, and the type of the first record.
type submission struct {
	inputs   []string
	model    string
	name     string
	output   string
	role     string
	bucket   string
	typ      batholith.InvocationType
	hours    int
	timed    bool // hours was given
	tags     map[string]string
	reuse    []string // jobs whose answers are taken: ids, ARNs, names, or the words of the tag
	anyModel bool
	wait     bool
	download string
	asJSON   bool

	price    batholith.Price // of the model, in the settings of this command
	estimate *estimate       // nil: the input is in the S3, or is not readable
}

// submitCommand returns the command submit. It prints the job's ARN on stdout, so that a script can use it.
func (a *app) submitCommand() *cobra.Command {
	var (
		s   submission
		typ string
	)
	cmd := &cobra.Command{
		Use:   "submit INPUT…",
		Short: "Upload records, create a job, print its ARN",
		Long: `Upload local files or folders (or take one s3:// URI), create a job over them and print its ARN.

Files go to s3://BUCKET/<job name>/input/, a folder with its structure; a missing bucket is created. A .jsonl.gz or .jsonl.zst file is
unpacked before its upload; - is stdin.
Before the upload, a line on stderr says what the job is expected to take: records, tokens, and the cost if the settings of this command have a
price. Of an input of more than 4 MiB it reads samples. The tags batholith:max-tokens and batholith:max-cost cap what the job may take.

With --wait, the job is watched to its end, and the exit code is 3 if it does not end Completed.` + clientHelp,
		Example: `  batholith submit questions.jsonl --model batholith.tiny-v1
  batholith submit ./records --model batholith.tiny-v1 --wait --download answers
  batholith submit s3://my-bucket/in/ --model batholith.tiny-v1 --output s3://my-bucket/out/ --name nightly
  batholith submit corrected.jsonl --model batholith.tiny-v1 --reuse nightly   # asks only what changed or failed`,
		Args: arguments(1, 0, "an INPUT: a file, a folder or an s3:// URI"),
	}
	t := a.bindTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&s.model, "model", "", "model `id`, alias or ARN (required)")
	f.StringVar(&s.name, "name", "", "`name` of the job (default: name of the input and the time)")
	f.StringVar(&s.output, "output", "", "s3:// `URI` for the answers (default: beside the input)")
	f.StringVar(&s.role, "role", "", "`ARN` of the job's role (default: role/batholith of the account)")
	f.StringVar(&s.bucket, "bucket", "batholith", "`bucket` for the uploaded files")
	f.StringVar(&typ, "type", "", "InvokeModel or Converse (default: detected from the first record)")
	f.IntVar(&s.hours, "timeout-hours", 0, "`hours` after which the job ends unfinished (default: the server's)")
	f.StringToStringVar(&s.tags, "tag", nil, "tag of the job, `key=value`; may be repeated")
	f.StringSliceVar(&s.reuse, "reuse", nil, "take finished answers of earlier jobs: `JOB` (an id, ARN or name), or finished; may be repeated")
	f.BoolVar(&s.anyModel, "any-model", false, "with --reuse: take the answers of another served model or of other settings, too")
	f.BoolVar(&s.wait, "wait", false, "watch the job to its end")
	f.StringVar(&s.download, "download", "", "watch the job, then download its output to this `directory`")
	f.BoolVar(&s.asJSON, "json", false, "print one JSON value: the new job, or with --wait or --download the job at its end and the files")
	a.completeModels(cmd, t)
	completeWords(cmd, "type", string(batholith.InvokeModel), string(batholith.Converse))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if s.typ, err = parseType(typ); err != nil {
			return err
		}
		s.inputs, s.timed = args, f.Changed("timeout-hours")
		if err := s.check(); err != nil {
			return err
		}
		c, err := a.connect(cmd.Context(), *t)
		if err != nil {
			return err
		}
		if err := c.takes(cmd.Context(), &s); err != nil {
			return err
		}
		s.price = a.priceOf(*t, s.model)
		return a.submit(cmd.Context(), c, s)
	}
	return cmd
}

// check finds mistakes in the command line before anything is uploaded: the model, the URIs, the bucket's name and
// the timeout. It creates the folder of --download and tests that it can be written to. The errors are
// *usageError, except for the folder's.
func (s *submission) check() error {
	if s.model == "" {
		return &usageError{reason: "submit needs --model ID", remedy: "for example --model batholith.tiny-v1"}
	}
	for _, in := range s.inputs {
		if isS3(in) && len(s.inputs) > 1 {
			return &usageError{reason: "an s3:// URI must be the only input", remedy: "name the prefix that all the files are below"}
		}
		if isS3(in) {
			if err := refuseURI(in); err != nil {
				return err
			}
		}
	}
	if s.output != "" && !isS3(s.output) {
		return &usageError{reason: fmt.Sprintf("--output: %q is not a valid s3:// URI", s.output), remedy: "fetch the answers to a directory with --download DIR"}
	}
	if s.output != "" {
		if err := refuseURI(s.output); err != nil {
			return err
		}
	}
	if !bucketForm.MatchString(s.bucket) {
		return &usageError{reason: fmt.Sprintf("--bucket: %q is not a valid bucket name", s.bucket), remedy: "write 3 to 63 lower-case letters, digits, dots and dashes, a letter or digit at both ends"}
	}
	if s.timed && s.hours < 1 {
		return &usageError{reason: fmt.Sprintf("--timeout-hours: %d is not possible", s.hours), remedy: "write 1 or more, or leave it out to have the server's default"}
	}
	if _, tagged := s.tags[batholith.ReuseTag]; tagged && len(s.reuse) > 0 {
		return &usageError{reason: "--reuse and --tag " + batholith.ReuseTag + " say the same thing", remedy: "leave one of them out"}
	}
	if s.anyModel && len(s.reuse) == 0 {
		return &usageError{reason: "--any-model has no meaning without --reuse", remedy: "name a job with --reuse JOB, or write --reuse " + batholith.ReuseFinished}
	}
	if s.download != "" {
		if err := writableFolder(s.download); err != nil {
			return hint(fmt.Errorf("--download: %w", err), "name a folder that you may write to; nothing was uploaded")
		}
	}
	return nil
}

// bucketForm is the form of bucket names that S3 accepts for new buckets (Amazon S3: bucket naming rules).
var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// writableFolder creates the folder for the answers and tests that files can be created there. It runs before the
// upload, because a job whose answers cannot be stored has cost its time already.
func writableFolder(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".fetch-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return hint(fmt.Errorf("the answers cannot be written to %s: %w", dir, files.PathAndReason(err)), "name a folder that you may write to")
	}
	return nil
}

// refuseURI returns a *usageError for a URI that the server would refuse. It needs no connection.
func refuseURI(uri string) error {
	if why := batholith.RefuseURI(uri); why != "" {
		return &usageError{reason: fmt.Sprintf("%q cannot be used: %s", uri, why), remedy: "name the object or folder by its own path"}
	}
	return nil
}

// isS3 reports whether s is an s3:// URI. Everything else is a path.
func isS3(s string) bool { return strings.HasPrefix(s, "s3://") }

// submit uploads local files, creates the job and, if that was asked for, waits for its end. The steps are
//
//	check the command line and the files → ask the server (CheckModelInvocationJob) → upload → Create → watch → download
//
// so a refusal normally comes before the upload. If Create fails after it, the files stay in the bucket, and the
// next submit uses another prefix. A job that was created continues if this command is ended.
func (a *app) submit(ctx context.Context, c *clients, s submission) error {
	// Seconds and three random characters: two submits in the same second get different prefixes.
	stamp := time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:3])
	prefix := jobName(s.name, stamp)
	if s.name == "" {
		name := stem(s.inputs[0])
		if isPacked(s.inputs[0]) || s.inputs[0] == "-" {
			name = stemOf(s.inputs[0])
		}
		s.name = jobName(name, stamp)
		prefix = s.name
	}
	input, makeOutput := s.inputs[0], s.output == ""
	if makeOutput {
		s.output = "s3://" + s.bucket + "/" + prefix + "/output/"
	}
	if !isS3(input) {
		unpacked, err := a.unpackInputs(ctx, s.inputs)
		if err != nil {
			return err
		}
		defer unpacked.close()
		gathered, form, err := a.gather(unpacked.inputs)
		if err != nil {
			return err
		}
		if err := s.takeForm(a, form); err != nil {
			return err
		}
		s.typ = a.invocationType(s.typ, familyNamed(nil, s.model), form)
		if _, err := c.api(); err != nil {
			return err
		}
		if err := c.check(ctx, s, inputBelow(s.bucket, prefix+"/input/", gathered)); err != nil {
			return err
		}
		s.estimate = estimates(gathered, s, s.price)
		a.tellEstimate(s.estimate, s)
		if input, err = a.upload(ctx, c, s.bucket, prefix+"/input/", gathered); err != nil {
			return err
		}
	}
	if makeOutput {
		if err := c.makeBucket(ctx, s.bucket); err != nil {
			return err
		}
	}
	arn, err := c.create(ctx, s, input)
	if err != nil {
		return err
	}
	return a.follow(ctx, c, s, arn)
}

// takeForm sets the tags of a job over OpenAI's lines, unless the user gives them, and the type: the tags say what the bodies are, so that the
// server gets the usual one.
func (s *submission) takeForm(a *app, form lineForm) error {
	if !form.openAI() {
		return nil
	}
	var assumed []string
	tags := maps.Clone(s.tags)
	if tags == nil {
		tags = map[string]string{}
	}
	set := func(key, value string) {
		if _, said := tags[key]; !said {
			tags[key] = value
			assumed = append(assumed, "--tag "+key+"="+value)
		}
	}
	if said := tags[batholith.InputTag]; said != "" && said != string(batholith.LinesOpenAI) {
		return nil // the server's validation says what is wrong
	}
	if tags[batholith.InputTag] == "" { // who names the form of the input has said all
		set(batholith.InputTag, string(batholith.LinesOpenAI))
		set(batholith.OutputTag, string(batholith.LinesOpenAI))
	}
	if form.typ != batholith.ChatCompletions {
		set(batholith.EndpointTag, form.typ.Endpoint())
	}
	then := ""
	if len(assumed) > 0 {
		then = ": " + strings.Join(assumed, " ") + " is assumed"
	}
	if _, err := form.typed(a, s.typ, then); err != nil {
		return err
	}
	s.tags, s.typ = tags, batholith.InvokeModel
	return nil
}

// stem returns the last element of a path or URI without .jsonl, as the beginning of a job's name.
func stem(input string) string {
	base := path.Base(filepath.ToSlash(filepath.Clean(strings.TrimPrefix(input, "s3://"))))
	return strings.TrimSuffix(base, inputSuffix)
}

// jobName joins a word and a time stamp to a valid job name. Bedrock: letters, digits, + - and ., the first a
// letter or digit, at most 63 characters. Other characters become dashes; a long word is cut, the stamp is kept
// whole.
func jobName(word, stamp string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '+' {
			return r
		}
		return '-'
	}, word)
	clean = strings.Trim(clean, "-.+")
	if clean == "" {
		clean = "job"
	}
	return clean[:min(len(clean), 63-1-len(stamp))] + "-" + stamp
}

// check asks the server whether it would accept the job, and returns the refusal with a remedy. A server without
// this operation, such as Amazon's, is taken to accept; its refusal comes from Create, after the upload.
func (c *clients) check(ctx context.Context, s submission, input string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := c.bedrock.CreateModelInvocationJob(ctx, c.request(s, input), onlyCheck)
	if unknownOperation(err) {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) && err != nil {
		return fmt.Errorf("ask the server whether it takes the job: %w", plainly(err))
	}
	return refusedJob("the server would refuse the job, so nothing was uploaded", err)
}

// unknownOperation reports whether a server does not have an operation of Batholith's own.
func unknownOperation(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "UnknownOperationException" || api.ErrorCode() == "UnknownError")
}

// checkPath is the path of CheckModelInvocationJob, an operation of Batholith's own. It takes the members of
// Create and creates nothing.
const checkPath = "/check-model-invocation-job"

// onlyCheck is an option of a Create call that sends the request to checkPath instead. The path is replaced before
// the request is signed, since the signature covers it.
func onlyCheck(o *bedrock.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("batholith.check", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (
			middleware.BuildOutput, middleware.Metadata, error) {
			r, ok := in.Request.(*smithyhttp.Request)
			if !ok {
				return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("a request of the type %T cannot be checked", in.Request)
			}
			r.URL.Path = strings.TrimSuffix(r.URL.Path, "/model-invocation-job") + checkPath
			r.URL.RawPath = ""
			return next.HandleBuild(ctx, in)
		}), middleware.After)
	})
}

// request returns the Create request of a submission. Without --role, the job gets role/batholith of the account;
// without --timeout-hours, the member is left out and the server's default applies. input is the s3:// URI of the
// job's input.
func (c *clients) request(s submission, input string) *bedrock.CreateModelInvocationJobInput {
	if s.role == "" {
		s.role = batholith.ARN{Partition: "aws", Service: "iam", Account: c.account, Resource: "role/batholith"}.String()
	}
	in := &bedrock.CreateModelInvocationJobInput{
		JobName: &s.name, ModelId: &s.model, RoleArn: &s.role,
		InputDataConfig: &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{
			Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: &input}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{
			Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: &s.output}},
		ModelInvocationType: types.ModelInvocationType(s.typ),
	}
	if s.hours > 0 {
		in.TimeoutDurationInHours = aws.Int32(int32(min(s.hours, math.MaxInt32)))
	}
	for k, v := range s.tags {
		in.Tags = append(in.Tags, types.Tag{Key: &k, Value: &v})
	}
	return in
}

// create creates the job and returns its ARN. The SDK adds a client request token and keeps it over its retries,
// so a retry after a lost answer does not create a second job.
func (c *clients) create(ctx context.Context, s submission, input string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o, err := c.bedrock.CreateModelInvocationJob(ctx, c.request(s, input))
	if err != nil {
		return "", refusedJob("create the job", err)
	}
	return aws.ToString(o.JobArn), nil
}

// refusedJob adds a remedy to a refusal of Create: the flag that sets the member named in it. what says what was
// tried. nil stays nil.
func refusedJob(what string, err error) error {
	if err == nil {
		return nil
	}
	text := plainly(err)
	told := fmt.Errorf("%s: %w", what, text)
	var denied *types.AccessDeniedException
	var invalid *types.ValidationException
	var conflict *types.ConflictException
	switch {
	case errors.As(err, &denied) && strings.Contains(text.Error(), "iam:PassRole"):
		return hint(told, "name a role of the server's settings with --role; without it, the job has role/batholith")
	case errors.As(err, &conflict) && strings.Contains(text.Error(), "job name"):
		return hint(told, "choose another --name, or wait for the end of the job that has it: batholith jobs")
	case errors.As(err, &invalid):
		for _, m := range memberFlags {
			if strings.Contains(text.Error(), m.member) {
				return hint(told, "%s", m.remedy)
			}
		}
	}
	return told
}

// memberFlags maps members that a refusal names to the flags that set them.
var memberFlags = []struct{ member, remedy string }{
	{"requested model", "name a model that is configured with --model; another is added under models in the server's settings"},
	{"'roleArn'", "write --role arn:aws:iam::ACCOUNT:role/NAME; without it, the job has role/batholith"},
	{"'timeoutDurationInHours'", "correct --timeout-hours; without it, the job has the server's default"},
	{"'jobName'", "correct --name: letters, digits, + - and ., at most 63, the first a letter or digit"},
	{"'tags", "correct --tag KEY=VALUE"},
	{"'modelId'", "correct --model: an id, an alias or an ARN"},
	{"s3Uri'", "correct --bucket, --output or the input's URI"},
}

// submitted is the output of --json without --wait.
type submitted struct {
	ARN  string `json:"jobArn"`
	Name string `json:"jobName"`

	Estimate *estimateFacts `json:"estimate,omitempty"`
}

// estimateFacts is the estimate as data, with the names that validate has.
type estimateFacts struct {
	Records   int64 `json:"records"`
	Sampled   bool  `json:"sampled"` // the numbers are scaled from a part of the input
	Input     int64 `json:"estimatedInputTokens"`
	Least     int64 `json:"leastInputTokens"`
	Most      int64 `json:"mostInputTokens"`
	Output    int64 `json:"maximumOutputTokens"`
	Unlimited int64 `json:"recordsWithoutTokenLimit"`
	Cost      *cost `json:"estimatedCost,omitempty"`
}

// facts returns the estimate as data; nil of none.
func (e *estimate) facts() *estimateFacts {
	if e == nil {
		return nil
	}
	return &estimateFacts{e.Records, e.sampled, e.InputTokens, e.LeastTokens, e.MostTokens, e.OutputTokens, e.Unlimited, e.Cost}
}

// fetched is the output of --json with --wait or --download: the job at its end, and the paths of the downloaded
// files.
type fetched struct {
	jobFacts
	Files []string `json:"files,omitempty"` // paths of what was downloaded
}

// follow prints the ARN of the new job, and then waits and downloads as the flags say. With --json it prints
// exactly one JSON value, also if the wait fails: it then describes the job as it was last seen.
func (a *app) follow(ctx context.Context, c *clients, s submission, arn string) (err error) {
	id := arn[strings.LastIndex(arn, "/")+1:]
	waits := s.wait || s.download != ""
	switch {
	case s.asJSON && waits:
		plain.Fprintf(a.stderr, "created %s\n", arn)
	case s.asJSON:
		err = a.printJSON(submitted{arn, s.name, s.estimate.facts()})
	default:
		_, err = plain.Fprintf(a.stdout, "%s\n", arn)
	}
	if err != nil {
		return err
	}
	if !waits {
		plain.Fprintf(a.stderr, "watch it with: batholith watch %s\n", words.Quote(id))
		return nil
	}
	end := fetched{jobFacts: jobFacts{ARN: arn, Name: s.name}}
	if s.asJSON {
		defer func() { err = errors.Join(err, a.printJSON(end)) }()
	}
	j, err := c.fetch(ctx, arn)
	if err != nil {
		return err
	}
	j, err = a.watch(ctx, c, j)
	end.jobFacts = j
	if err != nil {
		return err
	}
	if s.download != "" {
		told := func(path string) { plain.Fprintf(a.stdout, "%s\n", path) }
		if s.asJSON {
			told = func(path string) { end.Files = append(end.Files, path) }
		}
		if err := a.fetchOutput(ctx, c, j, s.download, told); err != nil {
			return err
		}
	}
	return a.closeWatch(j)
}
