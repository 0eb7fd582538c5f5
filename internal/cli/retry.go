package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
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

// retry holds the arguments of the command retry.
type retry struct {
	submission // name, wait, download and asJSON
	anyModel   bool
	onlyFailed bool
}

// retryCommand returns the command retry.
func (a *app) retryCommand() *cobra.Command {
	var r retry
	cmd := &cobra.Command{
		Use:   "retry JOB",
		Short: "Ask again what failed in a job, or was never tried",
		Long: `Create a job over the records of a job that failed or were never tried, and print its ARN.

The new job has the same input, model, role, output, tags, encryption key, network and timeout. It takes the answers of the
earlier job, so only the rest is sent to the model, and its output is complete. If the earlier job was of another served
model, its answers are asked again, unless --any-model takes them.

With --only-failed, the input of the new job is a copy of those records alone, beside the output; so is its output. A server
other than Batholith, such as Amazon's, takes no answers of earlier jobs, and an output without the echo of modelInput does
not show whose they are: then the command always does this.

To retry with a corrected input, use: batholith submit INPUT --model ID --reuse JOB
` + jobHelp,
		Example: `  batholith retry nightly
  batholith retry 8fj2k4l6m8n0 --wait --download answers`,
		Args: arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	f := cmd.Flags()
	f.StringVar(&r.name, "name", "", "`name` of the new job (default: that of the job, -retry and the time)")
	f.BoolVar(&r.onlyFailed, "only-failed", false, "copy the records without an answer, and make a job of these alone")
	f.BoolVar(&r.anyModel, "any-model", false, "take the answers of another served model or of other settings, too")
	f.BoolVar(&r.wait, "wait", false, "watch the job to its end")
	f.StringVar(&r.download, "download", "", "watch the job, then download its output to this `directory`")
	f.BoolVar(&r.asJSON, "json", false, "print one JSON value: the new job, or with --wait or --download the job at its end and the files")
	a.completeJobs(cmd, t, nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if r.download != "" {
			if err := writableFolder(r.download); err != nil {
				return hint(fmt.Errorf("--download: %w", err), "name a folder that you may write to; no job was created")
			}
		}
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		return a.retry(cmd.Context(), c, j, r)
	}
	return cmd
}

// retry creates the new job, and watches it if that was asked for.
func (a *app) retry(ctx context.Context, c *clients, j jobFacts, r retry) error {
	if err := c.mayRetry(ctx, j); err != nil {
		return err
	}
	in, err := c.again(ctx, j)
	if err != nil {
		return err
	}
	if r.name == "" {
		r.name = retryName(j.Name)
	}
	in.JobName = &r.name
	takes := batholith.Reuse{Jobs: []string{j.id()}, AnyModel: r.anyModel}
	in.Tags = append(in.Tags, types.Tag{Key: aws.String(batholith.ReuseTag), Value: aws.String(takes.String())})
	ours, err := c.accepts(ctx, in)
	if err != nil {
		return err
	}
	silent := ours && !r.onlyFailed && (linesIn(in.Tags, batholith.OutputTag) != batholith.LinesBedrock || c.withoutEcho(ctx, j))
	if !ours || r.onlyFailed || silent {
		in.Tags = in.Tags[:len(in.Tags)-1]
		switch {
		case silent:
			plain.Fprintf(a.stderr, "the output of %s has no modelInput by which its answers could be taken: the new job gets a copy of the records without an answer\n", j.id())
		case !r.onlyFailed:
			plain.Fprintf(a.stderr, "this server takes no answers of earlier jobs: the new job gets a copy of the records without an answer\n")
		}
		if err := a.onlyFailed(ctx, c, j, in, ours); err != nil {
			return err
		}
	}
	made, err := c.bedrock.CreateModelInvocationJob(ctx, in)
	if err != nil {
		return refusedJob("create the job", err)
	}
	return a.follow(ctx, c, r.submission, aws.ToString(made.JobArn))
}

// mayRetry refuses a job of which nothing can be asked again now.
func (c *clients) mayRetry(ctx context.Context, j jobFacts) error {
	id := words.Quote(j.id())
	switch {
	case !j.Status.Terminal():
		return hint(fmt.Errorf("job %s is %s and has not ended", j.id(), j.Status), "wait for its end with: batholith watch %s; or stop it with: batholith stop %[1]s", id)
	case j.Total > 0 && j.Succeeded == j.Total:
		return hint(fmt.Errorf("job %s has an answer for each of its %s", j.id(), words.Plural(j.Total, "record")),
			"fetch them with: batholith download %s; for a corrected input: batholith submit INPUT --model ID --reuse %[1]s", id)
	}
	if k, err := c.kept(ctx, j.ARN); err == nil && k.State != batholith.KeptNone && k.State != batholith.KeptDiscarding {
		return hint(fmt.Errorf("%s of job %s are kept and not in its output, so they would be asked again", words.Plural(k.Records, "finished record"), j.id()),
			"publish them first with: batholith publish %s; or give them up with --discard there", id)
	}
	return nil
}

// again returns the request with which the job would be created anew, without a name.
func (c *clients) again(ctx context.Context, j jobFacts) (*bedrock.CreateModelInvocationJobInput, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	was, err := c.bedrock.GetModelInvocationJob(ctx, &bedrock.GetModelInvocationJobInput{JobIdentifier: &j.ARN})
	if err != nil {
		return nil, fmt.Errorf("get the job: %w", plainly(err))
	}
	in := &bedrock.CreateModelInvocationJobInput{ModelId: was.ModelId, RoleArn: was.RoleArn, InputDataConfig: was.InputDataConfig, OutputDataConfig: was.OutputDataConfig,
		ModelInvocationType: was.ModelInvocationType, TimeoutDurationInHours: was.TimeoutDurationInHours, VpcConfig: was.VpcConfig}
	tags, err := c.bedrock.ListTagsForResource(ctx, &bedrock.ListTagsForResourceInput{ResourceARN: &j.ARN})
	var denied *types.AccessDeniedException
	switch {
	case errors.As(err, &denied):
		return nil, hint(fmt.Errorf("read the tags of the job, which the new one gets: %w", plainly(err)), "allow bedrock:ListTagsForResource")
	case err != nil: // some services do not tell the tags of a job that has ended
		return in, nil
	}
	for _, tag := range tags.Tags {
		if aws.ToString(tag.Key) != batholith.ReuseTag {
			in.Tags = append(in.Tags, tag)
		}
	}
	return in, nil
}

// accepts asks the server whether it would create the job. ours is false for a server without this question, such as Amazon's.
func (c *clients) accepts(ctx context.Context, in *bedrock.CreateModelInvocationJobInput) (ours bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = c.bedrock.CreateModelInvocationJob(ctx, in, onlyCheck)
	if unknownOperation(err) {
		return false, nil
	}
	return true, refusedJob("the server would refuse the job", err)
}

// retried is the end of the name of a job that retry made.
var retried = regexp.MustCompile(`-retry-\d{8}-\d{6}-[a-z2-7]{3}$`)

// retryName returns the name of a job that retries one of this name. The retry of a retry has a name as long as the first.
func retryName(name string) string {
	stamp := "retry-" + time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:3])
	return jobName(retried.ReplaceAllString(name, ""), stamp)
}

// longestTag is the longest value of a tag, in characters (Bedrock: TagValue).
const longestTag = 256

// takes turns the jobs of submit --reuse into the job's tag.
func (c *clients) takes(ctx context.Context, s *submission) error {
	if len(s.reuse) == 0 {
		return nil
	}
	r, off := batholith.Reuse{AnyModel: s.anyModel}, false
	for _, word := range s.reuse {
		switch word {
		case batholith.ReuseFinished:
			r.Finished = true
		case batholith.ReuseOff:
			off = true
		default:
			j, err := c.find(ctx, word)
			if err != nil {
				return fmt.Errorf("--reuse: %w", err)
			}
			r.Jobs = append(r.Jobs, j.id())
		}
	}
	value := r.String()
	switch {
	case off && (r.Any() || r.AnyModel):
		return &usageError{reason: "--reuse " + batholith.ReuseOff + " stands alone", remedy: "leave it out to take answers of earlier jobs"}
	case len(value) > longestTag:
		return &usageError{reason: fmt.Sprintf("--reuse: %d jobs are too many", len(r.Jobs)), remedy: "write --reuse " + batholith.ReuseFinished + " to take the answers of all ended jobs"}
	}
	if s.tags == nil {
		s.tags = map[string]string{}
	}
	s.tags[batholith.ReuseTag] = value
	return nil
}
