package cli

import (
	"context"
	"net/http"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/openai"
)

// openAI returns the handler of OpenAI's batch API.
func (s *service) openAI(v verifier, known func(context.Context, string, bedrock.Caller)) http.Handler {
	return openai.NewHandler(openai.Options{Jobs: s.engine.Batches(), Open: s.openAIBucket, Bucket: s.filesBucket, Role: s.filesRole,
		LimitsNow: s.engine.Limits, Profile: profile(s.o.Config), Admit: admitStream(v), Authenticate: authenticate(v), Known: known, Log: s.o.Log, Now: s.clock.Now, Room: s.engine.Room()})
}

// openAIJanitor deletes the files that have expired.
func (s *service) openAIJanitor() *openai.Janitor {
	return &openai.Janitor{Buckets: s.filesBuckets, Unfinished: s.store.Unfinished, Now: s.clock.Now, Log: s.o.Log}
}

// filesBuckets are the buckets with files of all accounts of the settings. On an external S3 only the account of the service has files.
func (s *service) filesBuckets() (all []blob.Bucket) {
	c := s.settings()
	accounts := []string{c.Account}
	if s.s3 != nil {
		accounts = accountsOf(c)
	}
	for _, account := range accounts {
		if b, ok := s.places.Bucket(s.filesRole(account), s.filesBucket(account)); ok {
			all = append(all, b)
		}
	}
	return all
}

// admitStream is admit for requests whose bodies are not kept: it reports whether the sender is verified by the head.
func admitStream(v verifier) func(*http.Request) (bool, error) {
	return func(r *http.Request) (bool, error) {
		verified, err := v.Admit(r)
		if verified && err == nil {
			door.From(r.Context()).Prove()
		}
		return verified, err
	}
}

// filesBucket is the bucket of an account's files. The bucket of the settings belongs to the account of the service.
func (s *service) filesBucket(account string) string {
	c := s.settings()
	if account == c.Account {
		return c.OpenAI.Bucket
	}
	return c.OpenAI.Bucket + "-" + account
}

// filesRole is the role of batches that name none: on an external S3 that of the service, which other accounts cannot pass.
func (s *service) filesRole(account string) string {
	if s.s3 == nil {
		return s.settings().DefaultRole()
	}
	return config.OwnRole(account)
}

// openAIBucket opens a bucket for a caller whom the policies permit an action on a key in it, as on the S3 itself. Then it is reached with the
// rights of the caller's role, or of the account's own role.
func (s *service) openAIBucket(ctx context.Context, who bedrock.Caller, action, bucket, key string) (blob.Bucket, error) {
	c := s.settings()
	reads := s3Caller(c, who)
	if s.s3 == nil && who.Account != c.Account {
		return nil, bedrock.AccessDenied("The files are in the S3 of account %s, and you belong to account %s.", c.Account, who.Account)
	}
	if !s.policy.Unrestricted() {
		r := authz.Request{Who: authz.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups}, Action: action,
			Resource: authz.Resource{Type: authz.TypeBucket, ID: bucket, Account: who.Account}, Context: map[string]string{"key": key}}
		d := onTrail{s.policy}.Decide(ctx, r)
		if !d.Allowed && (!reads.Role || d.Explicit) {
			return nil, bedrock.AccessDenied("%s", d.Refusal(r, "arn:aws:s3:::"+bucket+"/"+key))
		}
	}
	role := s.filesRole(who.Account)
	for _, group := range who.Groups { // the group of a session is the ARN of its role
		if r, ok := roleOf(c, group); ok && reads.Role {
			role = r.ARN
		}
	}
	b, ok := s.places.Bucket(role, bucket)
	if !ok {
		return nil, bedrock.AccessDenied("The role %s, with which the files are reached, is not configured.", role)
	}
	return b, nil
}
