package batholith

import (
	"fmt"
	"strings"
)

// ARN is an Amazon Resource Name: arn:partition:service:region:account:resource. The resource may contain
// further colons and slashes.
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ParseARN splits s into its six parts. It checks the syntax only: it does not check that the resource exists.
// Partition, service and resource must not be empty.
func ParseARN(s string) (ARN, error) {
	p := strings.SplitN(s, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[1] == "" || p[2] == "" || p[5] == "" {
		return ARN{}, fmt.Errorf("%q is not an ARN (arn:partition:service:region:account:resource)", s)
	}
	return ARN{Partition: p[1], Service: p[2], Region: p[3], Account: p[4], Resource: p[5]}, nil
}

// String returns the ARN in its usual text form, the input of [ParseARN].
func (a ARN) String() string {
	return strings.Join([]string{"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

// jobResource is the start of the resource part of a job's ARN (Bedrock: jobArn of CreateModelInvocationJob).
const jobResource = "model-invocation-job/"

// JobARN returns the ARN of the job id in an account and region. The partition is always "aws".
func JobARN(region, account, id string) ARN {
	return ARN{Partition: "aws", Service: "bedrock", Region: region, Account: account, Resource: jobResource + id}
}

// JobID returns the job id in a. It returns false if a is not the ARN of a model invocation job.
func (a ARN) JobID() (string, bool) {
	id, ok := strings.CutPrefix(a.Resource, jobResource)
	return id, ok && a.Service == "bedrock" && ValidJobID(id)
}

// JobIDLength is the length of a job id: lower-case letters and digits (Bedrock: pattern of jobArn).
const JobIDLength = 12

// ValidJobID reports whether s has the syntax of a job id.
func ValidJobID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) == JobIDLength
}
