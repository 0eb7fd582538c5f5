package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/store"
	"github.com/batholith/batholith/internal/words"
)

// doctorCommand returns the command doctor. Without --fix it changes nothing, apart from two small objects per
// role that it writes and deletes to test the role's rights. With --as it only explains a decision of the
// policies. It returns an error, exit code 1, if a problem remains.
func (a *app) doctorCommand() *cobra.Command {
	var fix, asJSON bool
	var bucket, as string
	var given []string
	cmd := &cobra.Command{
		Use:   "doctor [--as PRINCIPAL ACTION RESOURCE]",
		Short: "Find what is wrong, and say how to fix it",
		Long: `Check the settings, the data directory, the server, the model servers and the leftovers of jobs, and print for each what is
wrong, why, and what to do about it. For model servers on the usual ports of this machine it prints settings to paste; it does not
use them by itself.

It does what jobs do in their buckets, with the keys of each role, at the places of recent jobs or at --bucket: list, read,
write, upload in parts, abort, delete. It writes two small objects below .batholith/ there, and deletes them.

It changes nothing else without --fix: run it first to see what --fix would remove. With --fix it deletes what finished jobs left
below .batholith/, aborts their open uploads, and deletes working files and put-aside journal files of jobs that were forgotten.
It deletes files of a job only if the service knows the job or its usage has it. Other files are never touched. The
exit code is 1 if a problem remains.` + asHelp,
		Example: `  batholith doctor
  batholith doctor --config batholith.yaml --json
  batholith doctor --bucket s3://my-bucket/out
  batholith doctor --fix
  batholith doctor --as alice bedrock:StopModelInvocationJob 8fj2k4l6m8n0
  batholith doctor --as alice bedrock:CreateModelInvocationJob batholith.tiny-v1 --given request-tag:team=red`,
		Args: func(_ *cobra.Command, args []string) error { return asArguments(as, args) },
	}
	s := a.bindSettings(cmd, "data", "client.cert", "client.key")
	cmd.Flags().BoolVar(&fix, "fix", false, "remove the leftovers of finished jobs")
	cmd.Flags().StringVar(&bucket, "bucket", "", "test the roles at this place, s3://BUCKET/PREFIX")
	cmd.Flags().StringVar(&as, "as", "", "explain whether this principal may do an action with a resource")
	cmd.Flags().StringArrayVar(&given, "given", nil, "with --as: KEY=VALUE that is taken for true")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if as != "" {
			c, err := a.load(s)
			if err != nil {
				return err
			}
			return a.explainAs(cmd.Context(), c, asQuestion{as, args[0], args[1], given}, asJSON)
		}
		c, found := a.examineSettings(s)
		if c.Postgres() {
			found = append(found, examineStore(cmd.Context(), c).Redacted())
		}
		o := a.doctorOptions(c, s.file)
		o.Bucket, o.Fix = bucket, fix
		return a.closeDoctor(append(found, doctor.Examine(cmd.Context(), o)...), asJSON)
	}
	return cmd
}

// examineSettings reads the settings and returns them with one finding for each problem or warning. If they cannot
// be used, it returns the default settings with the given data directory, so that the other checks can still run.
// Secrets are removed from the findings.
func (a *app) examineSettings(s *settings) (*config.Config, []doctor.Finding) {
	var all []doctor.Finding
	find := func(f doctor.Finding) { all = append(all, f.Redacted()) }
	s.file = a.settingsFile(s.file)
	c, err := config.Load(config.Sources{File: s.file, Env: a.env, Flags: s.flags})
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			find(doctor.Finding{Severity: doctor.Problem, Check: "settings", What: p.String(), Why: "the server does not start with it", Remedy: p.Remedy})
		}
	case err != nil:
		find(doctor.Finding{Severity: doctor.Problem, Check: "settings", What: err.Error(), Remedy: "name the file with --config FILE"})
	default:
		for _, w := range c.Warnings {
			find(doctor.Finding{Severity: doctor.Note, Check: "settings", What: w})
		}
		what := "no settings file: the defaults apply"
		if s.file != "" {
			what = s.file + " is sound"
		}
		find(doctor.Finding{Severity: doctor.Sound, Check: "settings", What: what})
		return c, all
	}
	// The settings cannot be used. The other checks run with the defaults, and with the data directory of the
	// command line.
	c = config.Default(config.ProfileDefault)
	if dir := s.flags["data"]; dir != "" {
		c.Data = dir
	}
	return c, all
}

// storeTime bounds the check of the database.
const storeTime = 10 * time.Second

// examineStore checks whether this machine can use the PostgreSQL database of the settings. It changes nothing there.
func examineStore(ctx context.Context, c *config.Config) doctor.Finding {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	version, tables, err := store.ProbePostgres(ctx, c.Store, store.PostgresOptions{Password: c.StorePassword})
	switch {
	case err != nil:
		return doctor.Finding{Severity: doctor.Problem, Check: "store", What: c.StoreName() + " cannot be used", Why: plainly(err).Error(), Remedy: storeRemedy}
	case !tables:
		return doctor.Finding{Severity: doctor.Note, Check: "store", What: c.StoreName() + " (PostgreSQL " + version + ") has no tables yet", Remedy: "start batholith serve, which creates them"}
	}
	return doctor.Finding{Severity: doctor.Sound, Check: "store", What: c.StoreName() + " (PostgreSQL " + version + ") answers, and this process would be: " + strings.Join(c.Process, " and ")}
}

// closeDoctor prints the findings as text or JSON. It returns an error that counts the problems if there is one;
// notes alone are a success. With --fix, a problem that was fixed is no longer counted.
func (a *app) closeDoctor(all []doctor.Finding, asJSON bool) error {
	problems := int64(0)
	for _, f := range all {
		if f.Severity == doctor.Problem {
			problems++
		}
	}
	if asJSON {
		if err := a.printJSON(all); err != nil {
			return err
		}
	} else {
		if err := a.reportFindings(all); err != nil {
			return err
		}
	}
	if problems > 0 {
		return errors.New(words.Plural(problems, "problem"))
	}
	return nil
}

// The columns of a finding: how bad it is, what was looked at, and what was found.
const (
	severityWidth = len("problem") + gap
	checkWidth    = len("settings") + gap
)

// reportFindings prints the findings with up to three texts each: the finding, "why" and "do". On a terminal, long
// texts are broken and continue in their column. The severity is coloured, and never said by colour alone.
func (a *app) reportFindings(all []doctor.Finding) error {
	s := a.page()
	for _, f := range all {
		for _, detail := range []struct{ severity, name, text string }{{string(f.Severity), f.Check, f.What}, {"", "why", f.Why}, {"", "do", f.Remedy}} {
			if detail.text == "" {
				continue
			}
			if err := s.finding(severities[f.Severity], detail.severity, detail.name, detail.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// finding prints a text beside a severity and a name, which stand on the first line only. Only the first line of
// the text is prose and is broken at the width; the others are settings or commands to paste and stay as they are.
func (s *screen) finding(colour plain.Control, severity, name, text string) error {
	room := 0
	if n := s.width(); n > 0 {
		room = max(n-severityWidth-checkWidth, leastFactRoom)
	}
	first, rest, more := strings.Cut(text, "\n")
	lines := wrap(s.text(first), room)
	if more {
		lines = append(lines, strings.Split(rest, "\n")...)
	}
	before, after := s.paint(colour)
	for i, line := range lines {
		if i > 0 {
			severity, name = "", ""
		}
		if severity == "" {
			before, after = "", ""
		}
		if err := plain.Draw(s.out, before, fmt.Sprintf("%-*s", severityWidth, severity), after, fmt.Sprintf("%-*s", checkWidth, name)+line, newline); err != nil {
			return err
		}
	}
	return nil
}
