package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/simlm"
	"github.com/batholith/batholith/internal/upstream"
)

// engineOptions are what the settings say of an engine. The caller adds the parts that the process has, its store, its directory and
// its buckets.
func engineOptions(c *config.Config) (engine.Options, error) {
	models, err := engine.OpenModels(modelOptions(c))
	if err != nil {
		return engine.Options{}, err
	}
	ring, err := c.Ring()
	if err != nil {
		return engine.Options{}, err
	}
	through, err := networks(c, models)
	if err != nil {
		return engine.Options{}, err
	}
	return engine.Options{Models: models, DataKeys: ring.DataKeys(c.KMS.DataKey, kms.Context{"use": "journal"}), Limits: c.Limits.Rules(), Networks: through, Profile: profile(c), Region: c.Region,
		Attempts: c.Attempts, Reuse: c.Reuse == "identical", Sourced: c.Provenance == "lines", Drain: c.Drain, Memory: int64(c.Memory), Patience: patienceOf(c.Limits.Hour)}, nil
}

// patienceOf is for how long access that is denied is tried again before a job fails: ten minutes of the hour in which timeouts are counted.
// A setting that shortens a job's hours shortens it alike.
func patienceOf(hour time.Duration) time.Duration { return hour / 6 }

// modelOptions are the models that the settings name, and the embedded ones.
func modelOptions(c *config.Config) engine.ModelOptions {
	o := engine.ModelOptions{Embedded: c.Embedded, Simulated: simulated(c.Simulated), RefuseConverseTools: c.AWS()}
	for _, set := range c.Models {
		served := engine.Served{Model: batholith.Model{ID: set.ID, Aliases: set.Aliases, Family: set.Family}}
		for _, b := range set.Backends {
			served.Backends = append(served.Backends, upstream.Options{URL: b.URL, Protocol: b.Protocol, Model: b.Model,
				APIKey: b.APIKey, CAFile: b.CAFile, MaxInFlight: b.MaxInFlight, NoCanary: b.NoCanary, Timeout: b.Timeout})
		}
		o.Served = append(o.Served, served)
	}
	return o
}

// simulated is how the settings want the simulated model to behave.
func simulated(s config.Simulated) simlm.Options {
	f := s.Failures
	schedule, _ := simlm.ParseSchedule(s.Schedule) // checked by config
	return simlm.Options{Latency: s.Latency, PerToken: s.PerToken, Step: s.Step, Decode: s.Decode, Prefill: s.Prefill, Chunk: s.Chunk, Cache: s.Cache,
		OutputTokens: s.OutputTokens, OutputTokensMax: s.OutputTokensMax, Slots: s.Slots, Schedule: schedule, Queue: s.Queue,
		RefuseStatus: s.Refuse, RetryAfter: s.RetryAfter, Seed: uint64(s.Seed),
		Failures: simlm.Failures{RateLimit: f.RateLimit, Internal: f.Internal, Unavailable: f.Unavailable, BadRequest: f.BadRequest,
			Reset: f.Reset, Nonsense: f.Nonsense, Times: f.Times}}
}

// placesOf makes a client of the S3 for every role of the settings. base is how the process itself reaches the S3.
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
	return engine.NewPlaces(base, c.DefaultRole(), roles)
}

func profile(c *config.Config) bedrock.Profile {
	if c.AWS() {
		return bedrock.ProfileAWS
	}
	return bedrock.ProfileDefault
}

// networks are the subnets and security groups that a job may name, and the external S3 that it must reach through them.
func networks(c *config.Config, models *engine.Models) (engine.Networks, error) {
	n := engine.Networks{Models: models}
	var err error
	if n.Networks, err = c.Network.Open(); err != nil {
		return n, err
	}
	if !c.EmbeddedS3() && c.S3.Endpoint != "aws" {
		if n.S3, err = url.Parse(c.S3.Endpoint); err != nil {
			return n, errors.New("s3.endpoint is no URL")
		}
	}
	return n, nil
}

// absentWays names the source addresses and interfaces of subnets that this machine does not have now. It may get them later.
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

// ownAddress reports whether connections can be made from an address: whether a socket can be bound to it.
func ownAddress(address string) bool {
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "0")) //nolint:noctx // nothing is sent or waited for
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
