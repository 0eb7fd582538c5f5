package config

import "time"

// Config is every setting. The comments on its fields are what users read: settings.go is embedded and parsed by docs.go.
type Config struct {
	// Directory of everything that must survive a restart: database, journal, embedded S3, first access key.
	Data string `yaml:"data"`
	// Address of the Bedrock API, /healthz and /readyz. Port 0 takes a free one.
	Listen string `yaml:"listen"`
	// Where the state is kept: sqlite, or postgres://user@host:5432/db for several machines (not supported yet).
	Store string `yaml:"store"`
	// What this process does: api and worker. One of them alone is not supported yet.
	Process []string `yaml:"roles_of_this_process" flag:"roles"`
	// Account of the default role and of every credential that names none; 12 digits.
	Account string `yaml:"account"`
	// Region in ARNs, and the one that requests are signed for.
	Region string `yaml:"region"`
	// default is a superset of Bedrock; aws has Bedrock's own limits and refusals.
	Profile string `yaml:"profile"`
	// How long in-flight records may take to finish after SIGTERM before they are released.
	Drain time.Duration `yaml:"drain"`
	// Bytes of answers and large records held at once, of all models together: bytes, or 256MiB, 1GB. The process takes about
	// 100 MB, this much, and three times the largest record or answer.
	Memory Bytes `yaml:"memory"`
	// What is logged, on stderr.
	Log Log `yaml:"log"`
	// Where input and output are: the embedded S3, or another.
	S3 S3 `yaml:"s3"`
	// Who may call, by access key. None given: one admin key is made at the first start and kept in DATA/credentials.
	Credentials []Credential `yaml:"credentials"`
	// Who may call, by bearer key (Authorization: Bearer …).
	APIKeys []APIKey `yaml:"api_keys"`
	// Cedar file that says who may do what. Absent: every known principal may do everything in its account. (Not supported yet.)
	Policy string `yaml:"policy"`
	// Certificate of the listener; absent: plain HTTP. (Not supported yet.)
	TLS TLS `yaml:"tls"`
	// What a job's roleArn may name. arn:aws:iam::ACCOUNT:role/batholith always exists on the embedded S3.
	Roles []Role `yaml:"roles"`
	// Which models are served, and where. Absent: the embedded models.
	Models []Model `yaml:"models"`
	// How the embedded batholith.simulated-v1 behaves; for load tests.
	Simulated Simulated `yaml:"simulated"`
	// Counted attempts that a record gets before it ends as an error line.
	Attempts int `yaml:"attempts"`
	// Whether work is done once that is the same (off or identical). With identical, records of a job that have the same modelInput, byte
	// for byte, and temperature 0 or a seed, are sent once, and all of them get that answer.
	Reuse string `yaml:"reuse"`
	// Where it is written which model server and which model answered (manifest or lines). The manifest counts the answers by server and by the
	// name of the model in the answer. With lines, each output line names its own besides, in a member "batholith".
	Provenance string `yaml:"provenance"`
	// Quotas; 0 means no limit. The profile sets their defaults.
	Limits Limits `yaml:"limits"`
	// What a job's vpcConfig may name.
	Network Network `yaml:"network"`
	// Where an event of each status change is posted. (Not supported yet.)
	Events []Event `yaml:"events"`

	origins map[string]Origin
	// Warnings are doubts that do not stop the start, such as an environment variable that looks like a misspelt setting.
	Warnings []string `yaml:"-"`
}

// Log says what is logged and how.
type Log struct {
	// Least severity that is logged: debug, info, warn or error.
	Level string `yaml:"level"`
	// Form of a log line: text or json.
	Format string `yaml:"format"`
}

// S3 says where the objects are.
type S3 struct {
	// Address of the embedded S3; off when an endpoint is named.
	Listen string `yaml:"listen"`
	// An external S3, https://s3.example.net; aws for Amazon's own; empty for the embedded one.
	Endpoint string `yaml:"endpoint"`
	// Region that requests to the S3 are signed for.
	Region string `yaml:"region"`
	// Whether buckets stand in the path of a URL rather than in its host.
	PathStyle bool `yaml:"path_style"`
	// PEM file with the certificate authorities of an external S3. Absent: those of AWS_CA_BUNDLE, of the AWS profile, or of the system.
	CABundle string `yaml:"ca_bundle"`
	// AWS profile whose keys an external S3 gets. Absent: the default chain of the AWS SDK.
	AWSProfile string `yaml:"profile"`
	// Access key for an external S3, in place of a profile.
	AccessKeyID string `yaml:"access_key_id"`
	// Its secret; or name a variable that holds it:
	SecretAccessKey string `yaml:"secret_access_key" secret:"true"`
	// Name of the environment variable that holds the secret access key.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
}

// Credential is an access key that may sign requests.
type Credential struct {
	// Identifier of the key, as clients send it.
	AccessKeyID string `yaml:"access_key_id"`
	// Its secret; or name a variable that holds it:
	SecretAccessKey string `yaml:"secret_access_key" secret:"true"`
	// Name of the environment variable that holds the secret.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// Who the caller is, in policies and as owner of jobs.
	Principal string `yaml:"principal"`
	// Account of the caller; absent: the account above.
	Account string `yaml:"account"`
	// Groups that the principal is in, for policies.
	Groups []string `yaml:"groups"`
}

// APIKey is a bearer key that may stand in for a signature.
type APIKey struct {
	// The key itself; or name a variable that holds it:
	Key string `yaml:"key" secret:"true"`
	// Name of the environment variable that holds the key.
	KeyEnv string `yaml:"key_env"`
	// Who the caller is.
	Principal string `yaml:"principal"`
	// Account of the caller; absent: the account above.
	Account string `yaml:"account"`
	// Groups that the principal is in, for policies.
	Groups []string `yaml:"groups"`
}

// TLS names the files of the listener's certificate.
type TLS struct {
	// PEM file with the certificate and its chain. (Not supported yet.)
	Cert string `yaml:"cert"`
	// PEM file with its key. (Not supported yet.)
	Key string `yaml:"key"`
}

// Role is a role that a job may name, and the keys with which its objects are reached.
type Role struct {
	// Name of the role, arn:aws:iam::ACCOUNT:role/NAME. A * in NAME stands for any characters; an entry without one comes first.
	ARN string `yaml:"arn"`
	// Static access key of the role.
	AccessKeyID string `yaml:"access_key_id"`
	// Name of the environment variable that holds its secret.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// How the role is assumed at a token service, in place of static keys. (Not supported yet.)
	Assume *Assume `yaml:"assume"`
	// Buckets of the embedded S3 that the role may use; empty: all.
	Buckets []string `yaml:"buckets"`

	// SecretAccessKey is the content of that variable.
	SecretAccessKey string `yaml:"-"`
}

// Assume says how a role is assumed.
type Assume struct {
	// Token service, https://sts.example.net.
	STSEndpoint string `yaml:"sts_endpoint"`
	// Role to assume there; absent: the same ARN.
	RoleARN string `yaml:"role_arn"`
	// External id that the role's trust demands.
	ExternalID string `yaml:"external_id"`
}

// Model is a model that jobs may name, and the servers behind it.
type Model struct {
	// Name of the model as jobs write it: Bedrock's id, or any name.
	ID string `yaml:"id"`
	// Further names, such as ids of inference profiles.
	Aliases []string `yaml:"aliases"`
	// Family of bodies that the model takes; absent: inferred from the id.
	Family string `yaml:"family"`
	// The model servers, tried alike.
	Backends []Backend `yaml:"backends"`
}

// Backend is one model server.
type Backend struct {
	// Base that the protocol's path is appended to: …/v1 for openai.
	URL string `yaml:"url"`
	// What the server speaks: openai. Others (bedrock, anthropic, ollama, tei) are not supported yet.
	Protocol string `yaml:"protocol"`
	// Name of the model on that server; absent: the id above.
	Model string `yaml:"model"`
	// Name of the environment variable that holds the server's API key.
	APIKeyEnv string `yaml:"api_key_env"`
	// Most requests in flight; 0: found automatically, and followed when the server changes. Set it for a server without /metrics
	// that others use too, or one with a quota.
	MaxInFlight int `yaml:"max_in_flight"`
	// With true, jobs ask this server to answer nothing but their records. By default (false), when records fail and no other record shows
	// whether the server works, it gets a small request with a fixed text and max_tokens 1. Without these requests, records that fail wait longer
	// before they end with an error line. `batholith doctor` sends one such request in either case.
	NoCanary bool `yaml:"no_canary"`
	// Longest time for one attempt.
	Timeout time.Duration `yaml:"timeout"`

	// APIKey is the content of that variable.
	APIKey string `yaml:"-"`
}

// Simulated says how the simulated model behaves. With no time set, it answers at once.
type Simulated struct {
	// Time that every request takes.
	Latency time.Duration `yaml:"latency"`
	// Time that every output token takes, besides.
	PerToken time.Duration `yaml:"per_token"`
	// Time of every step of continuous batching, in which each running request gains a token.
	Step time.Duration `yaml:"step"`
	// Time of a step for each request that runs, besides.
	Decode time.Duration `yaml:"decode"`
	// Time of a step for each prompt token that is computed in it, besides.
	Prefill time.Duration `yaml:"prefill"`
	// Most prompt tokens that a step computes; 0: no bound.
	Chunk int `yaml:"chunk"`
	// Tokens of prompts that the prefix cache holds; 0: there is none.
	Cache int `yaml:"cache"`
	// Tokens of an answer; max_tokens of the request bounds it.
	OutputTokens int `yaml:"output_tokens"`
	// Above output_tokens: answers have between the two, as prompt and seed have it.
	OutputTokensMax int `yaml:"output_tokens_max"`
	// Requests that are worked on at once, while others wait; 0: no bound.
	Slots int `yaml:"slots"`
	// Changes of slots, counted from the start: 64@0s,16@30s.
	Schedule string `yaml:"schedule"`
	// Requests that may wait besides; 0: any number, -1: none.
	Queue int `yaml:"queue"`
	// Status for those beyond the queue: 429 or 503.
	Refuse int `yaml:"refuse"`
	// When those should come back; 0: they are not told.
	RetryAfter time.Duration `yaml:"retry_after"`
	// Number that changes every text, and who fails.
	Seed int64 `yaml:"seed"`
	// Shares of the prompts that fail, from 0 to 1.
	Failures Failures `yaml:"failures"`
}

// Failures are shares of prompts, one kind of failure each.
type Failures struct {
	// Share that is refused with 429.
	RateLimit float64 `yaml:"rate_limit"`
	// Share that is answered 500.
	Internal float64 `yaml:"internal"`
	// Share that is answered 503.
	Unavailable float64 `yaml:"unavailable"`
	// Share that is refused with 400, for good.
	BadRequest float64 `yaml:"bad_request"`
	// Share that is cut off in the middle.
	Reset float64 `yaml:"reset"`
	// Share that is answered 200 with something that is no answer.
	Nonsense float64 `yaml:"nonsense"`
	// How often such a prompt fails before it is answered; 0: always.
	Times int `yaml:"times"`
}

// Limits are the quotas of jobs.
type Limits struct {
	// Fewest records that a job may have.
	MinRecordsPerJob int64 `yaml:"min_records_per_job"`
	// Most records in one input file.
	MaxRecordsPerFile int64 `yaml:"max_records_per_file"`
	// Most records in a job.
	MaxRecordsPerJob int64 `yaml:"max_records_per_job"`
	// Largest input file: bytes, or 1GB, 512MiB.
	MaxFileBytes Bytes `yaml:"max_file_bytes"`
	// Largest sum of a job's input files.
	MaxJobBytes Bytes `yaml:"max_job_bytes"`
	// Most jobs from Submitted to Stopping, per account and model.
	MaxActiveJobsPerModel int `yaml:"max_active_jobs_per_model"`
	// Shortest timeoutDurationInHours that is accepted.
	MinTimeoutHours int `yaml:"min_timeout_hours"`
	// Longest timeoutDurationInHours that is accepted.
	MaxTimeoutHours int `yaml:"max_timeout_hours"`
	// Timeout of a job that names none.
	DefaultTimeoutHours int `yaml:"default_timeout_hours"`
	// How long an hour of a job's timeout lasts; tests shorten it.
	Hour time.Duration `yaml:"hour"`
}

// Network lists what a job's vpcConfig may name.
type Network struct {
	// Subnets, and how traffic from each leaves.
	Subnets []Subnet `yaml:"subnets"`
	// Security groups, and where each lets traffic go.
	SecurityGroups []SecurityGroup `yaml:"security_groups"`
}

// Subnet is a subnet that a job may name.
type Subnet struct {
	// Identifier, as in vpcConfig.subnetIds.
	ID string `yaml:"id"`
	// Local address that requests go out from. (Not supported yet.)
	SourceAddress string `yaml:"source_address"`
	// Proxy that requests go out through. (Not supported yet.)
	Proxy string `yaml:"proxy"`
}

// SecurityGroup is a security group that a job may name.
type SecurityGroup struct {
	// Identifier, as in vpcConfig.securityGroupIds.
	ID string `yaml:"id"`
	// Where traffic may go, 10.0.0.0/8:443. (Not supported yet.)
	Egress []string `yaml:"egress"`
}

// Event is a receiver of status changes.
type Event struct {
	// Address that an EventBridge-form event is posted to.
	URL string `yaml:"url"`
}
