package object

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/network"
)

// Over returns a client with the settings of c whose connections are made by a job's network. They are not
// shared with those of c.
func Over(c *http.Client, n *network.Network) (*http.Client, error) {
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("the S3 is not reached over connections that a network could make (%T)", c.Transport)
	}
	over := *c
	over.Transport = n.Transport(t)
	return &over, nil
}

// offLimits returns a Fault if a job's network did not let it reach the S3, else nil. A missing egress rule
// counts as denied access: it stays so until somebody changes the settings.
func offLimits(err error) *Fault {
	var r *network.Refusal
	if errors.As(err, &r) {
		return &Fault{Cause: "the S3 cannot be reached: " + r.Reason(), Remedy: r.Remedy(), Verdict: batholith.ErrAccessDenied}
	}
	if cause, ok := network.Cause(err); ok {
		return &Fault{Cause: "the S3 cannot be reached: " + cause, Remedy: "check network.subnets in the settings"}
	}
	return nil
}

// barred says that the SDK need not repeat a request that no egress rule allows: the rules do not change
// while the process runs.
func barred(err error) aws.Ternary {
	if errors.As(err, new(*network.Refusal)) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}
