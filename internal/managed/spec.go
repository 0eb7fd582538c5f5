package managed

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Port is the placeholder for the port in [Spec.Exec] and [Spec.Env].
const Port = "{port}"

// Spec says how a server is started. Servers with equal Exec, Env and Dir are one process.
type Spec struct {
	Exec    []string // program and arguments; Port in them is replaced
	Env     []string // NAME=VALUE, added to Inherit; Port in them is replaced
	Dir     string   // working folder; "": that of this process
	Inherit []string // NAME=VALUE: environment variables of this process that the server gets too
	// Health are the paths that are asked by GET, in this order, whether the server is ready: see [verdictOf].
	Health []string
}

// same reports whether two specs are one process.
func (s Spec) same(o Spec) bool {
	return slices.Equal(s.Exec, o.Exec) && slices.Equal(s.Env, o.Env) && s.Dir == o.Dir
}

// TakesPort reports whether the placeholder for the port is in the command or in the environment.
func (s Spec) TakesPort() bool {
	has := func(text string) bool { return strings.Contains(text, Port) }
	return slices.ContainsFunc(s.Exec, has) || slices.ContainsFunc(s.Env, has)
}

// on returns the arguments and the environment for a port.
func (s Spec) on(port int) (args, env []string) {
	fill := func(texts []string) []string {
		out := make([]string, len(texts))
		for i, t := range texts {
			out[i] = strings.ReplaceAll(t, Port, strconv.Itoa(port))
		}
		return out
	}
	return fill(s.Exec), append(slices.Clone(s.Inherit), fill(s.Env)...)
}

// Program returns the path of the program, or an error that names what is missing. A path with a slash is looked up in Dir, others in
// PATH, as at the start.
func (s Spec) Program() (string, error) {
	name := s.Exec[0]
	if strings.ContainsRune(name, os.PathSeparator) && !filepath.IsAbs(name) && s.Dir != "" {
		name = filepath.Join(s.Dir, name)
	}
	return lookPath(name)
}

// nameOf returns a name for a server: the file name of its program in lower case, with dashes for characters that a host name cannot have.
func nameOf(program string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, filepath.Base(program))
	if name = strings.Trim(name, "-."); name == "" {
		return "server"
	}
	return name
}
