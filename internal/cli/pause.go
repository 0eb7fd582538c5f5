package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// jobCommand returns the command job, which groups what can be done with a job that has not ended.
func (a *app) jobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job",
		Short: "Pause a job, or let it go on",
		Args:  noCommand,
		RunE:  printHelp,
	}
	cmd.AddCommand(a.pauseCommand(), a.resumeCommand())
	return cmd
}

// pauseCommand returns the command job pause.
func (a *app) pauseCommand() *cobra.Command {
	return a.pauseOrResume(&cobra.Command{
		Use:   "pause JOB",
		Short: "Send no further record of a job until it is resumed",
		Long: `Send no further record of a job until it is resumed.

Records that are in flight finish, and their answers are kept. The job keeps its status and its place, and other jobs get
its slots. Its deadline goes on: if it passes, the job ends with what it has finished. A paused job can be stopped.
` + jobHelp,
		Example: `  batholith job pause nightly
  batholith job resume nightly`,
	}, "pause", func(j jobFacts) string {
		left := ""
		if j.Expires != nil {
			left = fmt.Sprintf(" before its deadline, %s", j.Expires.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		return plain.Sprintf("pausing %s; resume it%s with: batholith job resume %s\n", j.id(), left, words.Quote(j.id()))
	})
}

// resumeCommand returns the command job resume.
func (a *app) resumeCommand() *cobra.Command {
	return a.pauseOrResume(&cobra.Command{
		Use:     "resume JOB",
		Short:   "Let a paused job go on",
		Long:    "Let a paused job go on, whatever has paused it. A job that is not paused stays as it is.\n" + jobHelp,
		Example: `  batholith job resume nightly`,
	}, "resume", func(j jobFacts) string {
		return plain.Sprintf("resumed %s; watch it with: batholith watch %s\n", j.id(), words.Quote(j.id()))
	})
}

// jobHelp is the end of the help of commands for one job.
const jobHelp = "JOB is its id, its ARN, or its name if only one job has that name." + clientHelp

// pauseOrResume completes one of the two commands. done is what it prints on stderr in the end; the job on stdout is for --json.
func (a *app) pauseOrResume(cmd *cobra.Command, verb string, done func(jobFacts) string) *cobra.Command {
	cmd.Args = arguments(1, 1, "a JOB: an id, an ARN or a name")
	t := a.bindTarget(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the job as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		if err := c.changePause(cmd.Context(), j.ARN, verb); err != nil {
			return fmt.Errorf("%s the job: %w", verb, plainly(err))
		}
		if !*asJSON {
			_, err = a.stderr.Write([]byte(done(j)))
			return err
		}
		if j, err = c.fetch(cmd.Context(), j.ARN); err != nil {
			return err
		}
		return a.printJSON(j)
	}
	return cmd
}

// changePause asks the server to pause or to resume a job.
func (c *clients) changePause(ctx context.Context, job, verb string) error {
	return c.call(ctx, http.MethodPost, "/model-invocation-job/"+url.PathEscape(job)+"/"+verb, nil)
}
