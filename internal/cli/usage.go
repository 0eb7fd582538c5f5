package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// jobUsage is what the records of a job took so far. Cost is exact; "": the model has no price.
type jobUsage struct {
	Input        int64  `json:"inputTokens"`
	Output       int64  `json:"outputTokens"`
	Cached       int64  `json:"cachedTokens"`
	WastedInput  int64  `json:"wastedInputTokens"`
	WastedOutput int64  `json:"wastedOutputTokens"`
	Cost         string `json:"cost,omitempty"`
	Currency     string `json:"currency,omitempty"`
}

// String tells it in words.
func (u jobUsage) String() string {
	s := fmt.Sprintf("%s tokens in, %s out", words.Number(u.Input), words.Number(u.Output))
	if u.Cached > 0 {
		s += fmt.Sprintf(" (%s in from a cache)", words.Number(u.Cached))
	}
	if u.WastedInput+u.WastedOutput > 0 {
		s += fmt.Sprintf(", and %s in, %s out wasted", words.Number(u.WastedInput), words.Number(u.WastedOutput))
	}
	if u.Cost != "" {
		s += fmt.Sprintf("; %s %s", u.Cost, u.Currency)
	}
	return s
}

// usageGroup is a group of the answer of GetUsage.
type usageGroup struct {
	Day       string `json:"day,omitempty"`
	Principal string `json:"principal,omitempty"`
	Model     string `json:"modelId,omitempty"`
	Job       string `json:"jobArn,omitempty"`
	Records   int64  `json:"recordCount"`
	Errors    int64  `json:"errorRecordCount"`
	Attempts  int64  `json:"attemptCount"`
	Repeats   int64  `json:"repeatCount"`
	Canaries  int64  `json:"canaryCount"`
	jobUsage
}

// usageBys are the names that usage can be grouped by, in the order of their columns.
var usageBys = []string{"day", "principal", "model", "job"}

// usageCommand returns the command usage.
func (a *app) usageCommand() *cobra.Command {
	var (
		by               []string
		since, principal string
		asJSON           bool
	)
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Show what jobs have taken: tokens and money",
		Long: `Show what the records of jobs have taken: tokens and money.

The numbers are those of the model servers, counted when a record's result is stored, and they stay when a job is
forgotten. Wasted tokens are those of answers that could not be used. Costs come from the settings prices and
currency; what was stored while a model had no price stands on a line without cost. Days are those of UTC.
A caller that may not do bedrock:GetUsage sees its own jobs. Interactive calls are not in it.` + clientHelp,
		Example: `  batholith usage
  batholith usage --by day --since 30d
  batholith usage --by model,job --principal alice --since 2026-01-31 --json`,
		Args: arguments(0, 0, ""),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().StringSliceVar(&by, "by", []string{"principal", "model", "day"}, "`groups`: principal, model, day, job")
	cmd.Flags().StringVar(&since, "since", "30d", "from this `day` (2026-01-31), or this many days back (7d)")
	cmd.Flags().StringVar(&principal, "principal", "", "only jobs of this `principal`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, b := range by {
			if !slices.Contains(usageBys, b) {
				return &usageError{reason: fmt.Sprintf("--by: %q is no group", b), remedy: "write some of " + strings.Join(usageBys, ", ") + ", with commas between them"}
			}
		}
		from, err := dayOf(since, time.Now())
		if err != nil {
			return err
		}
		c, err := a.connect(cmd.Context(), *t)
		if err != nil {
			return err
		}
		groups, err := c.usage(cmd.Context(), by, principal, from)
		if err != nil {
			return fmt.Errorf("ask for the usage: %w", plainly(err))
		}
		if asJSON {
			return a.printJSON(groups)
		}
		return a.showUsage(groups, by)
	}
	return cmd
}

// dayOf reads a day: a date, or a number of days before now such as 7d. Both are of UTC.
func dayOf(text string, now time.Time) (time.Time, error) {
	if d, err := time.Parse(time.DateOnly, text); err == nil {
		return d, nil
	}
	var n int
	if number, ok := strings.CutSuffix(text, "d"); ok {
		if _, err := fmt.Sscanf(number, "%d", &n); err == nil && n >= 0 && fmt.Sprint(n) == number {
			return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -n), nil
		}
	}
	return time.Time{}, &usageError{reason: fmt.Sprintf("--since: %q is no day", text), remedy: "write a date such as 2026-01-31, or a number of days such as 7d"}
}

// usage asks the server for the groups. It returns an empty list, and not nil, if there are none.
func (c *clients) usage(ctx context.Context, by []string, principal string, since time.Time) ([]usageGroup, error) {
	query := url.Values{"groupBy": {strings.Join(by, ",")}, "startTime": {since.UTC().Format(time.RFC3339)}}
	if principal != "" {
		query.Set("principal", principal)
	}
	out := struct {
		Usage []usageGroup `json:"usage"`
	}{}
	err := c.call(ctx, http.MethodGet, "/usage?"+query.Encode(), &out)
	if out.Usage == nil {
		out.Usage = []usageGroup{}
	}
	return out.Usage, err
}

// showUsage prints the groups as a table, in the order of the server.
func (a *app) showUsage(groups []usageGroup, by []string) error {
	if len(groups) == 0 {
		plain.Fprintf(a.stderr, "nothing was used in that time\n")
		return nil
	}
	var t table
	for _, name := range usageBys {
		if slices.Contains(by, name) {
			t.columns = append(t.columns, column{name: strings.ToUpper(name), least: 8})
		}
	}
	for _, name := range []string{"RECORDS", "INPUT", "OUTPUT", "CACHED", "WASTED", "COST"} {
		t.columns = append(t.columns, column{name: name})
	}
	for _, g := range groups {
		var row []cell
		for _, name := range usageBys {
			if slices.Contains(by, name) {
				row = append(row, cell{text: map[string]string{"day": g.Day, "principal": g.Principal, "model": g.Model, "job": jobFacts{ARN: g.Job}.id()}[name]})
			}
		}
		cost := "-"
		if g.Cost != "" {
			cost = g.Cost + " " + g.Currency
		}
		for _, n := range []int64{g.Records, g.Input, g.Output, g.Cached, g.WastedInput + g.WastedOutput} {
			row = append(row, cell{text: words.Number(n)})
		}
		t.rows = append(t.rows, append(row, cell{text: cost}))
	}
	return t.write(a.page())
}
