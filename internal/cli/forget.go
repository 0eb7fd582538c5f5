package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// forgetCommand returns the command forget.
func (a *app) forgetCommand() *cobra.Command {
	var output, asJSON bool
	cmd := &cobra.Command{
		Use:   "forget JOB",
		Short: "Erase a job that has ended",
		Long: `Erase a job that has ended: its row, tags, request token and history in the database, what the journal has of it, and its working
files. With --output its output and manifest are deleted too. This cannot be undone. The input is not touched.

The command waits until nothing of the job is left. The lines of the audit log, the usage of its principal and backups that were made before stay.
With SQLite the deleted bytes are overwritten; with PostgreSQL they disappear with its vacuum.
` + jobHelp,
		Example: `  batholith forget nightly
  batholith forget nightly --output         # the output and manifest too`,
		Args: arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&output, "output", false, "delete the output and the manifest too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		return a.forget(cmd.Context(), c, j, output, asJSON)
	}
	return cmd
}

// forget asks the server to erase a job, and waits until it is not found any more. Ctrl-C ends the wait only.
func (a *app) forget(ctx context.Context, c *clients, j jobFacts, output, asJSON bool) error {
	if err := c.forget(ctx, j.ARN, output); err != nil {
		return fmt.Errorf("forget the job: %w", plainly(err))
	}
	told := time.AfterFunc(slowForget, func() {
		a.tell("hint", "it takes longer than usual; the server's log says why. Ctrl-C ends this command only")
	})
	defer told.Stop()
	for {
		_, err := c.fetch(ctx, j.ARN)
		var refused smithy.APIError
		if errors.As(err, &refused) && refused.ErrorCode() == "ResourceNotFoundException" {
			break
		}
		if err != nil {
			return fmt.Errorf("ask whether the job is forgotten: %w", plainly(err))
		}
		select {
		case <-time.After(forgetEvery):
		case <-ctx.Done():
			return hint(context.Cause(ctx), "the server goes on; see whether it is done with: batholith get %s", words.Quote(j.id()))
		}
	}
	if asJSON {
		return a.printJSON(map[string]any{"jobArn": j.ARN, "outputDeleted": output})
	}
	plain.Fprintf(a.stderr, "forgot %s\n", j.id())
	if !output {
		plain.Fprintf(a.stderr, "its output stays in %s\n", j.outputPrefix())
	}
	return nil
}

const (
	// forgetEvery is the time between two questions whether a job is erased, which takes milliseconds to seconds.
	forgetEvery = 200 * time.Millisecond
	// slowForget is when the command says that it takes long.
	slowForget = 15 * time.Second
)

// forget asks the server to erase a job that has ended.
func (c *clients) forget(ctx context.Context, job string, output bool) error {
	how := "/forget"
	if output {
		how += "-with-output"
	}
	return c.call(ctx, http.MethodPost, "/model-invocation-job/"+url.PathEscape(job)+how, nil)
}
