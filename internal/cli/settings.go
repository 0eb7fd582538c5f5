package cli

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
)

// settings holds the flags of a command that correspond to settings, and the path of the settings file. Only flags
// that were given are in it, so that a default does not override the file.
type settings struct {
	file  string
	flags map[string]string // path → text of the flags that were given
	exec  *config.Model     // of the flag --exec; nil: none
}

// bindSettings adds --config and a flag for every setting that can have one. The help lists the flags of the paths in shown, or
// all if there are none; the others work too, and --help-all lists them.
func (a *app) bindSettings(cmd *cobra.Command, shown ...string) *settings {
	s := &settings{file: a.getenv(config.EnvPrefix + "CONFIG"), flags: map[string]string{}}
	if cmd.Flags().Lookup("config") == nil { // else the command's own target has it, and hands it on
		cmd.Flags().StringVar(&s.file, "config", s.file, "YAML `file` with settings (BATHOLITH_CONFIG; default: ./batholith.yaml, if it is there); batholith config --sample shows one")
	}
	list := map[string]bool{}
	var more []*pflag.Flag // hidden in the short help
	for _, path := range shown {
		list[path] = true
	}
	for _, setting := range config.Settings() {
		if setting.Flag == "" || cmd.Flags().Lookup(setting.Flag) != nil {
			continue
		}
		f := cmd.Flags().VarPF(&settingFlag{settings: s, setting: setting}, setting.Flag, "", usageOf(setting))
		f.DefValue = setting.Default
		if len(shown) > 0 && !list[setting.Path] {
			f.Hidden = true
			more = append(more, f)
		}
		if setting.Kind == "bool" {
			f.NoOptDefVal = "true"
		}
	}
	if len(more) > 0 && cmd.Flags().Lookup("help-all") == nil {
		cmd.Flags().VarPF(&helpAll{cmd: cmd, more: more}, "help-all", "", "help with the flags of all settings").NoOptDefVal = "true"
	}
	return s
}

// usualSettings are the paths of the settings that the help of serve lists. The others are rarely set by a flag.
var usualSettings = []string{"data", "listen", "insecure", "tls.cert", "tls.key", "store", "roles_of_this_process", "account", "region", "profile", "policy", "s3.listen", "s3.endpoint",
	"embedded", "attempts", "reuse", "memory", "drain", "log.level", "log.format"}

// helpAll is the flag --help-all: it is --help that lists the hidden flags too.
type helpAll struct {
	cmd  *cobra.Command
	more []*pflag.Flag
	on   bool
}

var _ pflag.Value = (*helpAll)(nil)

// String returns whether the flag was given.
func (h *helpAll) String() string { return strconv.FormatBool(h.on) }

// Type returns the kind of a flag without a value.
func (h *helpAll) Type() string { return "bool" }

// Set asks for the help, and lists all flags in it.
func (h *helpAll) Set(text string) (err error) {
	if h.on, err = strconv.ParseBool(text); err != nil || !h.on {
		return err
	}
	for _, f := range h.more {
		f.Hidden = false
	}
	return h.cmd.Flags().Set("help", "true")
}

// usageOf returns a setting's sentence for the help. It has no back quotes, because pflag takes quoted words for the name of the value.
func usageOf(s config.Setting) string {
	return strings.ReplaceAll(strings.TrimSuffix(s.Doc, "."), "`", "")
}

// settingFlag stores the text of a flag. Package config parses it, like a value from the file or the environment.
type settingFlag struct {
	settings *settings
	setting  config.Setting
}

var _ pflag.Value = (*settingFlag)(nil)

// String returns the text that was given, or "".
func (f *settingFlag) String() string { return f.settings.flags[f.setting.Path] }

// Type returns the kind of the setting, such as "bool" or "duration", which the help and formOf use.
func (f *settingFlag) Type() string { return f.setting.Kind }

// Set stores the text and accepts any: package config reports a wrong value with its origin.
func (f *settingFlag) Set(text string) error {
	f.settings.flags[f.setting.Path] = text
	return nil
}

// usualFile is the settings file that is read if no other is named.
const usualFile = "batholith.yaml"

// settingsFile returns the path of the settings file: named if it is not "", otherwise batholith.yaml in the
// current folder if that exists. The latter is announced on stderr, because the user did not name it. It returns
// "" if there is none, and the defaults hold.
func (a *app) settingsFile(named string) string {
	if named != "" {
		return named
	}
	if _, err := os.Stat(usualFile); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	plain.Fprintf(a.stderr, "batholith: using the settings of ./%s\n", usualFile)
	return usualFile
}

// load returns the effective settings for serve and run, and prints their warnings. Errors are usage errors, exit
// code 2.
func (a *app) load(s *settings) (*config.Config, error) { return a.loadBy(config.Load, s) }

// sources are where the settings come from. The file is known after a first load.
func (a *app) sources(s *settings) config.Sources {
	return config.Sources{File: s.file, Env: a.env, Flags: s.flags, Exec: s.exec}
}

// loadBy is load with [config.Load] or [config.LoadClient]. The latter accepts settings whose secrets this shell
// does not have.
func (a *app) loadBy(load func(config.Sources) (*config.Config, error), s *settings) (*config.Config, error) {
	s.file = a.settingsFile(s.file)
	c, err := load(a.sources(s))
	var wrong *config.Error
	switch {
	case errors.As(err, &wrong):
		return nil, err
	case err != nil: // the named file cannot be read
		return nil, &usageError{reason: err.Error(), remedy: "name another file with --config, or make one with: batholith config --sample > batholith.yaml"}
	}
	for _, w := range c.Warnings {
		a.tell("warning", w)
	}
	return c, nil
}

// configCommand prints settings and their origins. It starts nothing and does not read the data directory.
func (a *app) configCommand() *cobra.Command {
	var sample, check, asJSON bool
	cmd := &cobra.Command{
		Use:   "config [FILE]",
		Short: "Show the effective settings and where each comes from",
		Long: `Show the effective settings as YAML, each with its origin: the default, the profile, a line of the file, an
environment variable, or a flag. A flag overrides the environment, which overrides the file. Secrets are hidden.

The file is the one that --config or BATHOLITH_CONFIG names, otherwise ./batholith.yaml; --config /dev/null reads none.

With --sample, print a settings file that explains every setting and shows its default. With --check, check the settings as a server would at
its start or reload, with the variables and files of this shell, and change nothing; the exit code is 2 if they cannot be used.`,
		Example: `  batholith config --sample > batholith.yaml
  batholith config
  batholith config --check new.yaml
  BATHOLITH_LISTEN=127.0.0.1:8080 batholith config`,
		Args: arguments(0, 1, "at most one FILE"),
	}
	s := a.bindSettings(cmd, usualSettings...)
	cmd.Flags().BoolVar(&check, "check", false, "check the settings, and print only what is wrong with them")
	cmd.Flags().BoolVar(&sample, "sample", false, "print a commented settings file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			s.file = args[0]
		}
		if sample {
			return config.WriteSample(a.stdout)
		}
		c, err := a.load(s)
		if err != nil {
			return err
		}
		if check {
			plain.Fprintf(a.stdout, "%s can be used\n", cmp.Or(s.file, "the settings"))
			return nil
		}
		if asJSON {
			return a.printJSON(c.Values())
		}
		return c.Write(a.stdout)
	}
	return cmd
}
