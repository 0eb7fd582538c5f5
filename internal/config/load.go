package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// Sources are the places from which settings are read.
type Sources struct {
	File  string            // path of the YAML file; "": none
	Env   []string          // in the form of os.Environ
	Flags map[string]string // setting's path → text, for flags that were given
	Exec  *Model            // of the flag --exec: it replaces the models of the file; nil: none
}

// Load reads the settings, fills in defaults and checks them. The error is an [*Error] with all
// problems, or the reason why the file cannot be read.
func Load(src Sources) (*Config, error) { return loadChecked(src, (*loader).check) }

// LoadClient reads the settings for a command that only talks to a server. It checks only the
// keys of the S3: secrets of roles, callers and model servers need not exist on a client's
// machine.
func LoadClient(src Sources) (*Config, error) { return loadChecked(src, (*loader).checkS3Keys) }

func loadChecked(src Sources, check func(*loader)) (*Config, error) {
	file := &decoder{origin: Origin{Source: "file", Name: src.File}, anchors: map[string]ast.Node{}}
	var tree ast.Node
	if src.File != "" {
		text, err := os.ReadFile(src.File)
		if err != nil {
			return nil, fmt.Errorf("read the settings: %w", pathError(err))
		}
		tree = file.parse(text)
	}
	env := environment(src.Env)
	// The profile determines the other defaults, so it is known first.
	c := Default(pickProfile(src, env, tree))
	l := &loader{config: c, env: env, problems: file.problems}
	c.setDefaults()
	file.origins, file.problems = c.origins, nil
	file.into(reflect.ValueOf(c).Elem(), tree, "")
	l.problems = append(l.problems, file.problems...)
	l.fromEnvironment()
	l.fromFlags(src.Flags)
	if src.Exec != nil {
		maps.DeleteFunc(c.origins, func(path string, _ Origin) bool { return strings.HasPrefix(path, "models[") })
		c.Models, c.origins["models"] = []Model{*src.Exec}, Origin{Source: "flag", Name: "--exec"}
	}
	if len(l.problems) == 0 { // otherwise problems would be reported twice
		l.complete()
		check(l)
	}
	if len(l.problems) > 0 {
		// Line 0, no line, becomes the largest number by the unsigned subtraction.
		slices.SortStableFunc(l.problems, func(p, q Problem) int {
			return cmp.Or(cmp.Compare(uint(p.Line-1), uint(q.Line-1)), cmp.Compare(p.Reason, q.Reason)) // problems without a line come last
		})
		for i := range l.problems {
			l.problems[i].Reason = plain.Redact(l.problems[i].Reason)
		}
		return nil, &Error{Problems: l.problems}
	}
	return c, nil
}

// pathError removes the name of the system call from an error about a path.
func pathError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// loader is the state of Load.
type loader struct {
	config   *Config
	env      map[string]string
	problems []Problem
}

// pickProfile determines the profile first, because other defaults depend on it.
func pickProfile(src Sources, env map[string]string, tree ast.Node) string {
	if p, ok := src.Flags["profile"]; ok {
		return p
	}
	if p := env[envName("profile")]; p != "" {
		return p
	}
	entries, _ := entriesOf(tree)
	for _, e := range entries {
		if e.Key.GetToken().Value == "profile" && e.Value.Type() != ast.NullType {
			return e.Value.GetToken().Value
		}
	}
	return ProfileDefault
}

// setDefaults records the origin of every default value.
func (c *Config) setDefaults() {
	eachSetting(reflect.ValueOf(c).Elem(), "", func(path string, _ reflect.StructField, _ reflect.Value) {
		c.origins[path] = Origin{Source: "default"}
		if strings.HasPrefix(path, "limits.") && c.Profile != ProfileDefault {
			c.origins[path] = Origin{Source: "profile " + c.Profile}
		}
	})
}

// environment converts os.Environ to a map.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// fromEnvironment applies the environment variables. An empty variable counts as absent, as in
// AWS tools.
func (l *loader) fromEnvironment() {
	known := map[string]bool{EnvPrefix + "CONFIG": true}
	eachSetting(reflect.ValueOf(l.config).Elem(), "", func(path string, _ reflect.StructField, v reflect.Value) {
		known[envName(path)] = true
		if text := l.env[envName(path)]; text != "" {
			l.set(v, path, text, Origin{Source: "environment", Name: envName(path)})
		}
	})
	l.doubt(known)
}

// doubt warns about variables that look like a misspelt setting. It is not an error:
// Kubernetes, for example, sets BATHOLITH_SERVICE_HOST itself.
func (l *loader) doubt(known map[string]bool) {
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	for k := range l.env {
		if !strings.HasPrefix(k, EnvPrefix) || known[k] {
			continue
		}
		if c := words.Closest(k, names); c != "" && words.Distance(k, c) <= 2 {
			l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s is not a setting; did you mean %s?", k, c))
		}
	}
}

// fromFlags applies the flags. It comes last, so that flags win.
func (l *loader) fromFlags(flags map[string]string) {
	eachSetting(reflect.ValueOf(l.config).Elem(), "", func(path string, f reflect.StructField, v reflect.Value) {
		if text, ok := flags[path]; ok {
			l.set(v, path, text, Origin{Source: "flag", Name: "--" + flagName(path, f)})
		}
	})
}

// set stores text from the environment or a flag in a setting. A list is written as a,b or in
// YAML as [a, b].
func (l *loader) set(v reflect.Value, path, text string, origin Origin) {
	l.config.origins[path] = origin
	if v.Kind() != reflect.Slice {
		if err := setScalar(v, text); err != nil {
			l.problems = append(l.problems, Problem{Origin: origin, Reason: path + ": " + err.Error(),
				Remedy: "correct the value, or leave it out to have the default"})
		}
		return
	}
	if v.Type().Elem().Kind() == reflect.String && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		text = "[" + text + "]"
	}
	d := &decoder{origin: origin, origins: l.config.origins, anchors: map[string]ast.Node{}}
	if tree := d.parse([]byte(text)); tree != nil {
		d.into(v, tree, path)
	}
	l.problems = append(l.problems, d.problems...)
}

// Origin returns where the value at path came from. An entry of a list without its own origin
// has that of the list.
func (c *Config) Origin(path string) Origin {
	for path != "" {
		if o, ok := c.origins[path]; ok {
			return o
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return Origin{Source: "default"}
}
