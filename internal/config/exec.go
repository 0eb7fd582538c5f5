package config

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/system"
)

// hideValues returns the entries NAME=VALUE of an environment with their values hidden: many are keys.
func hideValues(env []string) []string {
	shown := make([]string, len(env))
	for i, entry := range env {
		if shown[i] = entry; strings.Contains(entry, "=") {
			name, _, _ := strings.Cut(entry, "=")
			shown[i] = name + "=" + plain.Hidden
		}
	}
	return shown
}

// completeExec fills in the environment of a backend's server.
func (l *loader) completeExec(b *Backend) {
	if len(b.Exec) == 0 {
		return
	}
	secret := l.secretVariables()
	for name, value := range l.env {
		if !secret[name] && !strings.HasPrefix(name, EnvPrefix) && !strings.HasPrefix(name, "AWS_") {
			b.Inherited = append(b.Inherited, name+"="+value)
		}
	}
	slices.Sort(b.Inherited)
	for _, entry := range b.ExecEnv {
		if !strings.Contains(entry, "=") {
			entry += "=" + l.env[entry]
		}
		b.Environ = append(b.Environ, entry)
	}
}

// secretVariables returns the environment variables that the settings name for secrets.
func (l *loader) secretVariables() map[string]bool {
	c := l.config
	names := []string{c.S3.SecretAccessKeyEnv, c.StorePasswordEnv, "PGPASSWORD"}
	for _, k := range c.Credentials {
		names = append(names, k.SecretAccessKeyEnv)
	}
	for _, k := range c.APIKeys {
		names = append(names, k.KeyEnv)
	}
	for _, r := range c.Roles {
		names = append(names, r.SecretAccessKeyEnv)
		if r.Assume != nil {
			names = append(names, r.Assume.SecretAccessKeyEnv)
		}
	}
	for _, m := range c.Models {
		for _, b := range m.Backends {
			names = slices.AppendSeq(append(names, b.APIKeyEnv, b.SecretAccessKeyEnv, b.SessionTokenEnv), maps.Values(b.HeadersEnv))
		}
	}
	for _, e := range c.Events {
		names = slices.AppendSeq(append(names, e.SecretEnv), maps.Values(e.HeadersEnv))
	}
	secret := map[string]bool{}
	for _, name := range names {
		secret[name] = true
	}
	return secret
}

// withoutExec rejects settings that only a backend with exec has.
func (l *loader) withoutExec(at string, b Backend) {
	for name, given := range map[string]bool{"env": len(b.ExecEnv) > 0, "dir": b.Dir != ""} {
		if given {
			l.bad(at+"."+name, "remove it, or add exec, the command that starts the server", "it is for a server that Batholith starts")
		}
	}
}

// checkExec checks a server that Batholith starts: that its program is there, takes a port, and may be trusted as far as the file that names it.
func (l *loader) checkExec(at string, b Backend) {
	spec := managed.Spec{Exec: b.Exec, Env: b.ExecEnv, Dir: b.Dir}
	if b.URL != "" {
		if u, err := url.Parse(strings.ReplaceAll(b.URL, managed.Port, "1")); err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || !strings.Contains(b.URL, ":"+managed.Port) {
			l.bad(at+".url", "remove it, or write http://127.0.0.1:{port}/PATH", "beside exec, the address is that of the server that Batholith starts")
		}
	}
	if !spec.TakesPort() {
		l.bad(at+".exec", "write {port} where the server takes its port, as in: --port {port}, or in env: OLLAMA_HOST=127.0.0.1:{port}", "neither exec nor env has {port}")
	}
	if b.Dir != "" {
		if info, err := os.Stat(b.Dir); err != nil || !info.IsDir() {
			l.bad(at+".dir", "name a directory", "%s is not a directory", b.Dir)
			return
		}
	}
	if b.Exec[0] == "" {
		l.bad(at+".exec", "write the program first", "the program is empty")
	} else if _, err := spec.Program(); err != nil {
		l.bad(at+".exec", "install it, or write its full path", "%v", err)
	}
	for i, entry := range b.ExecEnv {
		l.checkEnv(fmt.Sprintf("%s.env[%d]", at, i), entry)
	}
	l.trusted(at + ".exec")
}

// checkEnv checks one entry of a server's environment.
func (l *loader) checkEnv(path, entry string) {
	name, _, valued := strings.Cut(entry, "=")
	_, there := l.env[name]
	switch {
	case name == "" || strings.ContainsAny(name, " \t\n"):
		l.bad(path, "write NAME=VALUE, or NAME to pass a variable on", "the name of the variable is missing or has spaces")
	case !valued && !there:
		l.bad(path, "export "+name+" before the start", "the environment has no variable %s", name)
	}
}

// trusted rejects a command from a file that other users can change: they could run programs as this user.
func (l *loader) trusted(path string) {
	o := l.config.Origin(path)
	if o.Source != "file" {
		return
	}
	info, err := os.Stat(o.Name)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if system.ModesTell && info.Mode().Perm()&0o002 != 0 {
		l.bad(path, "close it with: chmod o-w "+o.Name, "every user of this machine can write to %s, and could run programs as you", o.Name)
	} else if owner, ok := system.Owner(info); ok && owner != 0 && owner != os.Geteuid() {
		l.bad(path, "copy the file and name the copy with --config", "%s belongs to another user, who could run programs as you", o.Name)
	}
}
