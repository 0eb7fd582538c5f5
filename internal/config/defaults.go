package config

import (
	"time"

	"github.com/batholith/batholith"
)

// Profiles, the values of the setting profile.
const (
	ProfileDefault = "default" // accepts more than Bedrock
	ProfileAWS     = "aws"     // Bedrock's own limits and errors
)

// DefaultTimeout is the timeout of one attempt at a backend if none is configured.
const DefaultTimeout = 10 * time.Minute

// Default returns the default settings of a profile. For an unknown profile it returns those of
// "default".
func Default(profile string) *Config {
	limits := batholith.DefaultLimits()
	if profile == ProfileAWS {
		limits = batholith.AWSLimits()
	}
	return &Config{
		Data:       "./batholith-data",
		Listen:     "127.0.0.1:4600",
		Store:      "sqlite",
		Process:    []string{"api", "worker"},
		Account:    "000000000000",
		Region:     "us-east-1",
		Profile:    profile,
		Drain:      30 * time.Second,
		Log:        Log{Level: "info", Format: "text"},
		S3:         S3{Listen: "127.0.0.1:4601", Region: "us-east-1", PathStyle: true},
		Audit:      Audit{MaxSize: 100 << 20, Keep: 10},
		Media:      []string{},
		Console:    Console{Enabled: true},
		OpenAI:     OpenAI{Bucket: "batholith"},
		Embedded:   true,
		Simulated:  Simulated{OutputTokens: 32, Refuse: 429},
		Attempts:   4,
		Memory:     defaultMemory,
		Traces:     Tracing{Sample: 0.01},
		Reuse:      "off",
		Provenance: "manifest",
		Canary:     20,
		Echo:       "on",
		Currency:   "USD",
		Limits:     limitsOf(limits),
		origins:    map[string]Origin{},
	}
}

// example returns a Config with one entry in each list, for the sample file.
func example() *Config {
	c := Default(ProfileDefault)
	c.Credentials = []Credential{{AccessKeyID: "AKEXAMPLE", SecretAccessKeyEnv: "ALICE_SECRET", Principal: "alice"}}
	c.APIKeys = []APIKey{{KeyEnv: "BOB_KEY", Principal: "bob"}}
	c.Roles = []Role{{ARN: "arn:aws:iam::000000000000:role/batch", AccessKeyID: "ROLEKEY", SecretAccessKeyEnv: "ROLE_SECRET",
		Assume: &Assume{STSEndpoint: "https://sts.example.net", RoleARN: "arn:aws:iam::111122223333:role/batch", ExternalID: "x7"}}}
	c.KMS = KMS{Keys: []KMSKey{{Aliases: []string{"prompts"}, File: "prompts.key"}}}
	c.Models = []Model{{
		ID:      "anthropic.claude-3-haiku-20240307-v1:0",
		Aliases: []string{"us.anthropic.claude-3-haiku-20240307-v1:0"},
		Family:  "anthropic",
		Backends: []Backend{{URL: "http://127.0.0.1:8000/v1", Protocol: "openai", Model: "Qwen/Qwen2.5-7B-Instruct",
			Timeout: DefaultTimeout}},
	}}
	c.Budgets = []Budget{{Principal: "alice", Per: "day", Tokens: 50_000_000, Cost: "20"}}
	c.Prices = []Price{{Model: "anthropic.claude-3-haiku-20240307-v1:0", Input: "0.25", Output: "1.25", Cached: "0.03"}}
	c.Network = Network{Subnets: []Subnet{{ID: "subnet-0a"}}, SecurityGroups: []SecurityGroup{{ID: "sg-0a"}}}
	c.Events = []Event{{URL: "http://127.0.0.1:9999/hook", SecretEnv: "HOOK_SECRET"}}
	return c
}

// limitsOf converts limits to settings. It is the inverse of Rules.
func limitsOf(l batholith.Limits) Limits {
	return Limits{
		MinRecordsPerJob:      l.MinRecordsPerJob,
		MaxRecordsPerFile:     l.MaxRecordsPerFile,
		MaxRecordsPerJob:      l.MaxRecordsPerJob,
		MaxFileBytes:          Bytes(l.MaxFileBytes),
		MaxJobBytes:           Bytes(l.MaxJobBytes),
		MaxActiveJobsPerModel: l.MaxActiveJobsPerModel,
		MaxCreatesPerSecond:   l.MaxCreatesPerSecond,
		MaxCallsPerSecond:     l.MaxCallsPerSecond,
		MaxTokensPerDay:       l.MaxTokensPerDay,
		MinTimeoutHours:       l.MinTimeoutHours,
		MaxTimeoutHours:       l.MaxTimeoutHours,
		DefaultTimeoutHours:   l.DefaultTimeoutHours,
		Hour:                  l.Hour,
	}
}

// Rules converts the settings to the limits that validation and Create use.
func (l Limits) Rules() batholith.Limits {
	return batholith.Limits{
		MinRecordsPerJob:      l.MinRecordsPerJob,
		MaxRecordsPerFile:     l.MaxRecordsPerFile,
		MaxRecordsPerJob:      l.MaxRecordsPerJob,
		MaxFileBytes:          int64(l.MaxFileBytes),
		MaxJobBytes:           int64(l.MaxJobBytes),
		MaxActiveJobsPerModel: l.MaxActiveJobsPerModel,
		MaxCreatesPerSecond:   l.MaxCreatesPerSecond,
		MaxCallsPerSecond:     l.MaxCallsPerSecond,
		MaxTokensPerDay:       l.MaxTokensPerDay,
		MinTimeoutHours:       l.MinTimeoutHours,
		MaxTimeoutHours:       l.MaxTimeoutHours,
		DefaultTimeoutHours:   l.DefaultTimeoutHours,
		Hour:                  l.Hour,
	}
}

// AWS reports whether the profile is "aws".
func (c *Config) AWS() bool { return c.Profile == ProfileAWS }

// DefaultRole returns the ARN of the role that always exists on the embedded S3.
func (c *Config) DefaultRole() string { return OwnRole(c.Account) }

// OwnRole returns the ARN of the role that an account with callers has on the embedded S3 without being configured. It reaches the buckets
// of that account.
func OwnRole(account string) string {
	return batholith.ARN{Partition: "aws", Service: "iam", Account: account, Resource: "role/batholith"}.String()
}

// EmbeddedS3 reports whether objects are stored in the embedded S3.
func (c *Config) EmbeddedS3() bool { return c.S3.Endpoint == "" }

// defaultMemory is enough for four of the longest answers, or for forty records of 1 MB with
// their requests and output lines.
const defaultMemory = 256 << 20

// leastMemory is what one of the longest records and its answer need.
const leastMemory = 64 << 20

// Also gives the model with this id a further name, beside its aliases. It may be an embedded model.
func (c *Config) Also(name, id string) {
	if c.also == nil {
		c.also = map[string]string{}
	}
	c.also[name] = id
}

// FurtherNames are the names that Also has given, with the ids of their models.
func (c *Config) FurtherNames() map[string]string { return c.also }
