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
	"github.com/batholith/batholith/internal/system"
	"github.com/batholith/batholith/internal/words"
)

const (
	// The exit codes. The help of batholith lists them and scripts rely on them, so they must not change:
	//
	//	0    the command did what it was asked
	//	1    it failed, or found a difference or a problem
	//	2    the command line or the settings are wrong; nothing was done
	//	3    the job ended with a status other than Completed
	//	130  a signal ended the command, as a shell reports for Ctrl-C
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

// Error returns the reason. The remedy is printed on its own line.
func (e *usageError) Error() string { return e.reason }

// hintedError is an error with its remedy, added at the place that knows it. complain prints the remedy of the
// outermost one.
type hintedError struct {
	err    error
	remedy string
}

// Error returns the text of the error without the remedy.
func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// hint adds a remedy to err. The remedy is a format for package plain, which escapes its arguments. errors.Is and
// errors.As still find err.
func hint(err error, remedy string, args ...any) error {
	return &hintedError{err: err, remedy: plain.Sprintf(remedy, args...)}
}

// endedError says that a job ended with a status other than Completed. The exit code is then 3, so that scripts
// can tell it from an error of the command.
type endedError struct {
	status  batholith.Status
	message string
}

// Error returns the status and, if there is one, the job's message.
func (e *endedError) Error() string {
	s := "the job ended " + string(e.status)
	if e.message != "" {
		s += ": " + e.message
	}
	return s
}

// interrupted says that SIGINT or SIGTERM ended the command early. The exit code is then 130, as a shell reports
// for Ctrl-C.
type interrupted struct {
	cause error
}

// Error leaves out the cause: it is the canceled context of the operation that the signal ended.
func (e *interrupted) Error() string { return "interrupted" }
func (e *interrupted) Unwrap() error { return e.cause }

// exitCode returns the exit code for err. It is the only place that assigns exit codes.
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

// complain prints err and its remedy on stderr, and nothing for nil. Settings have one pair of lines for each
// problem.
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

// tell prints "batholith: KIND: TEXT" on stderr, with secrets removed. Further lines of the text are indented by
// two columns, so that a newline in another's text cannot imitate a line of this form. An empty text prints
// nothing.
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

// colours are the colours of the kinds of messages.
var colours = map[string]plain.Control{"error": red, "hint": cyan, "warning": yellow}

// remedy returns what the user can do about err, or "" if the error's text must be enough. A remedy that a hint
// gave comes first.
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
	case words.RefusesCertificate(err):
		return nameCertificate
	case system.Is(err, syscall.ECONNREFUSED):
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

// isTimeout reports whether err says that a time limit passed.
func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}

// apiRemedy returns the remedy for an error code of the Bedrock API or of an S3, or "".
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

// wrongFlag turns an error of pflag into a usageError with a remedy. It leaves out the texts of strconv and time,
// which name Go functions.
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

// wrongValue returns why a flag's value is refused, and an example of a valid one. A value that begins with "--"
// is taken as the next flag: the value is missing.
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

// formOf returns a noun for the values of a flag, such as "a whole number", and a sentence that says how to write
// one, with the default.
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

// arguments returns a check of the number of arguments. most 0 allows any number from least on; most -1 allows
// none. what names the missing arguments in the message.
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
