package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/document"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/managed"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/simlm"
)

// engineOptions returns the part of the engine's options that follows from the settings. The caller adds the
// store, the directory and the buckets. It fails if a model, a key file or a network of the settings cannot be
// opened.
func engineOptions(c *config.Config) (engine.Options, error) {
	o, _, err := engineOptionsWith(c, managed.New(managed.Options{}))
	return o, err
}

// engineOptionsWith is engineOptions with the set of servers that this process starts. It also returns the encryption keys of the journal.
func engineOptionsWith(c *config.Config, servers *managed.Servers) (o engine.Options, ring *kms.Ring, err error) {
	models, err := engine.OpenModels(modelsWith(c, servers))
	if err != nil {
		return o, nil, err
	}
	if ring, err = c.Ring(); err != nil {
		return o, nil, err
	}
	through, err := networks(c, models)
	if err != nil {
		return o, nil, err
	}
	return engine.Options{Models: models, DataKeys: ring.DataKeys(c.KMS.DataKey, kms.Context{"use": "journal"}), Discreet: c.KMS.DataKey != "", Price: c.Price, Sample: c.Sample, Caps: c.Caps, Limits: c.Limits.Rules(), Networks: through, Profile: profile(c), Region: c.Region,
		Retention: func() (time.Duration, int) { return c.Retention.JobsAfter, c.Retention.JobsKeep },
		EventsAge: func() time.Duration { return c.Retention.EventsAfter },
		Attempts:  c.Attempts, Reuse: reusesTwins(c), Earlier: reusesEarlier(c), StrictBodies: c.StrictBodies, Sourced: c.Provenance == "lines", Silent: c.Echo == "off", Drain: c.Drain, Memory: int64(c.Memory), Patience: patienceOf(c.Limits.Hour)}, ring, nil
}

// reusesTwins reports whether identical records of a job are sent once.
func reusesTwins(c *config.Config) bool { return c.Reuse == "identical" || c.Reuse == reuseFinished }

// reusesEarlier returns which answers of earlier jobs a job takes that has no tag about it.
func reusesEarlier(c *config.Config) batholith.Reuse {
	return batholith.Reuse{Finished: c.Reuse == reuseFinished}
}

// receivers returns the receivers of events.
func receivers(c *config.Config) (all []events.Receiver, err error) {
	for _, e := range c.Events {
		r := events.Receiver{Name: e.Name, URL: e.URL, Format: events.Format(e.Format), Secret: e.Secret, Header: http.Header{}, Timeout: e.Timeout, MaxAge: e.MaxAge}
		for _, s := range e.Statuses {
			r.Statuses = append(r.Statuses, batholith.Status(s))
		}
		for name, value := range e.Header {
			r.Header.Set(name, value)
		}
		if e.CAFile != "" {
			if r.Roots, err = certs.Pool(e.CAFile); err != nil {
				return nil, err
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// patienceOf returns how long a denied access to S3 is retried before the job fails. A setting that shortens the
// hour of the timeouts, as tests do, shortens it in proportion:
//
//	patience = hour / 6, so 10 minutes by default
func patienceOf(hour time.Duration) time.Duration { return hour / 6 }

// modelOptions returns the models of the settings and, unless embedded is false, the embedded ones. With the
// profile aws, Converse requests with tools are refused, as Bedrock refuses them in batches.
func modelOptions(c *config.Config) engine.ModelOptions {
	return modelsWith(c, managed.New(managed.Options{}))
}

// modelsWith is modelOptions with the servers that this process starts in a set that there is already.
func modelsWith(c *config.Config, servers *managed.Servers) engine.ModelOptions {
	o := engine.ModelOptions{Embedded: c.Embedded, Simulated: simulated(c.Simulated), RefuseConverseTools: c.AWS(), Documents: documents(), DocumentLimits: c.AWS(), Managed: servers, Also: c.FurtherNames()}
	for _, set := range c.Models {
		served := engine.Served{Model: batholith.Model{ID: set.ID, Aliases: set.Aliases, Family: set.Family, Inputs: set.Inputs, Set: batholith.Abilities{Context: set.Context}}}
		if len(set.Inputs) > 0 {
			served.Set.Images = batholith.AbilityOf(slices.Contains(set.Inputs, "IMAGE"))
		}
		for _, b := range set.Backends {
			served.Backends = append(served.Backends, b.Upstream())
			if len(b.Exec) > 0 {
				ownServer(o.Managed, &served.Backends[len(served.Backends)-1], b)
			}
		}
		o.Served = append(o.Served, served)
	}
	return o
}

// documents returns the reader of documents that are not text, or nil if the program does not find
// itself.
func documents() dialect.Documents {
	r, err := document.NewReader()
	if err != nil {
		return nil
	}
	return r
}

// simulated returns the behaviour of the simulated model: its latencies, slots and failures. The settings are
// checked already, so the schedule always parses.
func simulated(s config.Simulated) simlm.Options {
	f := s.Failures
	schedule, _ := simlm.ParseSchedule(s.Schedule) // checked by config
	return simlm.Options{Latency: s.Latency, PerToken: s.PerToken, Step: s.Step, Decode: s.Decode, Prefill: s.Prefill, Chunk: s.Chunk, Cache: s.Cache,
		OutputTokens: s.OutputTokens, OutputTokensMax: s.OutputTokensMax, Slots: s.Slots, Schedule: schedule, Queue: s.Queue,
		RefuseStatus: s.Refuse, RetryAfter: s.RetryAfter, Seed: uint64(s.Seed),
		Failures: simlm.Failures{RateLimit: f.RateLimit, Internal: f.Internal, Unavailable: f.Unavailable, BadRequest: f.BadRequest,
			Reset: f.Reset, Nonsense: f.Nonsense, Times: f.Times}}
}

// placesOf returns the S3 clients for the roles of the settings. base holds the endpoint and the keys of the
// process itself. A role without keys of its own uses those of base.
func placesOf(c *config.Config, base object.Config) (*engine.Places, error) {
	var roles []engine.Role
	for _, r := range c.Roles {
		role := engine.Role{ARN: r.ARN, AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey}
		if a := r.Assume; a != nil {
			role.Assume = &object.Role{ARN: a.RoleARN, ExternalID: a.ExternalID, Endpoint: a.STSEndpoint, Region: a.Region,
				AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey}
		}
		roles = append(roles, role)
	}
	var media []object.Folder
	for _, s := range c.Media {
		folder, err := object.ParseFolder(s)
		if err != nil {
			return nil, err
		}
		media = append(media, folder)
	}
	return engine.NewPlaces(base, c.DefaultRole(), roles, media...)
}

// profile returns whose limits and messages the API has: Amazon's (profile aws), or Batholith's wider ones.
func profile(c *config.Config) bedrock.Profile {
	if c.AWS() {
		return bedrock.ProfileAWS
	}
	return bedrock.ProfileDefault
}

// networks returns the subnets and security groups that a job may name. Unless the S3 is embedded or Amazon's, its
// URL is included, because a job's traffic to it must be permitted by the same rules.
func networks(c *config.Config, models *engine.Models) (engine.Networks, error) {
	n := engine.Networks{Models: models}
	var err error
	if n.Networks, err = c.Network.Open(); err != nil {
		return n, err
	}
	if !c.EmbeddedS3() && c.S3.Endpoint != "aws" {
		if n.S3, err = url.Parse(c.S3.Endpoint); err != nil {
			return n, errors.New("s3.endpoint is not a valid URL")
		}
	}
	return n, nil
}

// absentWays returns a warning for each source address and interface of a subnet that this machine does not have
// now. It is not an error: the machine may get the address later, and until then connections by that subnet fail.
func absentWays(n config.Network) (absent []string) {
	for i, s := range n.Subnets {
		if s.SourceAddress != "" && !ownAddress(s.SourceAddress) {
			absent = append(absent, fmt.Sprintf("network.subnets[%d].source_address: this machine does not have the address %s; nothing leaves by %s until it does", i, s.SourceAddress, s.ID))
		}
		if s.Interface != "" {
			if _, err := net.InterfaceByName(s.Interface); err != nil {
				absent = append(absent, fmt.Sprintf("network.subnets[%d].interface: this machine does not have the interface %s; nothing leaves by %s until it does", i, s.Interface, s.ID))
			}
		}
	}
	return absent
}

// within returns the subnets and security groups that this machine reaches: a subnet whose source address or interface it does not have
// is left out.
func within(n config.Network) (subnets, groups []string) {
	for _, s := range n.Subnets {
		if len(absentWays(config.Network{Subnets: []config.Subnet{s}})) == 0 {
			subnets = append(subnets, s.ID)
		}
	}
	for _, g := range n.SecurityGroups {
		groups = append(groups, g.ID)
	}
	return subnets, groups
}

// ownAddress reports whether this machine has the address: whether a UDP socket can be bound to it. Nothing is
// sent, and the socket is closed at once.
func ownAddress(address string) bool {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "0")) //nolint:noctx // nothing is sent or waited for
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
