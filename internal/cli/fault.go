package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// The exit codes, as the help of the command promises them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnfinished  = 3
	exitInterrupted = 130
)

// usageError is a wrong command line.
type usageError struct {
	reason, remedy string
}

func (e *usageError) Error() string { return e.reason }

// hintedError is an error for which the place where it arose knows the remedy.
type hintedError struct {
	err    error
	remedy string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// hint adds a remedy to an error.
func hint(err error, remedy string, args ...any) error {
	return &hintedError{err: err, remedy: plain.Sprintf(remedy, args...)}
}

// endedError says that a job ended other than Completed.
type endedError struct {
	status  batholith.Status
	message string
}

func (e *endedError) Error() string {
	s := "the job ended " + string(e.status)
	if e.message != "" {
		s += ": " + e.message
	}
	return s
}

// interrupted says that a signal ended the command before it was done.
type interrupted struct {
	cause error
}

func (e *interrupted) Error() string { return "interrupted" }
func (e *interrupted) Unwrap() error { return e.cause }

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var (
		usage    *usageError
		settings *config.Error
		ended    *endedError
		stopped  *interrupted
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &settings):
		return exitUsage
	case errors.As(err, &ended):
		return exitUnfinished
	case errors.As(err, &stopped):
		return exitInterrupted
	}
	return exitFailed
}

// complain tells an error and its remedy on stderr.
func (a *app) complain(err error) {
	if err == nil {
		return
	}
	var settings *config.Error
	if errors.As(err, &settings) {
		for _, p := range settings.Problems {
			a.tell("error", p.String())
			a.tell("hint", p.Remedy)
		}
		return
	}
	a.tell("error", err.Error())
	a.tell("hint", remedy(err))
}

// tell writes talk that begins with the name of the command. Each further line of the text is indented: a newline in what another has
// said cannot begin a line that looks like one of these.
func (a *app) tell(kind, text string) {
	if text == "" {
		return
	}
	text = plain.Redact(text)
	var before, after plain.Control
	if a.colour(a.live()) {
		before, after = colours[kind], plainColour
	}
	first, rest, more := strings.Cut(text, "\n")
	_ = plain.Draw(a.stderr, "batholith: ", before, kind, after, ": ", first, newline) // there is nowhere else to say so
	if !more {
		return
	}
	for line := range strings.SplitSeq(rest, "\n") {
		_ = plain.Draw(a.stderr, "  "+strings.TrimPrefix(line, "  "), newline)
	}
}

// newline ends a line of talk.
const newline = plain.Control("\n")

// colours are those of the first word.
var colours = map[string]plain.Control{"error": red, "hint": cyan, "warning": yellow}

// remedy finds what a person can do about an error.
func remedy(err error) string {
	var (
		hinted *hintedError
		usage  *usageError
		inUse  *config.InUseError
		api    smithy.APIError
		dial   *net.OpError
		path   *fs.PathError
	)
	switch {
	case errors.As(err, &hinted):
		return hinted.remedy
	case errors.As(err, &usage):
		return usage.remedy
	case errors.As(err, &inUse):
		return "stop that process, or give this one a directory of its own with --data DIR"
	case errors.As(err, &api):
		return apiRemedy(api.ErrorCode())
	case errors.As(err, &dial) && dial.Op == "listen":
		return "stop what listens there, or choose another port"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there; is the server running? Start it with: batholith serve"
	case errors.As(err, &path) && path.Op == "mkdir":
		return "this folder cannot be made there: name another with --output DIR or --data DIR"
	case errors.Is(err, fs.ErrPermission):
		return "run it as the user to whom that belongs, or name a place of your own (--data DIR, --output DIR)"
	case isTimeout(err):
		return "look at the server's log, and whether a proxy is between: batholith doctor"
	}
	return ""
}

// isTimeout tells whether a request's time ran out.
func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}

// apiRemedy is what to do about an error that a server answered.
func apiRemedy(code string) string {
	switch code {
	case "UnrecognizedClientException", "InvalidSignatureException", "SignatureDoesNotMatch", "InvalidAccessKeyId",
		"MissingAuthenticationTokenException", "IncompleteSignatureException":
		return `the server does not know these keys; take its own with: eval "$(batholith env)"`
	case "ResourceNotFoundException":
		return "list the jobs with: batholith jobs"
	case "NoSuchBucket":
		return "make the bucket first: aws s3 mb s3://BUCKET"
	}
	return ""
}

// wrongFlag makes a usage error of what pflag says of a flag. The words of strconv and time, which pflag passes on, are left out.
func wrongFlag(cmd *cobra.Command, err error) error {
	e := &usageError{reason: err.Error(), remedy: "see: " + cmd.CommandPath() + " --help"}
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if c := words.Closest(unknown.GetSpecifiedName(), names); c != "" {
			e.remedy = fmt.Sprintf("did you mean --%s?", c)
		}
	case errors.As(err, &missing):
		f := missing.GetFlag()
		_, remedy := formOf(f)
		e.reason, e.remedy = fmt.Sprintf("--%s needs a value", f.Name), remedy
	case errors.As(err, &value):
		f := value.GetFlag()
		e.reason, e.remedy = wrongValue(f, value.GetValue(), errors.Is(err, strconv.ErrRange))
	}
	return e
}

// wrongValue says what is wrong with a flag's value, and what can be written instead.
func wrongValue(f *pflag.Flag, value string, tooLarge bool) (reason, remedy string) {
	form, remedy := formOf(f)
	switch {
	case tooLarge:
		return fmt.Sprintf("--%s: %q is too large", f.Name, value), remedy
	case strings.HasPrefix(value, "--"):
		return fmt.Sprintf("--%s needs a value; the next word is %s", f.Name, value), remedy
	}
	return fmt.Sprintf("--%s: %q is not %s", f.Name, value, form), remedy
}

// formOf is what the values of a flag are, and how one is written.
func formOf(f *pflag.Flag) (form, remedy string) {
	usual := ""
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
		usual = fmt.Sprintf("; without the flag it is %s", f.DefValue)
	}
	switch f.Value.Type() {
	case "int", "int64":
		return "a whole number", "write digits only, such as 64" + usual
	case "float64":
		return "a number", "write a number such as 0.5 or 12" + usual
	case "duration":
		return "a time", "write a number and a unit, such as 500ms, 30s, 10m or 1h" + usual
	case "bool":
		return "true or false", fmt.Sprintf("write --%s alone, or --%s=false", f.Name, f.Name)
	case "stringToString":
		name, _ := pflag.UnquoteUsage(f)
		return "of the form " + name, fmt.Sprintf("write --%s %s", f.Name, name)
	}
	name, _ := pflag.UnquoteUsage(f)
	return "possible", fmt.Sprintf("write --%s %s", f.Name, strings.ToUpper(name)) + usual
}

// unknownCommand makes a usage error of a word that is no command, with the command that was probably meant.
func unknownCommand(root *cobra.Command, args []string) error {
	word := ""
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			word = a
			break
		}
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	e := &usageError{reason: fmt.Sprintf("unknown command %q", word), remedy: "see: batholith --help"}
	if c := words.Closest(word, names); c != "" {
		e.remedy = fmt.Sprintf("did you mean: batholith %s?", c)
	}
	return e
}

// arguments checks how many arguments a command got; most 0 means any number.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		see := "see: " + cmd.CommandPath() + " --help"
		switch {
		case len(args) < least:
			return &usageError{reason: fmt.Sprintf("%s needs %s", cmd.CommandPath(), what), remedy: see}
		case most >= least && most > 0 && len(args) > most, most < 0 && len(args) > 0:
			return &usageError{reason: fmt.Sprintf("%s does not take the argument %q", cmd.CommandPath(), args[len(args)-1]), remedy: see}
		}
		return nil
	}
}
