package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/tests/harness"
)

// patience bounds every wait. Only a test that fails takes so long.
const patience = 2 * time.Minute

// slots is how many requests for the model "m" each worker sends at once, and sharedSlots how many for the model "shared" all workers together.
const (
	slots       = 8
	sharedSlots = 12
)

// cluster is two API processes and three workers, with a PostgreSQL and an S3 behind proxies.
type cluster struct {
	t       testing.TB
	db      *database
	s3      *harness.Server
	w       *witness
	all     []*process
	balance *proxy // before the API processes
	client  *harness.Server
	jobs    []*job        // made so far
	look    time.Duration // between two looks at a job
	slots   int           // requests for the model "m" that each worker sends at once
}

// process is one process with the proxies between it and what it uses.
type process struct {
	*harness.Server
	name string
	db   []*proxy // one for each server of the database
	s3   *proxy
	away bool // it has left the cluster
}

// newCluster starts a cluster. settings are added to those of every process.
func newCluster(t testing.TB, settings string) *cluster {
	t.Helper()
	return newClusterOf(t, 2, 3, slots, settings)
}

// newClusterOf starts a cluster of so many processes, whose workers send so many requests at once.
func newClusterOf(t testing.TB, apis, workers, slots int, settings string) *cluster {
	t.Helper()
	c := &cluster{t: t, db: newDatabase(t), w: newWitness(t), slots: slots, look: 30 * time.Millisecond}
	c.s3 = harness.Start(t, "")
	for n := range apis {
		c.add(fmt.Sprint("api", n+1), settings)
	}
	for n := range workers {
		c.add(fmt.Sprint("worker", n+1), settings)
	}
	for _, p := range c.all {
		p.Start()
	}
	c.balance = newProxy(t)
	c.direct()
	c.client = harness.Front(t, c.s3, c.process("api1").Server, c.balance.url())
	c.client.HTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // each request may meet another process
	return c
}

// add prepares a process, whose name begins with its role.
func (c *cluster) add(name, settings string) *process {
	c.t.Helper()
	p := &process{name: name, s3: newProxy(c.t, target{"tcp", strings.TrimPrefix(c.s3.At.S3, "http://")})}
	for _, server := range c.db.servers() {
		p.db = append(p.db, newProxy(c.t, server))
	}
	role := strings.TrimRight(name, "0123456789")
	models := fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: 'http://%[1]s/v1', max_in_flight: %[2]d, headers: {%[3]s: %[4]s}}]}\n"+
		"- {id: shared, family: openai, backends: [{url: 'http://%[1]s/v1', max_in_flight: %[5]d}]}\n", c.w.address, c.slots, header, name, sharedSlots)
	p.Server = harness.BesideAt(c.t, c.s3, p.s3.url(), settings+models, "--roles", role, "--store", c.db.url(p.db))
	c.all = append(c.all, p)
	return p
}

// in makes t the test that runs in the cluster, and brings the cluster back to how it was at the start.
func (c *cluster) in(t testing.TB) {
	c.t, c.db.t = t, t
	for _, s := range []*harness.Server{c.s3, c.client} {
		s.In(t)
	}
	for _, p := range c.all {
		p.In(t)
	}
	c.mend()
	c.w.takes(0)
}

// mend ends every fault.
func (c *cluster) mend() {
	c.t.Helper()
	for _, p := range c.all {
		p.join()
		if !p.Runs() && !p.away {
			c.restart(p)
		}
	}
}

// workers are the workers that have not left.
func (c *cluster) workers() (all []*process) {
	for _, p := range c.all {
		if strings.HasPrefix(p.name, "worker") && !p.away {
			all = append(all, p)
		}
	}
	return all
}

// process returns a process by its name.
func (c *cluster) process(name string) *process {
	i := slices.IndexFunc(c.all, func(p *process) bool { return p.name == name })
	return c.all[i]
}

// direct tells the load balancer where the API processes are. It takes them in turn, and knows nothing of how they are.
func (c *cluster) direct() {
	var apis []target
	for _, p := range c.all {
		if strings.HasPrefix(p.name, "api") && !p.away {
			apis = append(apis, target{"tcp", strings.TrimPrefix(p.At.Bedrock, "http://")})
		}
	}
	c.balance.to(apis...)
}

// restart starts a process that has ended.
func (c *cluster) restart(p *process) {
	c.t.Helper()
	p.Start()
	c.direct()
}

// id is the name under which a worker holds chunks.
func (p *process) id(t testing.TB) string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(p.Data, "worker"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(id))
}

// isolate makes the network between the process and the database, the S3, or both, lose every packet.
func (p *process) isolate(fromDB, fromS3 bool) {
	if fromDB {
		for _, x := range p.db {
			x.swallow()
		}
	}
	if fromS3 {
		p.s3.swallow()
	}
}

// join heals the network around the process.
func (p *process) join() {
	p.s3.heal()
	for _, x := range p.db {
		x.heal()
	}
}

// database is the PostgreSQL of a cluster: a primary and a synchronous standby.
type database struct {
	t     testing.TB
	whole testing.TB // the test at whose end the servers end
	nodes [2]*pgtest.Cluster
	now   int // index of the primary
	name  string
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	d := &database{t: t, whole: t, name: "batholith"}
	d.nodes[0] = pgtest.Start(t, pgtest.Options{})
	d.nodes[0].Exec(t, "CREATE DATABASE "+d.name)
	d.nodes[1] = d.nodes[0].Standby(t)
	return d
}

func (d *database) primary() *pgtest.Cluster { return d.nodes[d.now] }

// servers are the addresses of both.
func (d *database) servers() []target {
	return []target{{"unix", d.nodes[0].Socket()}, {"unix", d.nodes[1].Socket()}}
}

// url is the address of the database for a process with these proxies.
func (d *database) url(through []*proxy) string {
	hosts := make([]string, len(through))
	for i, p := range through {
		hosts[i] = p.address()
	}
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", strings.Join(hosts, ","), d.name)
}

// query reads rows of the database, past the proxies.
func query[T any](d *database, scan func(pgx.CollectableRow) (T, error), statement string, args ...any) []T {
	d.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, d.primary().URL(d.name))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, statement, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}
