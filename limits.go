package batholith

import (
	"fmt"
	"time"
)

// Limits are the quotas that validation and Create hold a job to. Zero means no limit, except where said.
type Limits struct {
	MinRecordsPerJob      int64
	MaxRecordsPerFile     int64
	MaxRecordsPerJob      int64
	MaxFileBytes          int64
	MaxJobBytes           int64
	MaxActiveJobsPerModel int // Submitted … Stopping, per account and model
	MinTimeoutHours       int
	MaxTimeoutHours       int
	DefaultTimeoutHours   int
	Hour                  time.Duration // how long an hour of a job's timeout lasts; tests shorten it
}

// MaxInputBytes is the largest modelInput (Bedrock: InvokeModel body, 25,000,000 bytes).
const MaxInputBytes = 25_000_000

// DefaultLimits are those of the profile "default".
func DefaultLimits() Limits {
	return Limits{MinRecordsPerJob: 1, MaxActiveJobsPerModel: 100,
		MinTimeoutHours: 24, MaxTimeoutHours: 168, DefaultTimeoutHours: 24, Hour: time.Hour}
}

// AWSLimits are those of the profile "aws": Bedrock's quotas (Bedrock: quotas of batch inference, 2026).
func AWSLimits() Limits {
	l := DefaultLimits()
	l.MinRecordsPerJob = 100
	l.MaxRecordsPerFile, l.MaxRecordsPerJob = 100_000, 100_000
	l.MaxFileBytes, l.MaxJobBytes = 1<<30, 5<<30
	return l
}

// Timeout is how long a job with this timeoutDurationInHours may take; 0 hours stand for the default.
func (l Limits) Timeout(hours int) time.Duration {
	if hours == 0 {
		hours = l.DefaultTimeoutHours
	}
	return time.Duration(hours) * l.Hour
}

// RefuseBytes says why files of these sizes make no job, or "".
func (l Limits) RefuseBytes(files []File) string {
	total := int64(0)
	for _, f := range files {
		if l.MaxFileBytes > 0 && f.Bytes > l.MaxFileBytes {
			return fmt.Sprintf("File %s has %d bytes; the allowed maximum is %d", f.Key, f.Bytes, l.MaxFileBytes)
		}
		total += f.Bytes
	}
	if l.MaxJobBytes > 0 && total > l.MaxJobBytes {
		return fmt.Sprintf("The job's files have %d bytes together; the allowed maximum is %d", total, l.MaxJobBytes)
	}
	return ""
}

// RefuseRecords says why files of so many records make no job, or "" (Bedrock: the messages of jobs that fail in validation).
func (l Limits) RefuseRecords(files []File) string {
	total := int64(0)
	for _, f := range files {
		if l.MaxRecordsPerFile > 0 && f.Records > l.MaxRecordsPerFile {
			return fmt.Sprintf("File %s contains more records (%d) than the allowed maximum of: %d", f.Key, f.Records, l.MaxRecordsPerFile)
		}
		total += f.Records
	}
	if least := max(1, l.MinRecordsPerJob); total < least {
		return fmt.Sprintf("Batch job contains less records (%d) than the required minimum of: %d", total, least)
	}
	if l.MaxRecordsPerJob > 0 && total > l.MaxRecordsPerJob {
		return fmt.Sprintf("Batch job contains more records (%d) than the allowed maximum of: %d", total, l.MaxRecordsPerJob)
	}
	return ""
}
