package batholith

import (
	"fmt"
	"time"
)

// Limits are the quotas that Create and validation enforce. Zero means no limit, unless the member says
// otherwise.
type Limits struct {
	MinRecordsPerJob      int64
	MaxRecordsPerFile     int64 // records
	MaxRecordsPerJob      int64 // records
	MaxFileBytes          int64 // bytes of one input file
	MaxJobBytes           int64 // bytes of all input files of a job
	MaxActiveJobsPerModel int   // jobs from Submitted to Stopping, per account and model
	MaxCreatesPerSecond   int   // calls of Create, per account and principal
	MaxCallsPerSecond     int   // calls of a model that wait for their answer, per account and principal
	MaxTokensPerDay       int64 // tokens in and out of the interactive calls of one day (UTC) and of the jobs created on it, per account and principal
	MinTimeoutHours       int
	MaxTimeoutHours       int
	DefaultTimeoutHours   int           // timeout of a job that names none
	Hour                  time.Duration // real duration of one hour of a job's timeout; tests shorten it
}

// MaxInputBytes is the largest modelInput in bytes (Bedrock: body of InvokeModel, 25,000,000 bytes).
const MaxInputBytes = 25_000_000

// DefaultLimits returns the limits of the profile "default".
func DefaultLimits() Limits {
	return Limits{MinRecordsPerJob: 1, MaxActiveJobsPerModel: 100,
		MinTimeoutHours: 24, MaxTimeoutHours: 168, DefaultTimeoutHours: 24, Hour: time.Hour}
}

// AWSLimits returns the limits of the profile "aws": Bedrock's own (Bedrock: quotas of batch inference, 2026).
func AWSLimits() Limits {
	l := DefaultLimits()
	l.MinRecordsPerJob = 100
	l.MaxRecordsPerFile, l.MaxRecordsPerJob = 100_000, 100_000
	l.MaxFileBytes, l.MaxJobBytes = 1<<30, 5<<30
	return l
}

// Timeout returns the time that a job with this timeoutDurationInHours may take. For 0 it is the default
// timeout.
func (l Limits) Timeout(hours int) time.Duration {
	if hours == 0 {
		hours = l.DefaultTimeoutHours
	}
	return time.Duration(hours) * l.Hour
}

// RefuseBytes returns the quota on bytes that the files break, as a message, or "".
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

// RefuseRecords returns the quota on records that the files break, as a message, or "". The wording is
// Bedrock's (Bedrock: message of a job that fails validation).
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
