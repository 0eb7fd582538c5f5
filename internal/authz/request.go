package authz

import "strings"

// Identity is an authenticated caller.
type Identity struct {
	Account   string // 12 digits
	Principal string // within the account
	Groups    []string
}

// ARN returns the caller's name in AWS's form. A principal that is an ARN already, such as an assumed role's, is
// returned unchanged.
func (i Identity) ARN() string {
	if strings.HasPrefix(i.Principal, "arn:") {
		return i.Principal
	}
	return "arn:aws:iam::" + i.Account + ":user/" + i.Principal
}

// The types of resources.
const (
	TypeAccount = "Account" // ID: 12 digits
	TypeJob     = "Job"     // ID: its ARN
	TypeModel   = "Model"   // ID: the one of the settings
	TypeRole    = "Role"    // ID: its ARN
	TypeBucket  = "Bucket"  // ID: its name
	TypeKey     = "Key"     // ID: its key id
)

// Resource is the object of a request.
type Resource struct {
	Type    string // one of the constants
	ID      string
	Account string // that owns it; "": every account has it, such as a model
	Job     Job    // of a Job, what policies may ask of it
}

// Job holds the attributes of a job that policies can test.
type Job struct {
	Owner string // principal that created it, of the job's account
	Name  string
	Model string // the id of the settings
	Tags  map[string]string
}

// Request asks whether a caller may do something.
type Request struct {
	Who      Identity
	Action   string // "bedrock:GetModelInvocationJob"
	Resource Resource
	// Context is what policies read as context.key and context.prefix of the s3 actions. Members that the action does not have are ignored.
	Context map[string]string
	// Tags are those that the request puts on a job: context.requestTags.
	Tags map[string]string
}

// Decision is the answer to a request. The reason is for logs and for doctor --as; clients get Refusal.
type Decision struct {
	Allowed bool
	// Explicit tells that a policy forbids the request, or another account owns the resource. Otherwise a denied request lacks a permit.
	Explicit bool
	Policies []string // the ids of the policies that decided, sorted
	Reason   string   // one sentence: what permits it, or what would have to change
}

// Refusal returns the message of a denied request in AWS's words. resource is the ARN or the name that the request
// used. It names no policy, because callers must not learn what the policies say.
func (d Decision) Refusal(r Request, resource string) string {
	why := "because no identity-based policy allows the " + r.Action + " action"
	if d.Explicit {
		why = "with an explicit deny in an identity-based policy"
	}
	return "User: " + r.Who.ARN() + " is not authorized to perform: " + r.Action + " on resource: " + resource + " " + why
}
