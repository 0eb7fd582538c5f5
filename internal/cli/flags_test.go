package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith/internal/plain"
)

// commands are all commands, those below others too.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, below := range c.Commands() {
		all = append(all, commands(below)...)
	}
	return all
}

// The value of a flag has one word as its name in the help; a flag of a setting has the setting's kind.
func TestTheValueOfAFlagIsNamedByOneWord(t *testing.T) {
	for _, cmd := range commands((&app{}).root()) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			name, _ := pflag.UnquoteUsage(f)
			if s, ok := f.Value.(*settingFlag); strings.ContainsAny(name, " `") || ok && s.setting.Kind != "bool" && name != s.setting.Kind {
				t.Errorf("%s --%s %s", cmd.CommandPath(), f.Name, name)
			}
		})
	}
}

// A value that a flag cannot have is refused with the flag's name, the value, and how one is written.
func TestEveryWrongFlagNamesItsValueAndItsRemedy(t *testing.T) {
	tried := 0
	for _, cmd := range commands((&app{}).root()) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, value := range []string{"x?", "99999999999999999999999", "--json"} {
				if _, err := cmd.Flags().GetString(f.Name); err == nil || f.Value.Set(value) == nil {
					continue // any text does
				}
				tried++
				var b bytes.Buffer
				w := plain.NewWriter(&b)
				a := &app{stdout: w, stderr: w}
				args := append(strings.Fields(cmd.CommandPath())[1:], "--"+f.Name+"="+value)
				err := a.execute(t.Context(), args)
				a.complain(err)
				got := b.String()
				if exitCode(err) != exitUsage || !strings.Contains(got, "batholith: error: --"+f.Name+": ") && !strings.Contains(got, "batholith: error: --"+f.Name+" needs") ||
					!strings.Contains(got, value) || !strings.Contains(got, "batholith: hint: write ") {
					t.Errorf("%v: exit code %d\n%s", args, exitCode(err), got)
				}
				for _, foreign := range []string{"strconv", "parsing", "syntax", "invalid", "time:", "out of range"} {
					if strings.Contains(got, foreign) {
						t.Errorf("%v: has a library's word %q:\n%s", args, foreign, got)
					}
				}
			}
		})
	}
	if tried < 100 {
		t.Errorf("only %d values were tried", tried)
	}
}

func TestAFlagWithoutItsValueIsToldSo(t *testing.T) {
	for _, args := range [][]string{{"simulate", "--slots"}, {"run", "--output"}, {"jobs", "--limit"}, {"serve", "--drain"}} {
		var b bytes.Buffer
		w := plain.NewWriter(&b)
		a := &app{stdout: w, stderr: w}
		a.complain(a.execute(t.Context(), args))
		if want := "batholith: error: " + args[1] + " needs a value\nbatholith: hint: write "; !strings.HasPrefix(b.String(), want) {
			t.Errorf("%v: %s", args, b.String())
		}
	}
}
