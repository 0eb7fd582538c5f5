package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// submission is what submit was asked for.
type submission struct {
	inputs   []string
	model    string
	name     string
	output   string
	role     string
	bucket   string
	typ      batholith.InvocationType
	hours    int
	tags     map[string]string
	wait     bool
	download string
	asJSON   bool
}

// submitCommand is submit.
func (a *app) submitCommand() *cobra.Command {
	var (
		s   submission
		typ string
	)
	cmd := &cobra.Command{
		Use:   "submit INPUT…",
		Short: "Upload records, create a job, print its ARN",
		Long: `Upload local files or folders (or take one s3:// URI), create a job over them and print its ARN.

Files go to s3://BUCKET/<job name>/input/, a folder with its structure; the bucket is made when it is missing.
With --wait the job is watched to its end, and the exit code is 3 when it ends other than Completed.` + clientHelp,
		Example: `  batholith submit questions.jsonl --model batholith.tiny-v1
  batholith submit ./records --model batholith.tiny-v1 --wait --download answers
  batholith submit s3://my-bucket/in/ --model batholith.tiny-v1 --output s3://my-bucket/out/ --name nightly`,
		Args: arguments(1, 0, "an INPUT: a file, a folder or an s3:// URI"),
	}
	t := a.bindTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&s.model, "model", "", "model `id`, alias or ARN (required)")
	f.StringVar(&s.name, "name", "", "`name` of the job (default: the input's, and the time)")
	f.StringVar(&s.output, "output", "", "s3:// `URI` below which the answers go (default: beside the input)")
	f.StringVar(&s.role, "role", "", "`ARN` of the job's role (default: role/batholith of the account)")
	f.StringVar(&s.bucket, "bucket", "batholith", "`bucket` that files are uploaded to")
	f.StringVar(&typ, "type", "", "InvokeModel or Converse (default: what the first record looks like)")
	f.IntVar(&s.hours, "timeout-hours", 0, "`hours` after which the job ends unfinished (default: the server's)")
	f.StringToStringVar(&s.tags, "tag", nil, "tag of the job, `key=value`; may be given again")
	f.BoolVar(&s.wait, "wait", false, "watch the job to its end")
	f.StringVar(&s.download, "download", "", "watch the job, then fetch its output into this `directory`")
	f.BoolVar(&s.asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if s.typ, err = parseType(typ); err != nil {
			return err
		}
		s.inputs = args
		if err := s.check(); err != nil {
			return err
		}
		c, err := a.connect(cmd.Context(), *t)
		if err != nil {
			return err
		}
		return a.submit(cmd.Context(), c, s)
	}
	return cmd
}

// check finds what is wrong with the command line before anything is uploaded.
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
		return &usageError{reason: fmt.Sprintf("--output: %q is no s3:// URI", s.output), remedy: "fetch the answers to a directory with --download DIR"}
	}
	if s.output != "" {
		return refuseURI(s.output)
	}
	return nil
}

// refuseURI refuses what Create would refuse, before anything is read or uploaded.
func refuseURI(uri string) error {
	if why := batholith.RefuseURI(uri); why != "" {
		return &usageError{reason: fmt.Sprintf("%q cannot be used: %s", uri, why), remedy: "name the object or folder by its own path"}
	}
	return nil
}

// isS3 tells a URI of objects from a path.
func isS3(s string) bool { return strings.HasPrefix(s, "s3://") }

// submit uploads what is local, creates the job and follows it as far as was asked. When the job is refused, the uploaded files stay:
// they are named, and cost nothing to whoever tries again.
func (a *app) submit(ctx context.Context, c *clients, s submission) error {
	stamp := time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:3])
	prefix := jobName(s.name, stamp)
	if s.name == "" {
		s.name = jobName(stem(s.inputs[0]), stamp)
		prefix = s.name
	}
	input := s.inputs[0]
	if !isS3(input) {
		files, err := a.gather(s.inputs)
		if err != nil {
			return err
		}
		s.typ = a.invocationType(s.typ, familyNamed(nil, s.model), files)
		if input, err = a.upload(ctx, c, s.bucket, prefix+"/input/", files); err != nil {
			return err
		}
	}
	if s.output == "" {
		s.output = "s3://" + s.bucket + "/" + prefix + "/output/"
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

// stem is the last word of a path or URI without its suffix.
func stem(input string) string {
	base := path.Base(filepath.ToSlash(filepath.Clean(strings.TrimPrefix(input, "s3://"))))
	return strings.TrimSuffix(base, inputSuffix)
}

// jobName joins a word and a stamp to a name that Bedrock accepts: letters, digits, + - and ., the first one a letter or digit, at
// most 63 of them.
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

// create asks for the job. The SDK gives the request a token of its own and keeps it over its retries, so that one call makes one job.
func (c *clients) create(ctx context.Context, s submission, input string) (string, error) {
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
		in.TimeoutDurationInHours = aws.Int32(int32(s.hours))
	}
	for k, v := range s.tags {
		in.Tags = append(in.Tags, types.Tag{Key: &k, Value: &v})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o, err := c.bedrock.CreateModelInvocationJob(ctx, in)
	var denied *types.AccessDeniedException
	switch err := plainly(err); {
	case errors.As(err, &denied) && strings.Contains(err.Error(), "iam:PassRole"):
		return "", hint(fmt.Errorf("create the job: %w", err), "name a role of the server's settings with --role; without it, the job has role/batholith")
	case err != nil:
		return "", fmt.Errorf("create the job: %w", err)
	}
	return aws.ToString(o.JobArn), nil
}

// follow prints the ARN of a new job and does what was asked for after that.
func (a *app) follow(ctx context.Context, c *clients, s submission, arn string) error {
	id := arn[strings.LastIndex(arn, "/")+1:]
	if s.asJSON {
		if err := a.printJSON(map[string]string{"jobArn": arn, "jobName": s.name}); err != nil {
			return err
		}
	} else if _, err := plain.Fprintf(a.stdout, "%s\n", arn); err != nil {
		return err
	}
	if !s.wait && s.download == "" {
		plain.Fprintf(a.stderr, "watch it with: batholith watch %s\n", words.Quote(id))
		return nil
	}
	j, err := c.fetch(ctx, arn)
	if err != nil {
		return err
	}
	if j, err = a.watch(ctx, c, j); err != nil {
		return err
	}
	if s.download != "" {
		if err := a.fetchOutput(ctx, c, j, s.download); err != nil {
			return err
		}
	}
	return a.closeWatch(j)
}
