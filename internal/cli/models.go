package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
)

// modelsCommand returns the command models. It only asks: each model server gets the requests of the doctor's check.
func (a *app) modelsCommand() *cobra.Command {
	var (
		asJSON       bool
		example, typ string
	)
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the served models, and how healthy their servers are",
		Long: `List the models of the settings and the embedded models. Each server of a model has a line, which says whether the server can be
reached, whether it lists the model, and whether it answers a request for one token. For a server that batholith serve starts
(exec), the line also has its process, or the progress of its start.

For the remedy of a problem, use batholith doctor. The exit code does not depend on the state of the servers.

With --example, no server is asked: the command prints a record for a model, as a line of an input file, and on stderr where its answer will
be.`,
		Example: `  batholith models
  batholith models --example anthropic.claude-3-haiku-20240307-v1:0 > first.jsonl
  batholith models --config batholith.yaml --json`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&example, "example", "", "print a record for the model with this `id` or alias")
	cmd.Flags().StringVar(&typ, "type", "", "with --example: InvokeModel (default) or Converse")
	completeWords(cmd, "type", string(batholith.InvokeModel), string(batholith.Converse))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if example != "" {
			return a.exampleFor(s, example, typ)
		}
		c, err := a.load(s)
		if err != nil {
			return err
		}
		facts := servedModels(c, doctor.Models(cmd.Context(), a.doctorOptions(c, s.file)))
		if asJSON {
			return a.printJSON(facts)
		}
		return a.tableOfModels(facts)
	}
	return cmd
}

// exampleFor prints a record for a model, which may be an id of Bedrock's that the settings do not have.
func (a *app) exampleFor(s *settings, model, typ string) error {
	kind, err := parseType(typ)
	if err != nil {
		return err
	}
	c, err := a.loadBy(config.LoadClient, s)
	if err != nil {
		return err
	}
	family := familyNamed(c, model)
	e, ok := dialect.ExampleOf(family, kind)
	if !ok && family != "" {
		return &usageError{reason: fmt.Sprintf("models of the family %s have no conversations", family), remedy: "leave out --type Converse"}
	} else if !ok {
		return &usageError{reason: fmt.Sprintf("the family of the model %q is not known", model), remedy: "name it as the setting family of the model, one of " + strings.Join(dialect.Families(), ", ")}
	}
	plain.Fprintf(a.stderr, "a record of the family %s; the answer will be at .%s\n", family, e.Answer)
	return writeLines(a.stdout, fmt.Sprintf(`{"recordId": "1", "modelInput": %s}`, e.Body))
}

// servedModel is a model with the state of its servers.
type servedModel struct {
	ID      string           `json:"id"`
	Aliases []string         `json:"aliases,omitempty"`
	Family  string           `json:"family"`
	Servers []doctor.Finding `json:"servers"`
}

// servedModels joins the models of the settings with what was found about their servers, and adds the embedded ones.
func servedModels(c *config.Config, found []doctor.Health) (models []servedModel) {
	taken := map[string]bool{}
	for _, m := range c.Models {
		taken[m.ID] = true
		served := servedModel{ID: m.ID, Aliases: m.Aliases, Family: cmp.Or(m.Family, dialect.FamilyOf(m.ID))}
		for _, h := range found {
			if h.Model == m.ID {
				served.Servers = append(served.Servers, h.Finding)
			}
		}
		models = append(models, served)
	}
	for _, id := range []string{catalog.TinyModel, catalog.SimulatedModel} {
		if c.Embedded && !taken[id] {
			models = append(models, servedModel{ID: id, Family: dialect.FamilyAny,
				Servers: []doctor.Finding{{Severity: doctor.Sound, Check: "model", What: "built into the program; it needs no server"}}})
		}
	}
	return models
}

// tableOfModels prints a row for each server of a model.
func (a *app) tableOfModels(models []servedModel) error {
	t := table{columns: []column{{name: "model", least: 12}, {name: "family"}, {name: "state"}, {name: "server", least: 20}}}
	for _, m := range models {
		for _, f := range m.Servers {
			what := f.What
			if f.Why != "" {
				what += ": " + strings.Join(strings.Split(f.Why, "\n"), " / ") // a row is one line
			}
			t.rows = append(t.rows, []cell{{text: m.ID}, {text: m.Family}, {text: string(f.Severity), colour: severities[f.Severity]}, {text: what}})
		}
	}
	return t.write(a.page())
}
