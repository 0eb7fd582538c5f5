package cli

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/upstream"
)

// ownServer makes a backend of a server that this process starts. Its host is NAME.localhost: a name that never leaves the machine, that is
// the same after a restart on another port, and that servers accept which check the Host of a request, as Ollama does.
func ownServer(servers *managed.Servers, o *upstream.Options, b config.Backend) {
	base, health := ownPaths(b)
	s := servers.Add(managed.Spec{Exec: b.Exec, Env: b.Environ, Dir: b.Dir, Inherit: b.Inherited, Health: health})
	o.URL, o.Process = "http://"+s.Name()+".localhost"+base, s
	o.Sole, o.Made = b.Sole, strings.Join(b.Exec, " ")
}

// ownPaths returns the path below which a server's requests go, that of its url or else of its protocol, and the paths that tell whether it
// is ready. llama.cpp, vLLM, SGLang and TEI have /health, which answers 503 while they load; the others answer their list of models.
func ownPaths(b config.Backend) (base string, health []string) {
	_, base, given := strings.Cut(b.URL, managed.Port)
	switch {
	case b.Protocol == dialect.ProtocolOllama:
		return base, []string{base + "/api/tags"}
	case b.Protocol == dialect.ProtocolTEI:
		return base, []string{base + "/health"}
	case !given:
		base = "/v1"
	}
	return base, []string{"/health", base + "/models"}
}

// tellStarts says which servers a run starts, and where their output goes.
func (a *app) tellStarts(p *progress, o localOptions) {
	told := map[string]bool{}
	for _, m := range modelOptions(o.Config).Served {
		for _, b := range m.Backends {
			if s, ok := b.Process.(*managed.Server); ok && !told[s.Name()] && (m.ID == o.Model || slices.Contains(m.Aliases, o.Model)) {
				told[s.Name()] = true
				plain.Fprintf(p, "starting %s, which serves %s; its output goes to %s\n", s.Name(), m.ID, filepath.Join(o.Output, state, managed.Folder, s.Name()+".log"))
			}
		}
	}
}

// ownModel is the id of the model that run --exec serves, if --model names none.
const ownModel = "local"

// executed returns the model of run --exec: its server is started by a command line, which is split into words as a shell does, without
// variables, globs and pipes.
func executed(line, model string) (*config.Model, error) {
	command, err := shellquote.Split(line)
	if err != nil || len(command) == 0 {
		return nil, &usageError{reason: "the value of --exec is not a command: a quote is not closed, or nothing is in it",
			remedy: `write it as for a shell, in quotes: --exec "llama-server -m model.gguf --port {port}"`}
	}
	return &config.Model{ID: cmp.Or(model, ownModel), Backends: []config.Backend{{Exec: command}}}, nil
}
