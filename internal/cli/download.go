package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// downloadCommand returns the command download, which fetches what submit --download fetches.
func (a *app) downloadCommand() *cobra.Command {
	var wait, asJSON bool
	cmd := &cobra.Command{
		Use:   "download JOB [DIR]",
		Short: "Fetch the output of a job",
		Long: `Fetch the output files and the manifest of a job to DIR/<job id>/ (default: the current directory), and print their paths. Files that are
there are replaced. The output of a job that is not over is what has been written of it so far; with --wait, the job is
watched to its end first, and the exit code is 3 if it does not end Completed.
JOB is its id, its ARN, or its name if only one job has that name.` + clientHelp,
		Example: `  batholith download nightly
  batholith download 8fj2k4l6m8n0 answers --wait`,
		Args: arguments(1, 2, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "watch the job to its end first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: the job and the files")
	a.completeJobs(cmd, t, nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := "."
		if len(args) > 1 {
			dir = args[1]
		}
		if isS3(dir) {
			return &usageError{reason: fmt.Sprintf("the directory %q is an s3:// URI", dir), remedy: "name a local directory; copy from S3 to S3 with: aws s3 cp --recursive"}
		}
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		return a.download(cmd.Context(), c, j, dir, wait, asJSON)
	}
	return cmd
}

// download fetches the output of a job that has ended, or as it is now. With asJSON, it prints one JSON value, also after an error: it then has
// the files that were fetched.
func (a *app) download(ctx context.Context, c *clients, j jobFacts, dir string, wait, asJSON bool) (err error) {
	if _, err := c.api(); err != nil {
		return err
	}
	if err := writableFolder(dir); err != nil {
		return err
	}
	waited := wait && !j.Status.Terminal()
	if waited {
		if j, err = a.watch(ctx, c, j); err != nil {
			return err
		}
	}
	end := fetched{jobFacts: j}
	told := func(path string) { plain.Fprintf(a.stdout, "%s\n", path) }
	if asJSON {
		told = func(path string) { end.Files = append(end.Files, path) }
		defer func() { err = errors.Join(err, a.printJSON(end)) }()
	}
	if err := a.fetchOutput(ctx, c, j, dir, told); err != nil {
		return err
	}
	switch {
	case waited:
		return a.closeWatch(j)
	case !j.Status.Terminal():
		a.tell("warning", fmt.Sprintf("the job is %s: these are %s of %s records at most; fetch the rest with: batholith download %s --wait", j.Status,
			words.Number(j.Processed), words.Number(j.Total), words.Quote(j.id())))
	}
	return nil
}
