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

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// backendCommand returns the command backend, which groups what can be done with model servers.
func (a *app) backendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backend",
		Short: "List the model servers of a running service, drain one, or resume it",
		Args:  noCommand,
		RunE:  printHelp,
	}
	cmd.AddCommand(a.backendListCommand(), a.drainCommand(), a.resumeBackendCommand())
	return cmd
}

// backendState is a model server in the answer of ListBackends.
type backendState struct {
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Models      []string `json:"modelIds"`
	State       string   `json:"state"`
	Reason      string   `json:"reason,omitempty"`
	InFlight    int64    `json:"inFlightCount"`
	Limit       int64    `json:"limit,omitempty"`
	LimitSource string   `json:"limitSource,omitempty"`
	Running     int64    `json:"runningCount,omitempty"`
	Waiting     int64    `json:"waitingCount,omitempty"`
	Standby     bool     `json:"standby,omitempty"`
}

// backendListCommand returns the command backend list.
func (a *app) backendListCommand() *cobra.Command {
	var model string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the model servers with their states, requests in flight and limits",
		Long: `List the model servers of a running service, of all its processes together: state, requests in flight, limit, and what a server
says itself about its running and waiting requests.

  ready        gets requests
  idle         nothing was sent to it yet
  paused       gets no requests of some kinds, because it fails on them
  unreachable  cannot be used now
  draining     drained by an operator, with requests in flight
  drained      drained by an operator; nothing is in flight

batholith models checks the servers of the settings file, also without a service.` + clientHelp,
		Example: `  batholith backend list
  batholith backend list --model my-model --json`,
		Args: arguments(0, 0, ""),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().StringVar(&model, "model", "", "only the servers of this `model`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect(cmd.Context(), *t)
		if err != nil {
			return err
		}
		all, err := c.backends(cmd.Context(), model)
		if err != nil {
			return fmt.Errorf("list the model servers: %w", plainly(err))
		}
		if asJSON {
			return a.printJSON(all)
		}
		return a.showBackends(all)
	}
	return cmd
}

// drainCommand returns the command backend drain.
func (a *app) drainCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "Send nothing new to a model server",
		Long: `Send nothing new to a model server until it is resumed: no records and no interactive calls, of any model, by any process. Requests in
flight finish. Other servers of a model take its work. If a model has no other server, its jobs wait with a note that says so,
and interactive calls are refused. A drained server stays drained over a restart of the service.

NAME is a host and port, a URL, or the name of a server that the service starts; batholith backend list shows them.` + clientHelp,
		Example: `  batholith backend drain 10.0.0.7:8000 --wait && ssh 10.0.0.7 systemctl restart vllm
  batholith backend resume 10.0.0.7:8000`,
		Args: arguments(1, 1, "a NAME of a model server"),
	}
	t := a.bindTarget(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "return when nothing is in flight any more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.changeBackend(cmd.Context(), *t, args[0], "drain")
		if err != nil {
			return err
		}
		if wait {
			if err := c.drained(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("wait for %s: %w", plain.Line(args[0]), plainly(err))
			}
		}
		plain.Fprintf(a.stderr, "%s gets no new requests; resume it with: batholith backend resume %s\n", plain.Line(args[0]), words.Quote(args[0]))
		return nil
	}
	return cmd
}

// resumeBackendCommand returns the command backend resume.
func (a *app) resumeBackendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "resume NAME",
		Short:   "Send requests to a drained model server again",
		Long:    "Send requests to a drained model server again. A server that is not drained stays as it is." + clientHelp,
		Example: `  batholith backend resume 10.0.0.7:8000`,
		Args:    arguments(1, 1, "a NAME of a model server"),
	}
	t := a.bindTarget(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := a.changeBackend(cmd.Context(), *t, args[0], "resume"); err != nil {
			return err
		}
		plain.Fprintf(a.stderr, "%s gets requests again\n", plain.Line(args[0]))
		return nil
	}
	return cmd
}

// changeBackend drains or resumes a server.
func (a *app) changeBackend(ctx context.Context, t target, name, verb string) (*clients, error) {
	c, err := a.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := c.call(ctx, http.MethodPost, "/backends/"+url.PathEscape(name)+"/"+verb, nil); err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, plain.Line(name), plainly(err))
	}
	return c, nil
}

// backends asks the server for the model servers. It returns an empty list, and not nil, if there are none.
func (c *clients) backends(ctx context.Context, model string) ([]backendState, error) {
	out := struct {
		Backends []backendState `json:"backends"`
	}{}
	query := ""
	if model != "" {
		query = "?" + url.Values{"modelId": {model}}.Encode()
	}
	err := c.call(ctx, http.MethodGet, "/backends"+query, &out)
	if out.Backends == nil {
		out.Backends = []backendState{}
	}
	return out.Backends, err
}

// drainedEvery is the time between two looks at a server that is being drained.
const drainedEvery = time.Second

// drained waits until no server that a name means is draining. Other processes say what they have in flight some seconds later, so the look that finds nothing must
// be repeated with the same result.
func (c *clients) drained(ctx context.Context, name string) error {
	for quiet := 0; quiet < 3; {
		all, err := c.backends(ctx, "")
		if err != nil {
			return err
		}
		quiet++
		if slices.ContainsFunc(all, func(s backendState) bool {
			return s.State == string(batholith.BackendDraining) && (s.Name == name || s.URL == strings.TrimRight(name, "/") || s.Name == name+".localhost")
		}) {
			quiet = 0
		}
		select {
		case <-time.After(drainedEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// showBackends prints a row for each server.
func (a *app) showBackends(all []backendState) error {
	t := table{columns: []column{{name: "name", least: 12}, {name: "state"}, {name: "in flight"}, {name: "limit"}, {name: "it says"}, {name: "models", least: 12}, {name: "url", least: 20}, {name: "why", least: 12}}}
	for _, s := range all {
		limit, says := "-", "-"
		if s.Limit > 0 {
			limit = strings.TrimSpace(words.Number(s.Limit) + " " + s.LimitSource)
		}
		if s.Running+s.Waiting > 0 {
			says = fmt.Sprintf("%s running, %s waiting", words.Number(s.Running), words.Number(s.Waiting))
		}
		state := s.State
		if s.Standby {
			state += " (standby)"
		}
		t.rows = append(t.rows, []cell{{text: s.Name}, {text: state}, {text: words.Number(s.InFlight)}, {text: limit}, {text: says}, {text: strings.Join(s.Models, ", ")}, {text: s.URL}, {text: s.Reason}})
	}
	return t.write(a.page())
}
