package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/doctor"
)

// modelsCommand returns the command models. It only asks: each model server gets the requests of the doctor's check.
func (a *app) modelsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the served models, and how healthy their servers are",
		Long: `List the models of the settings and the embedded models. Each server of a model has a line, which says whether the server can be
reached, whether it lists the model, and whether it answers a request for one token. For a server that batholith serve starts
(exec), the line also has its process, or the progress of its start.

For the remedy of a problem, use batholith doctor. The exit code does not depend on the state of the servers.`,
		Example: `  batholith models
  batholith models --config batholith.yaml --json`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
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
				Servers: []doctor.Finding{{Severity: doctor.Sound, Check: "model", What: "it is in the program, and needs no server"}}})
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
