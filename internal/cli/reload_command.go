package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// reloadTime is how long reload waits for the server.
const reloadTime = time.Minute

// reloadCommand returns the command reload.
func (a *app) reloadCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the server of this data directory read its settings again",
		Long: `Make the server of this data directory read its settings file again, and print what has changed and what needs a restart.

The server also does so by itself one to two seconds after the file has changed, and after SIGHUP. Requests in flight are not interrupted, and no
record is sent twice. If the settings have an error, nothing changes, and the exit code is 1.

Where several processes share a database, each reads its own settings. To check a file first, use batholith config --check FILE.`,
		Example: `  batholith config --check batholith.yaml && batholith reload
  batholith reload --data /var/lib/batholith --json`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir := a.dataOf(s)
		server, err := config.ReadServer(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !config.InUse(dir) {
			return hint(fmt.Errorf("no server is running for %s", plain.Line(dir)), "name the data directory of the server with --data")
		}
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), reloadTime, errNoReload)
		defer cancel()
		r, err := askReload(ctx, dir, rand.Text())
		switch {
		case errors.Is(err, errNoReload):
			return hint(fmt.Errorf("process %d, which uses %s, has not answered for %s", server.PID, plain.Line(dir), words.Span(reloadTime)), "look at its log, or send it SIGHUP")
		case err != nil:
			return err
		case asJSON:
			err = a.printJSON(r)
		default:
			a.tellReload(r)
		}
		if err == nil && len(r.Problems) > 0 {
			return errors.New("the settings cannot be used; nothing was changed")
		}
		return err
	}
	return cmd
}

var errNoReload = errors.New("the server does not answer")

// tellReload prints the result of a reload.
func (a *app) tellReload(r reloaded) {
	for _, p := range r.Problems {
		a.tell("error", p.What)
		a.tell("hint", p.Remedy)
	}
	for _, path := range r.Changed {
		plain.Fprintf(a.stdout, "changed        %s\n", path)
	}
	for _, path := range r.NeedsRestart {
		plain.Fprintf(a.stdout, "needs a restart  %s\n", path)
	}
	if len(r.Problems)+len(r.Changed)+len(r.NeedsRestart) == 0 {
		plain.Fprintf(a.stdout, "nothing has changed\n")
	}
}

// dataOf returns the data directory of the settings. If the settings have an error, it is the one of the flag or the variable, or else the default: the server tells the error.
func (a *app) dataOf(s *settings) string {
	quiet := *a
	quiet.stderr = io.Discard
	if c, err := quiet.loadBy(config.LoadClient, s); err == nil {
		return c.Data
	}
	if dir := s.flags["data"]; dir != "" {
		return dir
	}
	if dir := a.getenv(config.EnvPrefix + "DATA"); dir != "" {
		return dir
	}
	return config.Default(config.ProfileDefault).Data
}
