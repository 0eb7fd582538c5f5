// Package network opens the connections of jobs that name a vpcConfig.
//
// A subnet says how a connection leaves this machine: from a source address, through an interface, or
// through a proxy. A security group is a list of egress [Rule]s. [Networks] holds all that are configured,
// and a [Network] is what one vpcConfig names of them.
//
// Invariant: [Network.DialContext] resolves a name first, checks each address against the rules, and
// connects to a checked address, through a proxy too. So a DNS answer that changes between the check and
// the connection, a redirect and HTTP_PROXY cannot lead around the rules.
//
// The package must not know jobs, S3 or model servers.
package network
