package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// clientHelp is the part of the help about the choice of the server. Every command that talks to a server has it.
const clientHelp = `

The command finds the server by the standard AWS variables or the AWS profile (AWS_ENDPOINT_URL_BEDROCK, AWS_ENDPOINT_URL_S3,
AWS_ACCESS_KEY_ID, AWS_BEARER_TOKEN_BEDROCK, AWS_CA_BUNDLE, …). Without them, it uses the server that runs in
./batholith-data. If the S3 needs other keys than the Bedrock API, they come from BATHOLITH_S3_ACCESS_KEY_ID and
BATHOLITH_S3_SECRET_ACCESS_KEY, from the AWS profile in BATHOLITH_S3_PROFILE, or from the settings file of --config.
A server with tls.client_ca asks for a certificate: --client-cert and --client-key.`

// bindTarget adds --data and --config to a command. The returned target is filled in when the flags are parsed.
func (a *app) bindTarget(cmd *cobra.Command) *target {
	t := target{file: a.getenv(config.EnvPrefix + "CONFIG")}
	cmd.Flags().StringVar(&t.data, "data", "", "use the server that runs in this data `directory`")
	cmd.Flags().StringVar(&t.file, "config", t.file, "YAML `file` with the settings of the server: its credentials, and the keys of its S3 (BATHOLITH_CONFIG; default: ./batholith.yaml, if it is there)")
	bindCertificate(cmd, &t.client)
	return &t
}

// jobsCommand returns the command jobs. The filters are applied by the server; only the pages that are needed for
// --limit are requested.
func (a *app) jobsCommand() *cobra.Command {
	var (
		status, name string
		limit        int
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:     "jobs",
		Aliases: []string{"ls", "list"},
		Short:   "List jobs, newest first",
		Long:    "List jobs, newest first." + clientHelp,
		Example: `  batholith jobs
  batholith jobs --status InProgress
  batholith jobs --name nightly --limit 5 --json`,
		Args: arguments(0, -1, ""),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().StringVar(&status, "status", "", "only jobs with this `status`: "+strings.Join(statusNames(), ", "))
	cmd.Flags().StringVar(&name, "name", "", "only jobs whose name contains this `text`")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this `number` of jobs; 0: all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	completeWords(cmd, "status", statusNames()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := listInput(status, name, limit)
		if err != nil {
			return err
		}
		c, err := a.connect(cmd.Context(), *t)
		if err != nil {
			return err
		}
		return a.listJobs(cmd.Context(), c, in, limit, asJSON)
	}
	return cmd
}

// statusNames returns all statuses with the spelling of the API.
func statusNames() []string {
	var names []string
	for _, s := range batholith.Statuses() {
		names = append(names, string(s))
	}
	return names
}

// listInput returns the query of the flags. The status is matched without regard to case; limit 0 means all jobs.
// An unknown status or a negative limit is a *usageError.
func listInput(status, name string, limit int) (*bedrock.ListModelInvocationJobsInput, error) {
	if limit < 0 {
		return nil, &usageError{reason: fmt.Sprintf("--limit: %d is below 0", limit), remedy: "write 0 for all jobs"}
	}
	in := &bedrock.ListModelInvocationJobsInput{}
	if name != "" {
		in.NameContains = &name
	}
	if limit > 0 {
		in.MaxResults = aws.Int32(int32(min(limit, 1000))) // Bedrock: maxResults, at most 1000
	}
	if status == "" {
		return in, nil
	}
	for _, s := range statusNames() {
		if strings.EqualFold(s, status) {
			in.StatusEquals = types.ModelInvocationJobStatus(s)
			return in, nil
		}
	}
	e := &usageError{reason: fmt.Sprintf("%q is not a valid status", status), remedy: "one of " + strings.Join(statusNames(), ", ")}
	if c := words.Closest(status, statusNames()); c != "" {
		e.remedy = fmt.Sprintf("did you mean %s?", c)
	}
	return nil, e
}

// listJobs prints the jobs of a query as a table or as a JSON list. It stops requesting pages at the limit and
// then says on stderr that there are more. Nothing is printed on stdout if a page cannot be read, so that a list
// is never cut silently.
func (a *app) listJobs(ctx context.Context, c *clients, in *bedrock.ListModelInvocationJobsInput, limit int, asJSON bool) error {
	// Not nil: --json prints [] if there is no job.
	jobs := []jobFacts{}
	more := false
	for j, err := range c.list(ctx, in) {
		if err != nil {
			return err
		}
		if limit > 0 && len(jobs) == limit {
			more = true
			break
		}
		jobs = append(jobs, j)
	}
	if asJSON {
		return a.printJSON(jobs)
	}
	if len(jobs) == 0 {
		plain.Fprintf(a.stderr, "no jobs\n")
		return nil
	}
	t := table{columns: []column{{name: "ID"}, {name: "NAME", least: 8}, {name: "MODEL", least: 12, optional: true}, {name: "STATUS"}, {name: "PROGRESS", least: 8}, {name: "AGE"}}}
	for _, j := range jobs {
		t.rows = append(t.rows, []cell{{text: j.id()}, {text: j.Name}, {text: shortModel(j.Model)}, {string(j.Status), colourOf(j.Status)}, {text: progressOf(j)},
			{text: age(j, time.Now())}})
	}
	if err := t.write(a.page()); err != nil {
		return err
	}
	if more {
		plain.Fprintf(a.stderr, "there are more; see them with --limit 0\n")
	}
	return nil
}

// shortModel returns the id of a foundation model without its ARN. Other names are returned as they are.
func shortModel(name string) string {
	if arn, err := batholith.ParseARN(name); err == nil {
		if id, ok := strings.CutPrefix(arn.Resource, "foundation-model/"); ok {
			return id
		}
	}
	return name
}

// progressOf returns the progress in words, such as "120/500 24%, 3 errors", with the place in the queue while the
// job waits for its model. The percentage counts processed records, errors included:
//
//	percent = 100 × processed / total, rounded down
//
// It returns "-" before the records are counted.
func progressOf(j jobFacts) string {
	if j.Total == 0 {
		if j.Notes != nil && j.Notes.Paused != nil {
			return "paused"
		}
		return "-"
	}
	s := fmt.Sprintf("%d/%d %d%%", j.Processed, j.Total, 100*j.Processed/j.Total)
	if j.Errored > 0 {
		s += fmt.Sprintf(", %s", words.Plural(j.Errored, "error"))
	}
	if j.Notes != nil && j.Notes.Paused != nil {
		return s + ", paused"
	}
	if j.Notes != nil && j.Notes.Position > 0 {
		s += fmt.Sprintf(", number %d in the queue", j.Notes.Position)
	}
	return s
}

// age returns the time since the job was submitted, in words, or "-".
func age(j jobFacts, now time.Time) string {
	if j.Submitted == nil {
		return "-"
	}
	return words.Age(now.Sub(*j.Submitted))
}

// getCommand returns the command get. JOB may be an id, an ARN or a unique name; see find.
func (a *app) getCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "get JOB",
		Aliases: []string{"status", "show", "describe"},
		Short:   "Show a job",
		Long:    "Show a job. JOB is its id, its ARN, or its name if only one job has that name." + clientHelp,
		Example: `  batholith get 8fj2k4l6m8n0
  batholith get nightly --json`,
		Args: arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	a.completeJobs(cmd, t, nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(j)
		}
		return a.showJob(j)
	}
	return cmd
}

// showJob prints a job, one fact on a line, in the same order for each job. Unknown facts have no line, and the
// expiry has none after the end.
func (a *app) showJob(j jobFacts) error {
	f := facts{screen: a.page(), indent: len("submitted") + gap}
	row := func(name, value string) { f.row(name, cell{text: value}) }
	row("job", j.ARN)
	row("name", j.Name)
	row("model", j.Model)
	row("type", j.Type)
	f.row("status", cell{string(j.Status), colourOf(j.Status)})
	name, told := j.told()
	for i, line := range strings.Split(told, "\n") {
		row([]string{name, ""}[min(i, 1)], line)
	}
	row("records", progressOf(j))
	if j.Notes != nil && len(j.Notes.Backends) > 0 {
		var servers []string
		for _, b := range j.Notes.Backends {
			servers = append(servers, plain.Sprintf("%s %s", b.Name, b.State))
		}
		row("backends", strings.Join(servers, ", "))
	}
	if j.Notes != nil && j.Notes.Usage != nil {
		row("usage", j.Notes.Usage.String())
	}
	row("role", j.Role)
	row("input", j.Input)
	row("output", j.outputPrefix())
	row("submitted", moment(j.Submitted))
	row("ended", moment(j.Ended))
	if !j.Status.Terminal() {
		row("expires", moment(j.Expires))
	}
	return f.err
}

// moment returns a time in the local time zone of this machine, or "" for nil.
func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// stopCommand returns the command stop. It returns when the server has accepted the request, before the job has
// stopped; watch waits for that. No further record is sent, and the finished records are in the output. Whether a
// job that is ending can be stopped is the server's decision; its error is shown.
func (a *app) stopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "stop JOB",
		Aliases: []string{"cancel"},
		Short:   "Stop a job; what it has finished stays in its output",
		Long: "Stop a job: no further record is sent, and the finished records are in its output.\nJOB is its id, its ARN, or its name " +
			"when only one job has it." + clientHelp,
		Example: `  batholith stop 8fj2k4l6m8n0`,
		Args:    arguments(1, 1, "a JOB: an id, an ARN or a name"),
	}
	t := a.bindTarget(cmd)
	a.completeJobs(cmd, t, func(j jobFacts) bool { return !j.Status.Terminal() })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, j, err := a.connectTo(cmd.Context(), *t, args[0])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), requestTimeout)
		defer cancel()
		if _, err := c.bedrock.StopModelInvocationJob(ctx, &bedrock.StopModelInvocationJobInput{JobIdentifier: &j.ARN}); err != nil {
			return fmt.Errorf("stop the job: %w", plainly(err))
		}
		plain.Fprintf(a.stderr, "stopping %s; see it end with: batholith watch %s\n", j.id(), words.Quote(j.id()))
		return nil
	}
	return cmd
}
