package batholith

import "slices"

// Process is one process of a service that several processes make up, as the others see it.
type Process struct {
	ID     string // under which it holds leases
	API    bool   // it answers the Bedrock API
	Worker bool   // it runs jobs
	// What a worker reaches: ids of models, and what a job's vpcConfig may name.
	Models         []string
	Subnets        []string
	SecurityGroups []string
	// Features are those that a worker knows; nil: its program is of a version before there were features, and ignores what jobs need.
	Features []Feature      `json:",omitempty"`
	Backends []BackendState `json:",omitempty"` // its model servers, as it sees them
}

// Reaches reports whether the process is a worker that can run the job: it has the job's model and network, and knows
// what the job needs.
func (p Process) Reaches(j Job) bool {
	if !p.Worker || !slices.Contains(p.Models, j.Model) || len(Lacks(p.Features, j.Needs)) > 0 {
		return false
	}
	return j.VPC == nil || within(j.VPC.SubnetIDs, p.Subnets) && within(j.VPC.SecurityGroupIDs, p.SecurityGroups)
}

// Ignores reports whether the process is a worker that would run a job without regard to the features that it needs.
func (p Process) Ignores() bool { return p.Worker && p.Features == nil }

// within reports whether all has every one of some.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(id string) bool { return !slices.Contains(all, id) })
}
