package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/kms"
	"github.com/batholith/batholith/internal/network"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/simlm"
)

// Syntax of values. The API has its own patterns; these catch typing errors at the start.
var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}[a-z0-9-]*-[0-9]+$|^[a-z0-9][a-z0-9-]{0,62}$`)
	roleForm    = regexp.MustCompile(`^arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+$`)
	subnetForm  = regexp.MustCompile(`^[-0-9a-zA-Z]{1,32}$`) // Bedrock: SubnetId, SecurityGroupId
)

// bad adds a problem with the setting at path. remedy tells the user what to do.
func (l *loader) bad(path, remedy, reason string, args ...any) {
	l.problems = append(l.problems, Problem{
		Origin: l.config.Origin(path), Reason: path + ": " + fmt.Sprintf(reason, args...), Remedy: remedy})
}

// fault adds a problem that package kms or network has found, with its remedy.
func (l *loader) fault(path string, err error) {
	remedy, reason := "correct it", err.Error()
	if f, ok := errors.AsType[*kms.Fault](err); ok {
		remedy, reason = f.Remedy, f.Reason
	} else if f, ok := errors.AsType[*network.Fault](err); ok {
		remedy, reason = f.Remedy, f.Reason
	}
	l.bad(path, remedy, "%s", reason)
}

// oneOf checks that a value is one of words.
func (l *loader) oneOf(path, value string, words ...string) {
	if !slices.Contains(words, value) {
		l.bad(path, didYouMean(value, words), "%q is not possible", value)
	}
}

// check checks values in their context, and rejects settings that this version does not
// support. It reports all problems, not only the first.
func (l *loader) check() {
	c := l.config
	l.checkProcess()
	l.checkS3()
	l.checkCallers()
	l.checkRoles()
	l.checkMedia()
	l.checkKMS()
	l.checkModels()
	l.checkSimulated()
	l.checkLimits()
	l.checkPrices()
	l.checkNetwork()
	l.checkPolicy()
	l.checkOIDC()
	l.checkTLS()
	l.checkMetrics()
	l.checkTraces()
	l.checkDebug()
	if a := c.Audit; a.MaxSize < 1<<20 || a.Keep < 0 {
		l.bad("audit.max_size", "write 1MiB or more, and for audit.keep 0 or more", "%s and %d files are not possible", a.MaxSize, a.Keep)
	}
	l.checkEvents()
}

// checkProcess checks the settings of the process: directory, address, store, account, log.
func (l *loader) checkProcess() {
	c := l.config
	if c.Data == "" {
		l.bad("data", "name a directory", "it is empty")
	}
	l.address("listen", c.Listen)
	l.oneOf("profile", c.Profile, ProfileDefault, ProfileAWS)
	l.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", c.Log.Format, "text", "json")
	l.checkStore()
	if !accountForm.MatchString(c.Account) {
		l.bad("account", "write twelve digits, quoted", "%q is not a valid account", c.Account)
	}
	if !regionForm.MatchString(c.Region) {
		l.bad("region", "write a name such as us-east-1", "%q is not a valid region", c.Region)
	}
	if c.Drain < 0 {
		l.bad("drain", "write a duration such as 30s", "it is negative")
	}
}

// checkMedia checks the folders of media.
func (l *loader) checkMedia() {
	for i, s := range l.config.Media {
		if _, err := object.ParseFolder(s); err != nil {
			l.bad(fmt.Sprintf("media[%d]", i), "write s3://bucket/prefix/, or s3://bucket/ for the whole bucket", "%v", err)
		}
	}
}

// checkOIDC checks whose tokens are taken. Whether the issuer answers is not asked: it may come up later than this process.
func (l *loader) checkOIDC() {
	o := l.config.OIDC
	switch u, err := url.Parse(o.Issuer); {
	case o == OIDC{}:
		return
	case o.Issuer == "":
		l.bad("oidc", "add oidc.issuer, or remove the other oidc settings", "oidc.issuer is missing")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		l.bad("oidc.issuer", "write it as the tokens have it, such as https://login.example.net", "%q is not a valid URL of an issuer", plain.RedactURL(o.Issuer))
	case u.Scheme == "http" && !loopback(u.Hostname()):
		l.bad("oidc.issuer", "use https", "over http, anyone on the network path could answer with keys of their own")
	case o.Audience == "":
		l.bad("oidc.issuer", "add oidc.audience, which the issuer puts into tokens for this service", "without an audience, tokens for other services would be taken")
	}
	if o.CAFile != "" {
		l.authorities("oidc.ca_file", o.CAFile)
	}
}

// loopback tells whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkPolicy checks the policies as the server will, so that every fault in them is told with
// its place.
func (l *loader) checkPolicy() {
	if l.config.Policy == "" {
		return
	}
	set, err := authz.Load(l.config.Policy)
	var wrong *authz.Error
	switch {
	case errors.As(err, &wrong):
		for _, p := range wrong.Problems {
			l.problems = append(l.problems, Problem{Origin: Origin{Source: "file", Name: wrong.File, Line: p.Line, Column: p.Column},
				Reason: p.What, Remedy: p.Remedy})
		}
	case err != nil:
		l.bad("policy", "name a file of Cedar policies, or leave it out: every principal may then do everything in its account", "%v", pathError(err))
	case set.Len() == 0:
		l.config.Warnings = append(l.config.Warnings, fmt.Sprintf("%s: there is no policy in %s, so everything is denied", l.place("policy"), l.config.Policy))
	}
}

// address checks a host:port for net.Listen.
func (l *loader) address(path, value string) {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		l.bad(path, "write host:port, such as 127.0.0.1:4600", "%q is not a valid address", value)
		return
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		l.bad(path, "write a port from 0 to 65535", "%q is not a valid port", port)
	}
}

// checkS3 checks that there is exactly one S3: embedded or external.
func (l *loader) checkS3() {
	s := l.config.S3
	// The embedded S3 is on unless it is switched off or an endpoint is set.
	if s.Listen != "off" {
		l.address("s3.listen", s.Listen)
		if s.Endpoint != "" {
			l.bad("s3.listen", "write listen: off, or remove s3.endpoint", "the embedded S3 cannot run beside an external endpoint")
		}
	} else if s.Endpoint == "" {
		l.bad("s3.listen", "name an s3.endpoint, or remove s3.listen", "with the embedded S3 off, there is no place for objects")
	}
	if s.Endpoint != "" && s.Endpoint != "aws" {
		l.web("s3.endpoint", s.Endpoint)
	}
	l.checkS3Keys()
}

// checkS3Keys checks the keys and certificate authorities of an external S3.
func (l *loader) checkS3Keys() {
	s := l.config.S3
	if (s.AccessKeyID == "") != (s.SecretAccessKeyEnv == "" && s.SecretAccessKey == "") {
		l.bad("s3.access_key_id", "give both, or none to use the default chain of the AWS SDK",
			"access_key_id and secret_access_key_env (or secret_access_key) belong together")
	}
	if s.AccessKeyID != "" && s.AWSProfile != "" {
		l.bad("s3.profile", "remove one of them", "s3.access_key_id is also set, and both name the keys for the S3")
	}
	if s.SecretAccessKeyEnv == "" && s.SecretAccessKey != "" {
		l.clean("s3.secret_access_key", "it", s.SecretAccessKey)
	}
	l.secretNamed("s3.secret_access_key_env", s.SecretAccessKeyEnv)
	if s.CABundle == "" {
		return
	}
	l.authorities("s3.ca_bundle", s.CABundle)
}

// web checks the URL of a server.
func (l *loader) web(path, value string) {
	// A URL without a scheme, such as localhost:8000, is the most frequent mistake.
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		l.bad(path, "write it with its scheme, such as http://127.0.0.1:8000/v1", "%q is not a valid http or https URL", plain.RedactURL(value))
		return
	}
	if u.User != nil {
		l.bad(path, "name a variable that holds the key instead", "a password in a URL would be logged")
	}
}

// secretNamed checks that the environment variable of a secret exists and is not empty.
func (l *loader) secretNamed(path, variable string) {
	if variable == "" {
		return
	}
	// A variable that is not exported is missing here, although the shell shows it.
	value, there := l.env[variable]
	switch {
	case !there:
		l.bad(path, "export "+variable+" before the start", "the environment has no variable %s", variable)
	case value == "":
		l.bad(path, "export "+variable+" with the secret before the start", "the variable %s is empty", variable)
	default:
		l.clean(path, "what the variable "+variable+" holds", value)
	}
}

// clean rejects a secret that no client could send, for example one with a newline from the
// file that it was read from.
func (l *loader) clean(path, what, secret string) {
	switch {
	case strings.TrimSpace(secret) == "":
		l.bad(path, "give the secret", "%s is blank", what)
	case strings.TrimSpace(secret) != secret:
		l.bad(path, "remove them", "%s has blanks or newlines around it", what)
	case plain.Line(secret) != secret:
		l.bad(path, "correct it", "%s has control characters in it", what)
	}
}

// checkSimulated checks the durations and shares of the simulated model.
func (l *loader) checkSimulated() {
	s := l.config.Simulated
	if s.Latency < 0 || s.PerToken < 0 || s.OutputTokens < 1 || s.OutputTokensMax < 0 || s.Slots < 0 || s.Failures.Times < 0 ||
		s.Step < 0 || s.Decode < 0 || s.Prefill < 0 || s.Chunk < 0 || s.Cache < 0 || s.Queue < -1 || s.RetryAfter < 0 {
		l.bad("simulated", "write 0 or more, and at least one output token", "a number is too small")
	}
	if s.Refuse != http.StatusTooManyRequests && s.Refuse != http.StatusServiceUnavailable {
		l.bad("simulated.refuse", "write 429 or 503", "%d is not possible", s.Refuse)
	}
	if _, err := simlm.ParseSchedule(s.Schedule); err != nil {
		l.bad("simulated.schedule", "write slots and times that go up, such as 64@0s,16@30s", "%v", err)
	}
	// The kinds of failure exclude each other, so their shares must not exceed 1 in total.
	f, sum := s.Failures, 0.0
	for path, share := range map[string]float64{"rate_limit": f.RateLimit, "internal": f.Internal, "unavailable": f.Unavailable,
		"bad_request": f.BadRequest, "reset": f.Reset, "nonsense": f.Nonsense} {
		sum += share
		if !(share >= 0 && share <= 1) { // also rejects NaN
			l.bad("simulated.failures."+path, "write a share from 0 to 1", "%v is not a valid share", share)
		}
	}
	if sum > simlm.MostShares {
		l.bad("simulated.failures", "lower them", "the shares add up to more than 1")
	}
}

// checkLimits checks that the quotas do not exclude every job, and the other numeric settings.
func (l *loader) checkLimits() {
	m := l.config.Limits
	for path, n := range map[string]int64{
		"limits.min_records_per_job": m.MinRecordsPerJob, "limits.max_records_per_file": m.MaxRecordsPerFile,
		"limits.max_records_per_job": m.MaxRecordsPerJob, "limits.max_active_jobs_per_model": int64(m.MaxActiveJobsPerModel),
		"limits.max_creates_per_second": int64(m.MaxCreatesPerSecond), "limits.max_calls_per_second": int64(m.MaxCallsPerSecond), "limits.max_tokens_per_day": m.MaxTokensPerDay,
	} {
		if n < 0 {
			l.bad(path, "write 0 for no limit", "it is negative")
		}
	}
	if m.MaxRecordsPerJob > 0 && m.MinRecordsPerJob > m.MaxRecordsPerJob {
		l.bad("limits.min_records_per_job", "lower it", "it is above limits.max_records_per_job")
	}
	if m.MinTimeoutHours < 1 || m.MinTimeoutHours > m.MaxTimeoutHours {
		l.bad("limits.min_timeout_hours", "write 1 to limits.max_timeout_hours", "%d is not possible", m.MinTimeoutHours)
	}
	if m.DefaultTimeoutHours < m.MinTimeoutHours || m.DefaultTimeoutHours > m.MaxTimeoutHours {
		l.bad("limits.default_timeout_hours", "write a number between them",
			"%d is not between min_timeout_hours and max_timeout_hours", m.DefaultTimeoutHours)
	}
	if m.Hour <= 0 {
		l.bad("limits.hour", "write a duration above 0", "it is not positive")
	}
	l.oneOf("reuse", l.config.Reuse, "off", "identical", "finished")
	l.oneOf("echo", l.config.Echo, "on", "off")
	l.oneOf("provenance", l.config.Provenance, "manifest", "lines")
	if l.config.Memory < leastMemory {
		l.bad("memory", "write 64MiB or more", "%s is not enough for one of the longest answers", l.config.Memory)
	}
	if l.config.Retention.JobsAfter < 0 {
		l.bad("retention.jobs_after", "write 0 or a duration such as 2160h", "%s is not possible", l.config.Retention.JobsAfter)
	}
	if l.config.Retention.EventsAfter < 0 {
		l.bad("retention.events_after", "write 0 or a duration such as 720h", "%s is not possible", l.config.Retention.EventsAfter)
	}
	if l.config.Retention.JobsKeep < 0 {
		l.bad("retention.jobs_keep", "write 0 or more", "%d is not possible", l.config.Retention.JobsKeep)
	}
	if l.config.Attempts < 1 {
		l.bad("attempts", "write 1 or more", "%d is not possible", l.config.Attempts)
	}
}
