package config

import "time"

// Config holds all settings. The comments on its fields are the users' documentation: docs.go
// parses this file.
type Config struct {
	// Directory of all data that must survive a restart: database, journal, embedded S3, first
	// access key.
	Data string `yaml:"data"`
	// Address of the Bedrock API, /healthz and /readyz. Port 0 selects a free port.
	Listen string `yaml:"listen"`
	// Where the state is stored: sqlite, a file in the data directory, for one process; or
	// postgres://user@host:5432/db, which any number of processes on any number of machines
	// share. HOST1:5432,HOST2:5432 names a primary and its standbys. The password comes from
	// store_password_env, PGPASSWORD or PGPASSFILE, and never from a flag.
	Store string `yaml:"store"`
	// Name of the environment variable that holds the password of the PostgreSQL database.
	StorePasswordEnv string `yaml:"store_password_env"`
	// Parts of the service that this process runs. api: the Bedrock API, which keeps no state of
	// its own. worker: validates jobs, sends their records and writes their output. With
	// store: sqlite it is [api, worker]. With PostgreSQL, [api] and [worker] are possible too.
	Process []string `yaml:"roles_of_this_process" flag:"roles"`
	// Account of the default role, and of credentials without an account; 12 digits.
	Account string `yaml:"account"`
	// Region in ARNs. Clients must sign requests for it.
	Region string `yaml:"region"`
	// default accepts more than Bedrock does; aws enforces Bedrock's own limits and errors.
	Profile string `yaml:"profile"`
	// How long requests in flight may take to finish after SIGTERM. Then their records are
	// released and sent again after the next start.
	Drain time.Duration `yaml:"drain"`
	// Memory for answers and large records, of all models together: bytes, or 256MiB, 1GB. The
	// whole process needs about 100 MB + this value + 3 × the largest record or answer.
	Memory Bytes `yaml:"memory"`
	// Logging, on stderr.
	Log Log `yaml:"log"`
	// Where inputs and outputs are stored: the embedded S3, or an external one.
	S3 S3 `yaml:"s3"`
	// Access keys that may call the API. If there are none, the first start creates an admin
	// key in DATA/credentials.
	Credentials []Credential `yaml:"credentials"`
	// Bearer keys that may call the API (Authorization: Bearer KEY).
	APIKeys []APIKey `yaml:"api_keys"`
	// Issuer of tokens that callers may send as bearer keys.
	OIDC OIDC `yaml:"oidc"`
	// Cedar file that says who may do what; it is read again when it changes. Absent: every
	// known principal may do everything in its account.
	Policy string `yaml:"policy"`
	// Certificate of both listeners; absent: plain HTTP. Its files are read again when they
	// change.
	TLS TLS `yaml:"tls"`
	// Certificate that commands show to a server with tls.client_ca. The server does not use it.
	Client Client `yaml:"client"`
	// Audit log: one line of JSON for each request, with sender, action and decision.
	Audit Audit `yaml:"audit"`
	// Metrics for Prometheus, at /metrics.
	Metrics Metrics `yaml:"metrics"`
	// Traces for OpenTelemetry, sent to a collector.
	Traces Tracing `yaml:"traces"`
	// Web pages at /console/.
	Console Console `yaml:"console"`
	// Profiles of the process, for its developers.
	Debug Debug `yaml:"debug"`
	// Allow plain HTTP on addresses that other machines can reach. Prompts, answers and bearer
	// keys can then be read on the network.
	Insecure bool `yaml:"insecure"`
	// Roles that a job's roleArn may name. arn:aws:iam::ACCOUNT:role/batholith always exists on
	// the embedded S3, for each account that has a caller.
	Roles []Role `yaml:"roles"`
	// Folders from which records may name images, videos, audios and documents (s3Location),
	// beside the bucket and folder of the job's input: s3://bucket/prefix/. The role of the job
	// must have the right to read them. On an external S3 they are also the only folders from
	// which interactive calls may name objects, which are read with the keys of s3.
	Media []string `yaml:"media"`
	// OpenAI's batch API at /v1 and /openai/v1.
	OpenAI OpenAI `yaml:"openai"`
	// Encryption keys of this machine, for objects of the embedded S3.
	KMS KMS `yaml:"kms"`
	// Models and their servers.
	Models []Model `yaml:"models"`
	// Whether the embedded models batholith.tiny-v1 and batholith.simulated-v1 are served
	// beside the configured ones. A configured model of the same name takes the place of an
	// embedded one.
	Embedded bool `yaml:"embedded"`
	// Behaviour of the embedded batholith.simulated-v1, for load tests.
	Simulated Simulated `yaml:"simulated"`
	// Counted attempts for a record before it ends with an error line.
	Attempts int `yaml:"attempts"`
	// off, identical or finished. With identical, records of a job with the same modelInput,
	// byte for byte, and temperature 0 or a seed, are sent once, and all of them get that answer.
	// With finished, records also take the answers that ended jobs of the same owner and model
	// gave to the same modelInput, whatever its temperature. The tag batholith:reuse of a job
	// goes before: off, finished, or ids of jobs.
	Reuse string `yaml:"reuse"`
	// With true, a job fails at validation if the body of a record does not fit the model.
	// Otherwise such a record ends with an error line and the job continues; its note warns of
	// such records among the first ones of each file.
	StrictBodies bool `yaml:"strict_bodies"`
	// manifest or lines. The manifest counts the answers by model server and by the model name
	// in the answer. With lines, each output line also names its own, in a member "batholith".
	Provenance string `yaml:"provenance"`
	// Caps on what the jobs of a principal may take in a day or a month (UTC), wasted tokens
	// included. When one is reached, the jobs are paused until the next day or month.
	Budgets []Budget `yaml:"budgets"`
	// Number of records that a job sends before the others, spread over its input, if it has at
	// least 50 times as many. If all of them fail in the same way, the job is paused and its note
	// says why; 0: none. The tag batholith:canary of a job has precedence.
	Canary int `yaml:"canary"`
	// on or off. With off, output lines do not repeat modelInput. The tag batholith:echo of a job
	// (on, off) takes precedence. Such an output gives no answers to reuse: finished.
	Echo string `yaml:"echo"`
	// What tokens cost, by model. Get and List of jobs, manifests and `batholith usage` then tell
	// the cost. A changed price counts for records that are committed from then on.
	Prices []Price `yaml:"prices"`
	// Currency of the prices, three letters.
	Currency string `yaml:"currency"`
	// Quotas; 0 means no limit. Their defaults depend on the profile.
	Limits Limits `yaml:"limits"`
	// How long jobs that have ended are kept, with their tags, tokens and history. Their output in
	// the bucket is never touched.
	Retention Retention `yaml:"retention"`
	// Subnets and security groups that a job's vpcConfig may name.
	Network Network `yaml:"network"`
	// Receivers of events about status changes (webhooks).
	Events []Event `yaml:"events"`

	// StorePassword is the value of StorePasswordEnv; "": libpq's variables and files decide.
	StorePassword string `yaml:"-"`

	origins map[string]Origin // by path, see Origin
	also    map[string]string // further names of models, see Also
	// Warnings are messages that do not prevent the start, for example about a variable that
	// looks like a misspelt setting.
	Warnings []string `yaml:"-"`
}

// Log configures logging.
type Log struct {
	// Lowest severity that is logged: debug, info, warn or error.
	Level string `yaml:"level"`
	// Format of a log line: text or json.
	Format string `yaml:"format"`
}

// S3 configures where objects are stored.
type S3 struct {
	// Address of the embedded S3, or off. If an endpoint is set, the default is off.
	Listen string `yaml:"listen"`
	// External S3, such as https://s3.example.net; aws: Amazon's; empty: the embedded S3.
	Endpoint string `yaml:"endpoint"`
	// Region for which requests to the S3 are signed.
	Region string `yaml:"region"`
	// Whether the bucket is in the path of a URL (true) or in its host name (false).
	PathStyle bool `yaml:"path_style"`
	// PEM file with the certificate authorities of an external S3. Absent: AWS_CA_BUNDLE, the
	// AWS profile's ca_bundle, or the system's authorities.
	CABundle string `yaml:"ca_bundle"`
	// AWS profile with the keys for an external S3. Absent: the default credential chain of the
	// AWS SDK.
	AWSProfile string `yaml:"profile"`
	// Access key for an external S3, instead of a profile.
	AccessKeyID string `yaml:"access_key_id"`
	// Secret of the access key. Prefer a variable:
	SecretAccessKey string `yaml:"secret_access_key" secret:"true"`
	// Name of the environment variable that holds the secret access key.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// Certificate of the embedded S3; absent: that of tls.
	TLS TLS `yaml:"tls"`
}

// Credential is an access key that may sign requests to the API.
type Credential struct {
	// Id of the key, as clients send it.
	AccessKeyID string `yaml:"access_key_id"`
	// Secret of the key. Prefer a variable:
	SecretAccessKey string `yaml:"secret_access_key" secret:"true"`
	// Name of the environment variable that holds the secret.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// Name of the caller, as owner of jobs and in policies.
	Principal string `yaml:"principal"`
	// Account of the caller; absent: account above.
	Account string `yaml:"account"`
	// Groups of the caller, for policies.
	Groups []string `yaml:"groups"`
}

// APIKey is a bearer key, which a client sends instead of a signature.
type APIKey struct {
	// The key. Prefer a variable:
	Key string `yaml:"key" secret:"true"`
	// Name of the environment variable that holds the key.
	KeyEnv string `yaml:"key_env"`
	// Name of the caller, as owner of jobs and in policies.
	Principal string `yaml:"principal"`
	// Account of the caller; absent: account above.
	Account string `yaml:"account"`
	// Groups of the caller, for policies.
	Groups []string `yaml:"groups"`
}

// OIDC names an OpenID Connect issuer, and the claims of its tokens.
type OIDC struct {
	// URL of the issuer, exactly as in the claim iss of its tokens; https, or http on this
	// machine. Absent: tokens are not accepted.
	Issuer string `yaml:"issuer"`
	// Audience that the claim aud of a token must contain.
	Audience string `yaml:"audience"`
	// Claim with the name of the principal; absent: sub.
	PrincipalClaim string `yaml:"principal_claim"`
	// Claim with the names of the principal's groups; absent: groups.
	GroupsClaim string `yaml:"groups_claim"`
	// Claim with the account of the principal, 12 digits; absent: every token is of the account
	// above.
	AccountClaim string `yaml:"account_claim"`
	// Prefix of the principals and groups of tokens, such as "sso:". It keeps them apart from
	// the principals and groups of these settings.
	Prefix string `yaml:"prefix"`
	// PEM file with the certificate authorities of the issuer; absent: the system's authorities.
	CAFile string `yaml:"ca_file"`
}

// Audit configures the audit log.
type Audit struct {
	// File of the audit log, or stdout; absent: no audit log.
	File string `yaml:"file"`
	// Size at which the file is renamed to FILE.1 and a new one is begun: bytes, or 100MiB.
	MaxSize Bytes `yaml:"max_size"`
	// Number of renamed files that are kept.
	Keep int `yaml:"keep"`
	// Refuse requests while the audit log cannot be written. Without this setting, requests are
	// served, and the log and /readyz say how many lines are missing.
	Required bool `yaml:"required"`
}

// Tracing configures the export of traces.
type Tracing struct {
	// URL of a receiver of OTLP over HTTP, such as http://127.0.0.1:4318. Absent: that of the
	// standard variables OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; without
	// them, nothing is traced. Other OTEL_ variables count too.
	Endpoint string `yaml:"endpoint"`
	// Share of the requests for records of jobs that are traced, from 0 to 1. Requests to the API,
	// interactive calls and the statuses of jobs are all traced.
	Sample float64 `yaml:"sample"`
	// Name of the environment variable with the headers of each request to the receiver, in the
	// form of OTEL_EXPORTER_OTLP_HEADERS: name=value,name=value.
	HeadersEnv string `yaml:"headers_env"`

	// Headers is the value of the variable HeadersEnv.
	Headers string `yaml:"-"`
}

// Console configures the web pages.
type Console struct {
	// Answer the pages. People sign in with a key of the API and see what its policies permit. false:
	// there are none.
	Enabled bool `yaml:"enabled"`
}

// OpenAI configures OpenAI's API.
type OpenAI struct {
	// Bucket of the files of /v1/files, below openai/files/, and of the output of batches over
	// them, below openai/batches/. Callers need the rights to it that they would need in S3. Callers
	// of another account than that of the settings have a bucket of their own, BUCKET-ACCOUNT.
	Bucket string `yaml:"bucket"`
}

// Debug configures profiles.
type Debug struct {
	// Address of a listener of its own with profiles of the process (/debug/pprof/), on this machine
	// only unless insecure is set, such as 127.0.0.1:6060. Absent: none.
	Listen string `yaml:"listen"`
}

// Metrics configures /metrics.
type Metrics struct {
	// Address of a listener of its own that answers only /metrics, such as 0.0.0.0:9464, with the
	// certificate of tls if there is one; off: no metrics. Absent: /metrics is on listen, for
	// callers on this machine, or for callers with the token.
	Listen string `yaml:"listen"`
	// Name of the environment variable with the token that callers of /metrics must send
	// (Authorization: Bearer TOKEN), also on a listener of its own.
	TokenEnv string `yaml:"token_env"`
	// File with that token. It is read at each request.
	TokenFile string `yaml:"token_file"`

	// Token is the value of the variable TokenEnv.
	Token string `yaml:"-"`
}

// TLS names the certificate files of a listener.
type TLS struct {
	// PEM file with the certificate and its chain.
	Cert string `yaml:"cert"`
	// PEM file with the private key.
	Key string `yaml:"key"`
	// PEM file with the authority that issued the certificate. `batholith env` exports it as
	// AWS_CA_BUNDLE, for clients on this machine. Absent: the file cert, if the system's
	// authorities do not verify it.
	CA string `yaml:"ca"`
	// PEM file with certificate authorities. If set, each client must present a certificate of
	// one of them, in addition to its access key.
	ClientCA string `yaml:"client_ca"`
	// Oldest version of TLS that is accepted: 1.3 or 1.2; absent: 1.3.
	MinVersion string `yaml:"min_version"`
}

// Client names the certificate of the commands that talk to a server.
type Client struct {
	// PEM file with the client certificate and its chain.
	Cert string `yaml:"cert"`
	// PEM file with the private key of the client certificate.
	Key string `yaml:"key"`
}

// Role is a role that a job may name, with the keys for its objects.
type Role struct {
	// ARN of the role, arn:aws:iam::ACCOUNT:role/NAME. A * in NAME matches any characters; an
	// entry without * takes precedence.
	ARN string `yaml:"arn"`
	// Access key of the role; absent: the keys of s3.
	AccessKeyID string `yaml:"access_key_id"`
	// Name of the environment variable that holds the secret of this key.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// How to assume the role at a token service (STS), instead of an access key; only with an
	// external S3.
	Assume *Assume `yaml:"assume"`
	// Buckets of the embedded S3 that the role may use, each as BUCKET or BUCKET/PREFIX; empty: every bucket of
	// its account.
	Buckets []string `yaml:"buckets"`
	// External id that callers of sts:AssumeRole must send to this server's token service; absent: none.
	ExternalID string `yaml:"external_id"`

	// SecretAccessKey is the value of that variable.
	SecretAccessKey string `yaml:"-"`
}

// Assume configures how a role is assumed.
type Assume struct {
	// URL of the token service, https://sts.example.net. Absent: the S3's own, at the root of
	// s3.endpoint (MinIO, Ceph, Batholith), or Amazon's for the region.
	STSEndpoint string `yaml:"sts_endpoint"`
	// Role to assume; absent: the role that the job names. MinIO ignores it.
	RoleARN string `yaml:"role_arn"`
	// External id that the role's trust policy requires.
	ExternalID string `yaml:"external_id"`
	// Region for which requests to the token service are signed; absent: the one in the name of
	// Amazon's endpoint, else s3.region.
	Region string `yaml:"region"`
	// Access key that assumes the role; absent: the keys of s3.
	AccessKeyID string `yaml:"access_key_id"`
	// Name of the environment variable that holds the secret of this key.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`

	// SecretAccessKey is the value of that variable.
	SecretAccessKey string `yaml:"-"`
}

// KMS holds the encryption keys.
type KMS struct {
	// Keys that a job's s3EncryptionKeyId and clients of the embedded S3 may name, each in its account.
	// A request for encryption that names no key gets the account's key with the alias aws/s3, or its first one.
	Keys []KMSKey `yaml:"keys"`
	// Key that encrypts finished records on this machine's disk until they are in their bucket: the
	// journal, and kept results. Absent: they are not encrypted.
	DataKey string `yaml:"data_key"`
}

// KMSKey is an encryption key.
type KMSKey struct {
	// Identifier of the key. Absent: the one in the file.
	ID string `yaml:"id"`
	// Further names: prompts stands for alias/prompts.
	Aliases []string `yaml:"aliases"`
	// Key file that `batholith kms create` made, of mode 0600.
	File string `yaml:"file"`
	// With true, the key neither encrypts nor decrypts.
	Disabled bool `yaml:"disabled"`
	// Account whose callers and jobs may use the key; absent: the one of the settings.
	Account string `yaml:"account"`
}

// Model is a model that jobs may name, and its servers.
type Model struct {
	// Id of the model in jobs: Bedrock's model id, or any name.
	ID string `yaml:"id"`
	// Further ids, for example of inference profiles.
	Aliases []string `yaml:"aliases"`
	// Family of the model's request bodies; absent: derived from the id.
	Family string `yaml:"family"`
	// What the model reads: TEXT, IMAGE. Absent: what its servers say, or the family. Without IMAGE,
	// records with images end with an error line and are not sent.
	Inputs []string `yaml:"inputs"`
	// Context length of the model in tokens; 0: what its servers say. Records whose prompt is
	// certainly longer end with an error line and are not sent.
	Context int `yaml:"context"`
	// Model servers. Requests are distributed over all of them.
	Backends []Backend `yaml:"backends"`
}

// Backend configures one model server.
type Backend struct {
	// Base URL: …/v1 for openai and anthropic; for bedrock absent (Amazon's of the region), or
	// that of another Batholith. Leave it out beside exec.
	URL string `yaml:"url"`
	// Command that starts the server, as a list: [llama-server, -m, model.gguf, --port, "{port}"].
	// Batholith replaces {port} by a free port of 127.0.0.1, waits until the server is ready,
	// restarts it when it ends, and stops it with itself. Its output goes to
	// DATA/servers/NAME.log. Backends with the same exec, env and dir share one process.
	Exec []string `yaml:"exec"`
	// Environment of that server: NAME=VALUE, or NAME to pass a variable on. It also gets the
	// other variables of this process, except BATHOLITH_… and AWS_… and those that hold secrets
	// of these settings. {port} is replaced here too: [OLLAMA_HOST=127.0.0.1:{port}].
	ExecEnv []string `yaml:"env" secret:"assignments"`
	// Working directory of that server; absent: the current one. A path with a slash in exec
	// begins there.
	Dir string `yaml:"dir"`
	// Protocol of the server: openai, anthropic (Messages API), bedrock (Bedrock's runtime),
	// ollama (Ollama's own) or tei (Hugging Face Text Embeddings Inference); absent: openai.
	Protocol string `yaml:"protocol"`
	// The server's own name for the model; absent: the id above. A server of exec that lists
	// one model only is asked for that one.
	Model string `yaml:"model"`
	// Name of the environment variable that holds the server's API key.
	APIKeyEnv string `yaml:"api_key_env"`
	// Region of a backend with the protocol bedrock; absent: that of the url.
	Region string `yaml:"region"`
	// Profile of the shared AWS files whose keys sign the requests to bedrock. Without a profile
	// and access_key_id: the AWS default chain. api_key_env may hold a Bedrock API key instead.
	Profile string `yaml:"profile"`
	// File of AWS credentials in the place of ~/.aws/credentials.
	CredentialsFile string `yaml:"credentials_file"`
	// AWS access key id for bedrock.
	AccessKeyID string `yaml:"access_key_id"`
	// Name of the environment variable that holds its secret access key.
	SecretAccessKeyEnv string `yaml:"secret_access_key_env"`
	// Name of the environment variable that holds its session token, for temporary keys.
	SessionTokenEnv string `yaml:"session_token_env"`
	// File that holds the server's API key. It is read again when it changes.
	APIKeyFile string `yaml:"api_key_file"`
	// Header that carries the key as it is, such as api-key for Azure; absent: the protocol's,
	// which is Authorization with Bearer for openai.
	APIKeyHeader string `yaml:"api_key_header"`
	// Further headers of each request, such as {X-Team: batch}.
	Headers map[string]string `yaml:"headers" secret:"values"`
	// Headers whose values are in environment variables, such as {X-Token: TEAM_TOKEN}.
	HeadersEnv map[string]string `yaml:"headers_env"`
	// Headers whose values are in files, which are read again when they change.
	HeadersFile map[string]string `yaml:"headers_file"`
	// Members for the body of each request, such as {chat_template_kwargs: {enable_thinking:
	// false}}. They are merged into it as a JSON Merge Patch: they replace the request's own
	// members, and null removes one.
	ExtraBody JSON `yaml:"extra_body"`
	// Path for chat requests, appended to the url, with a query if need be; {model} is the
	// server's name for the model; absent: the protocol's.
	ChatPath string `yaml:"chat_path"`
	// Path for requests with a prompt; absent: the protocol's.
	CompletionsPath string `yaml:"completions_path"`
	// Path for embeddings; absent: the protocol's.
	EmbeddingsPath string `yaml:"embeddings_path"`
	// Path of the list of models; absent: the protocol's.
	ModelsPath string `yaml:"models_path"`
	// Proxy to the server: http://, https:// or socks5://HOST:PORT; off: none; absent: that of
	// the environment (HTTPS_PROXY).
	Proxy string `yaml:"proxy"`
	// PEM file with the certificate authorities of the server; absent: the system's.
	CAFile string `yaml:"ca_file"`
	// Maximum number of requests in flight, of all workers together; 0: Batholith finds it, and
	// adapts when the server changes. Set it for a server with a quota, or for one without
	// /metrics that other clients use too.
	MaxInFlight int `yaml:"max_in_flight"`
	// Priority of batch requests in the server's queue, so that other clients do not wait behind
	// them: lowest, or a number as the server takes it; absent: none is sent. vLLM needs
	// --scheduling-policy priority, SGLang --enable-priority-scheduling and
	// --default-priority-value. A server that refuses priorities gets the requests without.
	Priority string `yaml:"priority"`
	// false (default): if prompt order brings records with long prompts and records with long
	// answers one after the other, both kinds are sent at the same time. true: this server gets
	// its records in prompt order only. llama.cpp, and servers with fewer than 32 slots, get
	// them in prompt order only in either case.
	NoMixing bool `yaml:"no_mixing"`
	// true: never send test requests to this server. false (default): if records fail and no
	// other record shows whether the server works, it gets a small request with a fixed text
	// and max_tokens 1. Without test requests, failing records wait longer before they end with
	// an error line. `batholith doctor` sends one test request in either case.
	NoCanary bool `yaml:"no_canary"`
	// Weight of this server, from 1 to 1000. Servers of a model that have room get requests in
	// proportion to their weights; a server without a weight counts 1 if another one has one. A
	// server without room leaves its share to the others, so a job that fills all servers is
	// divided by their speed. If no server has a weight (0, default), calls go to the server with
	// the lowest load, and records to every free slot.
	Weight int `yaml:"weight"`
	// true: this server gets requests only while no other one of the model can be used, for example
	// because it costs money.
	Standby bool `yaml:"standby"`
	// Timeout of one attempt; absent: 10m.
	Timeout time.Duration `yaml:"timeout"`

	// APIKey is the value of the variable APIKeyEnv.
	APIKey string `yaml:"-"`
	// Env has the values of the variables in HeadersEnv, by header.
	Env map[string]string `yaml:"-"`
	// SecretAccessKey and SessionToken are the values of the variables of their names.
	SecretAccessKey string `yaml:"-"`
	SessionToken    string `yaml:"-"`
	// Environ has the entries of ExecEnv with their values, Inherited the further environment of the
	// server.
	Environ, Inherited []string `yaml:"-"`
	// Sole is set if the settings do not say by which name the server knows the model.
	Sole bool `yaml:"-"`
}

// Simulated configures the simulated model. Without durations it answers at once.
type Simulated struct {
	// Fixed duration of every request.
	Latency time.Duration `yaml:"latency"`
	// Additional duration per output token.
	PerToken time.Duration `yaml:"per_token"`
	// Duration of one step of continuous batching; each running request gains one token per
	// step.
	Step time.Duration `yaml:"step"`
	// Additional duration of a step per running request.
	Decode time.Duration `yaml:"decode"`
	// Additional duration of a step per prompt token that it processes.
	Prefill time.Duration `yaml:"prefill"`
	// Maximum number of prompt tokens per step; 0: unlimited.
	Chunk int `yaml:"chunk"`
	// Size of the prefix cache in tokens; 0: no cache.
	Cache int `yaml:"cache"`
	// Length of an answer in tokens, limited by the request's max_tokens.
	OutputTokens int `yaml:"output_tokens"`
	// If above output_tokens: the length is between the two, depending on prompt and seed.
	OutputTokensMax int `yaml:"output_tokens_max"`
	// Requests processed in parallel; 0: unlimited.
	Slots int `yaml:"slots"`
	// Changes of slots over time since the start: 64@0s,16@30s.
	Schedule string `yaml:"schedule"`
	// Requests that may wait in the queue; 0: unlimited, -1: none.
	Queue int `yaml:"queue"`
	// HTTP status for requests beyond the queue: 429 or 503.
	Refuse int `yaml:"refuse"`
	// Retry-After of those answers; 0: no such header.
	RetryAfter time.Duration `yaml:"retry_after"`
	// Seed that determines all texts and failures.
	Seed int64 `yaml:"seed"`
	// Shares of prompts that fail, from 0 to 1.
	Failures Failures `yaml:"failures"`
}

// Failures are the shares of prompts for each kind of failure.
type Failures struct {
	// Share answered with 429.
	RateLimit float64 `yaml:"rate_limit"`
	// Share answered with 500.
	Internal float64 `yaml:"internal"`
	// Share answered with 503.
	Unavailable float64 `yaml:"unavailable"`
	// Share answered with 400, in every attempt.
	BadRequest float64 `yaml:"bad_request"`
	// Share whose connection breaks during the answer.
	Reset float64 `yaml:"reset"`
	// Share answered with 200 and an unusable body.
	Nonsense float64 `yaml:"nonsense"`
	// Number of failures before such a prompt succeeds; 0: it always fails.
	Times int `yaml:"times"`
}

// Budget is a cap on what the jobs of a principal may take.
type Budget struct {
	// Name of the principal, or "*" for each principal without an entry of its own.
	Principal string `yaml:"principal"`
	// Account of the principal; absent: account above.
	Account string `yaml:"account"`
	// day or month; absent: day.
	Per string `yaml:"per"`
	// Tokens, in and out; 0: no bound.
	Tokens int64 `yaml:"tokens"`
	// Amount of the currency; absent: no bound.
	Cost string `yaml:"cost"`
}

// Price is what the tokens of a model cost.
type Price struct {
	// Id or alias of the model, or "*" for every model without an entry of its own.
	Model string `yaml:"model"`
	// Price of a million input tokens, with at most 6 decimals.
	Input string `yaml:"input"`
	// Price of a million output tokens.
	Output string `yaml:"output"`
	// Price of a million input tokens that the model server read from its cache; absent: that of
	// input.
	Cached string `yaml:"cached"`
}

// Retention says how long jobs that have ended are kept.
type Retention struct {
	// Time after its end at which a job is forgotten, such as 2160h for 90 days; 0: never. A
	// client cannot see such a job any more, and its request token and name are free again.
	JobsAfter time.Duration `yaml:"jobs_after"`
	// Number of jobs that have ended and are kept in each account, the latest; 0: all.
	JobsKeep int `yaml:"jobs_keep"`
	// Age at which the events of jobs that have ended are deleted, such as 720h for 30 days; 0:
	// when their job is forgotten. Events that a receiver has not got yet stay. A job's history
	// is empty after that.
	EventsAfter time.Duration `yaml:"events_after"`
}

// Limits are the quotas of jobs.
type Limits struct {
	// Minimum number of records in a job.
	MinRecordsPerJob int64 `yaml:"min_records_per_job"`
	// Maximum number of records in one input file.
	MaxRecordsPerFile int64 `yaml:"max_records_per_file"`
	// Maximum number of records in a job.
	MaxRecordsPerJob int64 `yaml:"max_records_per_job"`
	// Maximum size of one input file: bytes, or 1GB, 512MiB.
	MaxFileBytes Bytes `yaml:"max_file_bytes"`
	// Maximum total size of a job's input files.
	MaxJobBytes Bytes `yaml:"max_job_bytes"`
	// Maximum number of jobs from Submitted to Stopping, per account and model.
	MaxActiveJobsPerModel int `yaml:"max_active_jobs_per_model"`
	// Maximum number of CreateModelInvocationJob calls per second, per account and principal.
	// Further calls get a ThrottlingException, which SDKs retry.
	MaxCreatesPerSecond int `yaml:"max_creates_per_second"`
	// Maximum number of interactive calls per second (InvokeModel, Converse, CountTokens, streams), per account and principal.
	// Further calls get a ThrottlingException, which SDKs retry.
	MaxCallsPerSecond int `yaml:"max_calls_per_second"`
	// Maximum number of tokens, in and out, of a principal's interactive calls of one day (UTC) and
	// of the jobs that it creates on that day. Once they are used, Create and calls are refused
	// until the next day. Existing jobs continue.
	MaxTokensPerDay int64 `yaml:"max_tokens_per_day"`
	// Minimum of timeoutDurationInHours.
	MinTimeoutHours int `yaml:"min_timeout_hours"`
	// Maximum of timeoutDurationInHours.
	MaxTimeoutHours int `yaml:"max_timeout_hours"`
	// Timeout of a job that names none.
	DefaultTimeoutHours int `yaml:"default_timeout_hours"`
	// Real duration of one hour of a job's timeout; tests shorten it.
	Hour time.Duration `yaml:"hour"`
}

// Network lists the subnets and security groups that a job's vpcConfig may name.
type Network struct {
	// Subnets. Each has a source address, an interface or a proxy.
	Subnets []Subnet `yaml:"subnets"`
	// Security groups, each with the destinations that it allows.
	SecurityGroups []SecurityGroup `yaml:"security_groups"`
}

// Subnet is a subnet that a job may name.
type Subnet struct {
	// Id, as in vpcConfig.subnetIds.
	ID string `yaml:"id"`
	// Local address from which the job's connections leave.
	SourceAddress string `yaml:"source_address"`
	// Network interface through which they leave (Linux).
	Interface string `yaml:"interface"`
	// Proxy through which they leave: http://, https:// or socks5://HOST:PORT. It must take
	// CONNECT for the ports of the S3 and of the model servers.
	Proxy string `yaml:"proxy"`
}

// SecurityGroup is a security group that a job may name.
type SecurityGroup struct {
	// Id, as in vpcConfig.securityGroupIds.
	ID string `yaml:"id"`
	// Allowed destinations: 10.0.0.0/8:443, 10.1.2.3:8000-8010, [2001:db8::]/32:*. Without
	// any, nothing is allowed.
	Egress []string `yaml:"egress"`
}

// Event configures a receiver of status changes.
type Event struct {
	// URL to which an event is posted for each change of a job's status.
	URL string `yaml:"url"`
	// Name of the receiver, under which the database keeps how far it has got; absent: the url. Each
	// receiver has its own. With a new name, a receiver gets the events from then on.
	Name string `yaml:"name"`
	// Form of the body: eventbridge, as Amazon EventBridge passes on Bedrock's events, or
	// cloudevents (CloudEvents 1.0, structured mode); absent: eventbridge.
	Format string `yaml:"format"`
	// Statuses whose events are sent, such as [Completed, Failed]; empty: all.
	Statuses []string `yaml:"statuses"`
	// Name of the environment variable that holds the secret with which each request is signed, as
	// Standard Webhooks says: base64 of 24 to 64 bytes, with or without whsec_ before it.
	SecretEnv string `yaml:"secret_env"`
	// Headers whose values are in environment variables, such as {Authorization: HOOK_TOKEN}.
	HeadersEnv map[string]string `yaml:"headers_env"`
	// PEM file with the certificate authorities of the receiver; absent: the system's.
	CAFile string `yaml:"ca_file"`
	// Time for one request; absent: 10s.
	Timeout time.Duration `yaml:"timeout"`
	// Age at which an event that the receiver has not taken is given up; absent: 72h.
	MaxAge time.Duration `yaml:"max_age"`

	// Secret is the value of SecretEnv.
	Secret string `yaml:"-"`
	// Header has the values of the variables in HeadersEnv, by header.
	Header map[string]string `yaml:"-"`
}
