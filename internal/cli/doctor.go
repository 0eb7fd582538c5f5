package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
)

// doctorCommand is doctor.
func (a *app) doctorCommand() *cobra.Command {
	var fix, asJSON bool
	var bucket string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong, and say how to mend it",
		Long: `Look at the settings, the data directory, the server, the model servers and what jobs left behind, and say of each what is
wrong, why, and what to do about it. Model servers on their usual ports of this machine are offered with the settings to paste; nothing
uses them unasked.

What a job does to its buckets is tried with the keys of each role, at the places of recent jobs or at that of --bucket: list, read,
write, upload in parts, abort, delete. Two small objects are written below .batholith/ there, and deleted.

Nothing else is changed, except with --fix: then what jobs that are over left below .batholith/ is deleted, and their open uploads are
aborted. The exit code is 1 when a problem is left.`,
		Example: `  batholith doctor
  batholith doctor --config batholith.yaml --json
  batholith doctor --bucket s3://my-bucket/out
  batholith doctor --fix`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&fix, "fix", false, "clear away what jobs that are over left behind")
	cmd.Flags().StringVar(&bucket, "bucket", "", "try the roles at this place, s3://BUCKET/PREFIX")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d := &doctor{app: a, fix: fix, bucket: bucket, now: time.Now, ports: usualPorts, http: &http.Client{Transport: &http.Transport{Proxy: nil}}}
		d.examine(cmd.Context(), s)
		return a.closeDoctor(d.findings, asJSON)
	}
	return cmd
}

// severity says how much a finding matters.
type severity string

// The severities.
const (
	sound   severity = "ok"      // looked at, and well
	note    severity = "note"    // worth knowing
	problem severity = "problem" // something does not work, or will not
	mended  severity = "mended"  // it was a problem
)

// finding is one thing that doctor looked at.
type finding struct {
	Severity severity `json:"severity"`
	Check    string   `json:"check"` // settings, data, server, model, objects, jobs, s3
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"`
	Remedy   string   `json:"remedy,omitempty"`
}

// doctor looks at everything in turn. What cannot be looked at, because something before it is broken, is left out.
type doctor struct {
	app      *app
	fix      bool
	bucket   string     // that the roles are tried at; "" = those of recent jobs
	recent   []jobFacts // the newest first; found by jobs
	now      func() time.Time
	ports    []usualPort
	http     *http.Client
	findings []finding
}

// find notes a finding. Keys in URLs are hidden, whoever has put them into a text.
func (d *doctor) find(f finding) {
	f.What, f.Why, f.Remedy = config.Redact(f.What), config.Redact(f.Why), config.Redact(f.Remedy)
	d.findings = append(d.findings, f)
}

// examine does all checks. They go from the inside out: settings, disk, process, neighbours, jobs, their buckets.
func (d *doctor) examine(ctx context.Context, s *settings) {
	c := d.settings(s)
	alive := d.data(c)
	endpoint := d.server(ctx, c, alive)
	d.models(ctx, c)
	d.neighbours(ctx, c)
	if endpoint {
		d.jobs(ctx, c)
	}
	if endpoint || !c.EmbeddedS3() { // the embedded one goes with the server
		d.s3(ctx, c, d.bucket, d.recent)
	}
}

// settings reads the settings; with problems in them, the rest is looked at as the defaults have it.
func (d *doctor) settings(s *settings) *config.Config {
	c, err := config.Load(config.Sources{File: s.file, Env: d.app.env, Flags: s.flags})
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			d.find(finding{problem, "settings", p.String(), "the server does not start with it", p.Remedy})
		}
	case err != nil:
		d.find(finding{problem, "settings", err.Error(), "", "name the file with --config FILE"})
	default:
		for _, w := range c.Warnings {
			d.find(finding{Severity: note, Check: "settings", What: w})
		}
		what := "no file is named: the defaults hold"
		if s.file != "" {
			what = s.file + " is sound"
		}
		d.find(finding{Severity: sound, Check: "settings", What: what})
		return c
	}
	c = config.Default(config.ProfileDefault)
	if dir := s.flags["data"]; dir != "" {
		c.Data = dir
	}
	return c
}

// askTime bounds one question to a server.
const askTime = 5 * time.Second

// server asks whether the server is there and ready, and tells whether it answers. alive is whether a process holds the data directory.
func (d *doctor) server(ctx context.Context, c *config.Config, alive bool) bool {
	url := d.app.getenv("AWS_ENDPOINT_URL_BEDROCK")
	if s, err := config.ReadServer(c.Data); err == nil && (url == "" || c.Origin("data").Source != "default") {
		url = s.Bedrock
	} else if url == "" {
		why := ""
		if alive {
			why = "it is starting, or it ran out of time to say where it listens"
		}
		d.find(finding{note, "server", "no server has said where it listens in " + c.Data, why, "start one with: batholith serve" + dataFlag(c)})
		return false
	}
	url = strings.TrimSuffix(url, "/")
	if status, err := d.status(ctx, url+"/healthz"); err != nil || status != http.StatusOK {
		f := finding{problem, "server", "no answer from " + url, reasonOfAnswer(status, err), "start it with: batholith serve" + dataFlag(c)}
		if alive {
			f.Remedy = "the process that holds the data directory does not answer: look at its log, and stop it if need be; nothing that was finished is lost"
		}
		d.find(f)
		return false
	}
	if status, err := d.status(ctx, url+"/readyz"); err != nil || status != http.StatusOK {
		d.find(finding{problem, "server", url + " is there but not ready", reasonOfAnswer(status, err),
			"it takes up the journal at its start, which ends by itself; otherwise its log says why its database does not answer"})
		return false
	}
	d.find(finding{Severity: sound, Check: "server", What: url + " is ready"})
	return true
}

func reasonOfAnswer(status int, err error) string {
	if err != nil {
		return plainly(err).Error()
	}
	return fmt.Sprintf("it answered %d %s", status, http.StatusText(status))
}

// status is what a GET is answered with.
func (d *doctor) status(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// closeDoctor prints the findings, and fails when a problem is left.
func (a *app) closeDoctor(all []finding, asJSON bool) error {
	problems := int64(0)
	for _, f := range all {
		if f.Severity == problem {
			problems++
		}
	}
	if asJSON {
		if err := a.printJSON(all); err != nil {
			return err
		}
	} else {
		for _, f := range all {
			plain.Fprintf(a.stdout, "%-8s %-9s %s\n", f.Severity, f.Check, f.What)
			for _, detail := range []struct{ name, text string }{{"why", f.Why}, {"do", f.Remedy}} {
				if detail.text != "" {
					first, rest, more := strings.Cut(detail.text, "\n")
					plain.Fprintf(a.stdout, "         %-9s %s\n", detail.name, first)
					for line := range strings.SplitSeq(rest, "\n") {
						if more {
							plain.Fprintf(a.stdout, "                   %s\n", line)
						}
					}
				}
			}
		}
	}
	if problems > 0 {
		return errors.New(plural(problems, "problem"))
	}
	return nil
}
