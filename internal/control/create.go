package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/kms"
)

// CreateModelInvocationJob accepts a job. It does not read from S3: a missing input is found
// during validation (as in Bedrock). The order of checks is Bedrock's: the request, the
// caller's permissions, the token, the role, the model; then our own: network, encryption key,
// name, quota.
//
// The store checks token, name and quota in the transaction that writes the job. If the process
// dies before it has answered, the SDK repeats the request with the same token and gets the ARN
// of the existing job. This also works if the settings have changed meanwhile and would now
// reject the role, the model or the network.
func (a *API) CreateModelInvocationJob(ctx context.Context, in *bedrock.CreateModelInvocationJobInput) (*bedrock.CreateModelInvocationJobOutput, error) {
	return a.create(ctx, request(in))
}

// create creates the job of a request.
func (a *API) create(ctx context.Context, req batholith.Request) (*bedrock.CreateModelInvocationJobOutput, error) {
	who := bedrock.CallerFrom(ctx)
	if n := a.LimitsNow().MaxCreatesPerSecond; n > 0 && !a.rates.Allow(a.Now(), who, n) {
		return nil, bedrock.Throttling("Rate exceeded: principal %s may create %d jobs per second (quota max_creates_per_second). Wait, and try again.", who.Principal, n)
	}
	hash, err := requestHash(req)
	if err != nil {
		return nil, err
	}
	denied, refused := a.check(ctx, who, req)
	if denied != nil {
		return nil, denied
	}
	if refused != nil {
		return a.repeated(ctx, who, req, hash, refused)
	}
	if spent, err := a.refuseTokens(ctx, who); err != nil {
		return nil, err
	} else if spent != nil {
		return a.repeated(ctx, who, req, hash, spent)
	}
	if err := a.heeded("create the job", req.Needs()); err != nil {
		return a.repeated(ctx, who, req, hash, err)
	}
	// The timeout is stored with the job, so later changes of the settings do not affect it.
	if a.Trace != nil {
		req.Trace = a.Trace(ctx)
	}
	req.TimeoutHours = cmp.Or(req.TimeoutHours, a.LimitsNow().DefaultTimeoutHours)
	model, _ := a.Models.Lookup(req.ModelID) // checked above
	now, id := a.Now().UTC(), a.NewID()
	job, err := a.Store.CreateJob(ctx, batholith.Job{
		ID: id, Account: who.Account, Region: a.Region, Owner: who.Principal,
		Model: model.ID, Request: req, Status: batholith.StatusSubmitted,
		Submitted: now, Modified: now, Expires: now.Add(a.LimitsNow().Timeout(req.TimeoutHours)),
	}, hash, a.LimitsNow().MaxActiveJobsPerModel)
	if err != nil {
		return nil, a.refuseCreate(err, req)
	}
	failpoint.Here("control.created")
	if a.Log != nil && job.ID == id { // else a request with the same token has created it before
		a.Log.Info("job created", "job", id, "account", job.Account, "owner", job.Owner, "name", job.Name, "model", job.Model)
	}
	return &bedrock.CreateModelInvocationJobOutput{JobARN: job.ARN().String()}, nil
}

// heeded refuses what a running worker of an earlier version would ignore. The client tries again, or the operator ends that worker.
func (a *API) heeded(verb string, needs []batholith.Feature) error {
	if a.Ignoring == nil || len(needs) == 0 {
		return nil
	}
	if worker := a.Ignoring(); worker != "" {
		return bedrock.Throttling("The service cannot %s now: the worker %s is of an earlier version and would ignore %s. Replace it with this version, and try again.",
			verb, worker, batholith.FeatureList(needs))
	}
	return nil
}

// CheckModelInvocationJob makes all checks of CreateModelInvocationJob except those of the job
// store (token, name, quota), and creates nothing. A client calls it before it uploads an input,
// so that a request that would be rejected costs no upload.
func (a *API) CheckModelInvocationJob(ctx context.Context, in *bedrock.CheckModelInvocationJobInput) (*bedrock.CheckModelInvocationJobOutput, error) {
	denied, refused := a.check(ctx, bedrock.CallerFrom(ctx), request((*bedrock.CreateModelInvocationJobInput)(in)))
	return &bedrock.CheckModelInvocationJobOutput{}, first(denied, refused)
}

// check validates a request and returns at most one error. denied means that the caller may not
// create this job. refused means that the request or the settings do not permit it, but if its
// token belongs to an existing job, that job is the answer (see repeated). Constraints of the
// request are checked before permissions, as in Bedrock.
func (a *API) check(ctx context.Context, who bedrock.Caller, req batholith.Request) (denied, refused error) {
	refused = each(who, req, a.checkLocations, a.checkTags, a.checkAccount)
	if err := a.mayCreate(ctx, req); err != nil {
		return first(refused, err), nil
	}
	return nil, first(refused, each(who, req, a.checkRole, a.checkModel, a.checkNetwork, a.checkKey))
}

// each runs the checks in order and returns the first error.
func each(who bedrock.Caller, req batholith.Request, checks ...func(bedrock.Caller, batholith.Request) error) error {
	for _, check := range checks {
		if err := check(who, req); err != nil {
			return err
		}
	}
	return nil
}

// first returns the first error that is not nil.
func first(refusal, other error) error {
	if refusal != nil {
		return refusal
	}
	return other
}

// repeated handles a request that the settings reject. If its token belongs to an existing job,
// the answer is that job; otherwise it is the rejection. So the token takes precedence over the
// settings, and is looked up only after a rejection.
func (a *API) repeated(ctx context.Context, who bedrock.Caller, req batholith.Request, hash string, refusal error) (*bedrock.CreateModelInvocationJobOutput, error) {
	if req.Token == "" {
		return nil, refusal
	}
	switch job, err := a.Store.JobOfToken(ctx, who.Account, req.Token, hash); {
	case err == nil:
		return &bedrock.CreateModelInvocationJobOutput{JobARN: job.ARN().String()}, nil
	case errors.Is(err, batholith.ErrNotFound):
		return nil, refusal
	default:
		return nil, a.refuseCreate(err, req)
	}
}

// refuseCreate converts an error of the store to Bedrock's words.
func (a *API) refuseCreate(err error, req batholith.Request) error {
	switch {
	case errors.Is(err, batholith.ErrTokenReused):
		return bedrock.Conflict("The client request token was used before with other parameters.")
	case errors.Is(err, batholith.ErrNameInUse):
		return bedrock.Conflict("The provided job name is currently in use.")
	case errors.Is(err, batholith.ErrTooManyActive):
		return bedrock.QuotaExceeded("There are %d jobs in progress and submitted for model %s, and no more are allowed (quota max_active_jobs_per_model: %[1]d). "+
			"Wait for one to end, or stop one.", a.LimitsNow().MaxActiveJobsPerModel, req.ModelID)
	}
	return fmt.Errorf("create job: %w", err)
}

// checkLocations rejects paths that S3 servers interpret differently, and folders of jobs'
// working files. It reports every wrong member, in the words of the other constraints.
func (a *API) checkLocations(_ bedrock.Caller, req batholith.Request) error {
	var wrong []string
	for _, m := range []struct{ path, uri string }{
		{"inputDataConfig.s3InputDataConfig.s3Uri", req.Input.URI},
		{"outputDataConfig.s3OutputDataConfig.s3Uri", req.Output.URI},
	} {
		if why := batholith.RefuseURI(m.uri); why != "" {
			wrong = append(wrong, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", m.uri, m.path, why))
		}
	}
	switch len(wrong) {
	case 0:
		return nil
	case 1:
		return bedrock.Validation("1 validation error detected: %s", wrong[0])
	}
	return bedrock.Validation("%d validation errors detected: %s", len(wrong), strings.Join(wrong, "; "))
}

// checkTags rejects too many tags with a ValidationException, because Create does not declare
// TooManyTagsException.
func (a *API) checkTags(_ bedrock.Caller, req batholith.Request) error {
	if len(req.Tags) > a.maxTags() {
		return bedrock.Validation("A job has at most %d tags.", a.maxTags())
	}
	return checkTagKeys(req.Tags)
}

// checkAccount lets a job run only as a role of the caller's own account.
func (a *API) checkAccount(who bedrock.Caller, req batholith.Request) error {
	role, err := batholith.ParseARN(req.RoleARN)
	if err == nil && role.Account != "" && role.Account != who.Account {
		return bedrock.AccessDenied("Cross-account pass role is not allowed.")
	}
	return nil
}

// checkRole lets a job run only as a role that is configured.
func (a *API) checkRole(who bedrock.Caller, req batholith.Request) error {
	if _, err := batholith.ParseARN(req.RoleARN); err != nil || !a.Roles.Known(req.RoleARN) {
		return bedrock.AccessDenied("User: %s is not authorized to perform: iam:PassRole on resource: %s because no role of this name is configured.",
			authz.Identity{Account: who.Account, Principal: who.Principal}.ARN(), req.RoleARN)
	}
	return nil
}

// checkModel requires a configured model, with a model server that can take bodies of the job's
// type.
func (a *API) checkModel(_ bedrock.Caller, req batholith.Request) error {
	if _, ok := a.Models.Lookup(req.ModelID); !ok {
		return bedrock.Validation("Batch inference is not supported for the requested model. No model is configured as '%s'; "+
			"configured are: %s.", req.ModelID, a.modelsNear(req.ModelID))
	}
	if req.Batch != nil { // OpenAI tells of an endpoint that the model does not have by the lines, when the batch is validated
		return nil
	}
	if err := a.Models.Takes(req.ModelID, req.Type); err != nil {
		return bedrock.Validation("Batch inference with the modelInvocationType %s is not supported for the requested model: %v.", req.Type, err)
	}
	return nil
}

// checkNetwork reports every subnet and security group that is not configured, and then a network
// that certainly does not reach what the job needs.
func (a *API) checkNetwork(_ bedrock.Caller, req batholith.Request) error {
	if req.VPC == nil {
		return nil
	}
	var unknown []string
	for _, id := range req.VPC.SubnetIDs {
		if !a.Network.Subnet(id) {
			unknown = append(unknown, "subnet '"+id+"'")
		}
	}
	for _, id := range req.VPC.SecurityGroupIDs {
		if !a.Network.SecurityGroup(id) {
			unknown = append(unknown, "security group '"+id+"'")
		}
	}
	if len(unknown) > 0 {
		return bedrock.Validation("vpcConfig names what does not exist: %s.", strings.Join(unknown, ", "))
	}
	if why := a.Network.Refuses(*req.VPC, req.ModelID); why != "" {
		return bedrock.Validation("A job with this vpcConfig cannot run: %s.", why)
	}
	return nil
}

// Keys are the encryption keys of the embedded S3.
type Keys interface {
	// FindFor returns the key of an account that an id, an alias or an ARN names. Its error says what is wrong with the name or the key.
	FindFor(account, name string) (kms.Ref, error)
}

// checkKey rejects an encryption key that the embedded S3 does not have, or cannot use.
func (a *API) checkKey(c bedrock.Caller, req batholith.Request) error {
	if req.KMSKeyID == "" || a.Keys == nil {
		return nil
	}
	if _, err := a.Keys.FindFor(c.Account, req.KMSKeyID); err != nil {
		return bedrock.Validation("s3EncryptionKeyId '%s' cannot be used: %v.", req.KMSKeyID, err)
	}
	return nil
}

// request converts the input to the root package's types.
func request(in *bedrock.CreateModelInvocationJobInput) batholith.Request {
	from, to := in.InputDataConfig.S3InputDataConfig, in.OutputDataConfig.S3OutputDataConfig
	r := batholith.Request{
		Name: in.JobName, ModelID: in.ModelID, RoleARN: in.RoleARN, Token: in.ClientRequestToken,
		Type:         cmp.Or(in.ModelInvocationType, batholith.InvokeModel),
		Input:        batholith.Location{URI: from.S3URI, Owner: from.S3BucketOwner},
		InputFormat:  string(from.S3InputFormat),
		Output:       batholith.Location{URI: to.S3URI, Owner: to.S3BucketOwner},
		KMSKeyID:     to.S3EncryptionKeyID,
		TimeoutHours: in.TimeoutDurationInHours,
		Tags:         tagsFrom(in.Tags),
	}
	r.InputLines, r.OutputLines = batholith.LinesIn(r.Tags, batholith.InputTag), batholith.LinesIn(r.Tags, batholith.OutputTag)
	if r.InputLines == batholith.LinesOpenAI {
		r.Type = batholith.TypeIn(r.Tags)
	}
	if v := in.VPCConfig; v != nil {
		r.VPC = &batholith.VPC{SubnetIDs: v.SubnetIDs, SecurityGroupIDs: v.SecurityGroupIDs}
	}
	return r
}

// requestHash identifies requests with the same meaning: everything counts except the token and
// the order of tags. It is stored with the token, so its format can change only if old hashes
// remain distinguishable.
func requestHash(r batholith.Request) (string, error) {
	r.Token = ""
	r.Tags = slices.SortedFunc(slices.Values(r.Tags), func(x, y batholith.Tag) int { return strings.Compare(x.Key, y.Key) })
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("hash request: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
