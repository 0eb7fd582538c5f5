package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/document"
	"github.com/batholith/batholith/internal/release"
)

// app is one run of the command: its streams and its environment. Both streams escape characters that would control the
// terminal. Text that others wrote is printed through package plain, which also escapes newlines in it.
type app struct {
	stdout io.Writer // results
	stderr io.Writer // messages
	raw    io.Writer // stdout without escapes, for data; nil: there is none
	env    []string
	// terminal reports whether stderr is a terminal, paged whether stdout is one. Progress bars, colours and cut lines are only
	// used on terminals.
	terminal, paged bool
	columns         func() int // of both terminals; nil: they are asked
	noColour        bool       // --no-color
	// unpacked has the names of inputs that were unpacked, by the paths of their copies.
	unpacked map[string]string
}

// Main runs the command with args (without the program's name) and returns the exit code of the process.
func Main(args []string) int {
	if code, ok := document.Serve(args, os.Stdin, os.Stdout); ok {
		return code
	}
	if code, ok := tableProcess(args, os.Stdin, os.Stdout, os.Stderr); ok {
		return code
	}
	keepSmall()
	cobra.EnableCommandSorting = false                       // the help has groups in an order of their own
	defer captureLibraryLog(slog.New(slog.DiscardHandler))() // serve and run, which have a log, take these lines into it
	a := &app{env: os.Environ(), terminal: term.IsTerminal(int(os.Stderr.Fd())), paged: term.IsTerminal(int(os.Stdout.Fd()))}
	a.stdout, a.stderr = a.streams(os.Stdout, os.Stderr)
	a.raw = os.Stdout
	ctx, stop := interruptible()
	defer stop()
	err := a.execute(ctx, args)
	// A command that a signal ended exits with 130, whatever error the cancellation caused in it.
	if shutDown(ctx, err) {
		err = &interrupted{cause: err}
	}
	a.complain(err)
	return exitCode(err)
}

// Command returns the command with all its subcommands, for what is made of their help.
func Command() *cobra.Command {
	return (&app{stdout: io.Discard, stderr: io.Discard}).root()
}

// interruptible returns a context that the first SIGINT or SIGTERM cancels, with the cause [batholith.ErrShutdown]. Before that
// it restores the signals' default effect, so a second signal kills the process at once. The returned function stops waiting
// for signals.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(batholith.ErrShutdown)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// execute runs the command that args name, and returns its error without printing it. An unknown command is a
// *usageError with the most similar command as remedy.
func (a *app) execute(ctx context.Context, args []string) error {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && cmd == root && strings.HasPrefix(err.Error(), "unknown command") {
		return unknownCommand(root, firstWord(args))
	}
	return err
}

// getenv returns the value of a variable in the app's environment, or "" if it is not set. Unlike os.Getenv it
// works with the environment that a test gives to the app.
func (a *app) getenv(name string) string {
	for _, kv := range a.env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// root returns the command with all its subcommands. Cobra itself prints only help and scripts of completion; complain prints errors,
// once.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "batholith",
		Short: "Amazon Bedrock batch inference on your own machines",
		Long: `Batholith is Amazon Bedrock batch inference on your own machines.

A batch job reads .jsonl files, one record a line: {"recordId": "1", "modelInput": {…}}. Every record goes to a model
server, and every answer comes back in the same order, in <input>.jsonl.out beside manifest.json.out.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the job did not end Completed, 130 interrupted.`,
		Example: `  batholith run questions.jsonl                  # one job over local files, no server
  batholith serve                                # the whole service: Bedrock API and S3
  eval "$(batholith env)"                        # point the AWS tools at it
  batholith submit questions.jsonl --model batholith.tiny-v1 --wait`,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true,
		Version:            release.This().Version,
	}
	root.PersistentFlags().BoolVar(&a.noColour, "no-color", false, "print without colours (NO_COLOR does the same)")
	root.SetOut(a.page().out)
	root.SetErr(a.stderr)
	root.SetVersionTemplate("batholith {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongFlag(cmd, err) })
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "LocalFlags.FlagUsages", "LocalFlags.FlagUsagesWrapped 120"))
	help := a.helpCommand()
	root.SetHelpCommand(help)
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Start:", []*cobra.Command{a.runCommand(), a.serveCommand(), a.envCommand(), a.modelsCommand(), a.recordsCommand(), a.validateCommand(), a.tableCommand()}},
		{"Jobs:", []*cobra.Command{a.submitCommand(), a.jobsCommand(), a.getCommand(), a.watchCommand(), a.tailCommand(), a.downloadCommand(), a.stopCommand(), a.jobCommand(), a.retryCommand(),
			a.publishCommand(), a.verifyCommand(), a.forgetCommand(), a.usageCommand()}},
		{"The service:", []*cobra.Command{a.doctorCommand(), a.healthCommand(), a.configCommand(), a.reloadCommand(), a.backendCommand(), a.kmsCommand(), a.backupCommand(), a.restoreCommand(),
			a.reconcileCommand(), a.migrateCommand()}},
		{"More:", []*cobra.Command{a.simulateCommand(), a.versionCommand(), help, a.completionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
		}
		root.AddCommand(g.commands...)
	}
	everyCommandHasHelpAll(root)
	return root
}
