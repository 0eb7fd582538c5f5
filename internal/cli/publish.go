package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// publishCommand returns the command publish. It may be called again at any time: a publication that is in
// progress is watched, and one that failed is tried again.
func (a *app) publishCommand() *cobra.Command {
	var discard, asJSON bool
	cmd := &cobra.Command{
		Use:   "publish JOB",
		Short: "Write the kept results of a failed job to its output",
		Long: `Write the kept results of a failed job to its output.

If the output of a job cannot be written (access denied, bucket missing, disk full), the job ends Failed, and its finished
records are kept. Fix the cause that the job's message names; then publish writes the kept records and
the manifest to the output, and removes them from where they were kept. The job stays Failed. No record is sent to a model.

JOB is its id, its ARN, or its name if only one job has that name.` + clientHelp,
		Example: `  batholith publish 8fj2k4l6m8n0
  batholith publish nightly --discard       # delete the kept results`,
		Args: arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&discard, "discard", false, "delete the kept results instead, irrevocably")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	a.completeJobs(cmd, t, func(j jobFacts) bool { return j.Status == batholith.StatusFailed })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		if discard {
			return a.discard(cmd.Context(), c, j)
		}
		return a.publish(cmd.Context(), c, j, asJSON)
	}
	return cmd
}

// publishEvery is the time between two questions to the server how far a publication is. A publication takes
// seconds to minutes.
const publishEvery = 500 * time.Millisecond

// publish asks the server to write the kept results, and waits until it has. Ctrl-C ends the wait only; the server
// continues. If the output still cannot be written, the results stay kept and the error has the server's reason.
// On success it prints the s3:// URI of the output on stdout.
func (a *app) publish(ctx context.Context, c *clients, j jobFacts, asJSON bool) error {
	k, err := c.kept(ctx, j.ARN)
	if err != nil {
		return fmt.Errorf("ask for the kept results: %w", plainly(err))
	}
	if k.State == batholith.KeptNone {
		return nothingKept(j)
	}
	if err := c.publishKept(ctx, j.ARN); err != nil {
		return fmt.Errorf("publish the kept results: %w", plainly(err))
	}
	plain.Fprintf(a.stderr, "publishing the %s of %s that are kept\n", words.Plural(k.Records, "finished record"), j.id())
	records := k.Records
	// The server publishes on its own; asking again only tells how far it is.
	for k.State = batholith.KeptPublishing; k.State == batholith.KeptPublishing; {
		select {
		case <-time.After(publishEvery):
		case <-ctx.Done():
			return hint(context.Cause(ctx), "the server goes on publishing; see how far it is with: batholith publish %s", words.Quote(j.id()))
		}
		if k, err = c.kept(ctx, j.ARN); err != nil {
			return fmt.Errorf("ask how the publication goes: %w", plainly(err))
		}
	}
	if k.State == batholith.KeptWaiting {
		return hint(fmt.Errorf("the results of %s are not published: %s", j.id(), k.Reason), "they are still kept: fix the cause and publish again, or give them up with --discard")
	}
	if asJSON {
		return a.printJSON(map[string]any{"jobArn": j.ARN, "recordCount": records, "outputS3Uri": j.outputPrefix()})
	}
	plain.Fprintf(a.stderr, "published %s\n", words.Plural(records, "finished record"))
	_, err = plain.Fprintf(a.stdout, "%s\n", j.outputPrefix())
	return err
}

// discard asks the server to delete the kept results of a job. This cannot be undone. It does not wait for the
// deletion, which continues on the server. A job without kept results is an error.
func (a *app) discard(ctx context.Context, c *clients, j jobFacts) error {
	if err := c.discardKept(ctx, j.ARN); err != nil {
		var refused *smithy.GenericAPIError
		if errors.As(err, &refused) && refused.Code == "ConflictException" {
			return nothingKept(j)
		}
		return fmt.Errorf("discard the kept results: %w", plainly(err))
	}
	plain.Fprintf(a.stderr, "the kept results of %s are being deleted\n", j.id())
	return nil
}

// nothingKept returns the error for a job without kept results. A job that has not ended publishes its output
// itself; a job that has ended has written everything, or its results were discarded.
func nothingKept(j jobFacts) error {
	if !j.Status.Terminal() {
		return hint(fmt.Errorf("job %s is %s and publishes its output itself", j.id(), j.Status), "watch it with: batholith watch %s", words.Quote(j.id()))
	}
	return hint(fmt.Errorf("no results of job %s are kept", j.id()),
		"everything that it finished is in its output, or was discarded; see the job with: batholith get %s", words.Quote(j.id()))
}
