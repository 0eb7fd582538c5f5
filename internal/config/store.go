package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Roles of a process.
const (
	RoleAPI    = "api"
	RoleWorker = "worker"
)

// storeSQLite is the store in a file of the data directory.
const storeSQLite = "sqlite"

// Postgres reports whether the state is in a PostgreSQL database, which several processes may share.
func (c *Config) Postgres() bool { return postgresURL(c.Store) }

func postgresURL(store string) bool {
	return strings.HasPrefix(store, "postgres://") || strings.HasPrefix(store, "postgresql://")
}

// API reports whether this process answers the Bedrock API.
func (c *Config) API() bool { return slices.Contains(c.Process, RoleAPI) }

// Worker reports whether this process runs jobs.
func (c *Config) Worker() bool { return slices.Contains(c.Process, RoleWorker) }

// StoreName is the store in words, for messages: sqlite, or the URL of the PostgreSQL database with its user, hosts
// and name, and without a password or a parameter.
func (c *Config) StoreName() string {
	if !c.Postgres() {
		return c.Store
	}
	u, err := url.Parse(c.Store)
	if err != nil {
		return "postgres"
	}
	name := url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path}
	if u.User.Username() != "" {
		name.User = url.User(u.User.Username())
	}
	if u.Host == "" { // a socket
		name.RawQuery = "host=" + u.Query().Get("host")
	}
	return name.String()
}

// checkStore checks the store, and which parts of the service a process with this store may run.
func (l *loader) checkStore() {
	c := l.config
	for i, p := range c.Process { // one by one, before the combination
		l.oneOf(fmt.Sprintf("roles_of_this_process[%d]", i), p, RoleAPI, RoleWorker)
	}
	one := c.API() != c.Worker() // the process has one of the two roles
	if len(c.Process) == 0 {
		l.bad("roles_of_this_process", "write [api, worker], [api] or [worker]", "a process without a role does nothing")
	}
	if !c.Postgres() {
		l.oneOf("store", c.Store, storeSQLite, "postgres://USER@HOST:5432/DATABASE")
		if one {
			l.bad("roles_of_this_process", "leave it at [api, worker], or set store to postgres://USER@HOST:5432/DATABASE, which several processes share",
				"the store sqlite is a file that only one process uses, so that process must be both api and worker")
		}
		return
	}
	l.checkPostgres()
	l.secretNamed("store_password_env", c.StorePasswordEnv)
	if c.EmbeddedS3() && one {
		l.bad("roles_of_this_process", "set s3.endpoint to an S3 that all processes reach, or write [api, worker]",
			"the embedded S3 is inside one process, and another process would not find the objects of its jobs")
	}
}

// checkPostgres checks the URL of the database. Its password must not come from a flag: every user of the machine can read
// the flags of a process.
func (l *loader) checkPostgres() {
	c := l.config
	u, err := url.Parse(c.Store)
	const form = "write postgres://USER@HOST:5432/DATABASE"
	switch {
	case err != nil:
		l.bad("store", form+"; in a user name or password, write % and other special characters as %25 and so on", "it is not a valid URL")
		return
	case u.Host == "" && u.Query().Get("host") == "":
		l.bad("store", form+", or postgres:///DATABASE?host=/var/run/postgresql for a socket", "it names no host")
	case strings.Trim(u.Path, "/") == "":
		l.bad("store", form, "it names no database")
	}
	_, inURL := u.User.Password()
	secret := inURL || u.Query().Has("password")
	switch {
	case !secret:
	case c.Origin("store").Source == "flag":
		l.bad("store", "remove it from the flag, and name a variable that holds it with --store-password-env, or use PGPASSWORD or PGPASSFILE",
			"the password is in a flag, which every user of this machine can read")
	case c.StorePasswordEnv != "":
		l.bad("store_password_env", "remove one of them", "the password is also in the URL of store")
	}
}
