package batholith

// ManifestName is the object below OUT/<job id>/ that tells a job's counts.
const ManifestName = "manifest.json.out"

// Manifest is the content of manifest.json.out: Bedrock's counters first, then ours.
type Manifest struct {
	TotalRecordCount     int64 `json:"totalRecordCount"`
	ProcessedRecordCount int64 `json:"processedRecordCount"`
	SuccessRecordCount   int64 `json:"successRecordCount"`
	ErrorRecordCount     int64 `json:"errorRecordCount"`
	InputTokenCount      int64 `json:"inputTokenCount"`
	OutputTokenCount     int64 `json:"outputTokenCount"`
	CacheReadTokenCount  int64 `json:"cacheReadInputTokenCount"`
	CacheWriteTokenCount int64 `json:"cacheWriteInputTokenCount"`

	Batholith ManifestDetail `json:"batholith"`
}

// ManifestDetail is what Batholith tells beyond Bedrock.
type ManifestDetail struct {
	Version  int            `json:"version"` // 1
	JobARN   string         `json:"jobArn"`
	Status   Status         `json:"status"`
	ModelID  string         `json:"modelId"`
	Attempts int64          `json:"attemptCount"` // requests that were counted
	Files    []ManifestFile `json:"files"`
}

// ManifestFile tells of one input file and its output.
type ManifestFile struct {
	Input     string `json:"input"`  // s3:// URI
	Output    string `json:"output"` // s3:// URI
	InputETag string `json:"inputETag"`
	Records   int64  `json:"recordCount"` // lines of the input that are records
	Lines     int64  `json:"lineCount"`   // lines of the output
	Bytes     int64  `json:"outputBytes"`
	CRC32C    string `json:"outputCrc32c"` // of the output object, 8 hexadecimal digits
}

// NewManifest fills Bedrock's part from a job's counters.
func NewManifest(j Job, attempts int64, files []ManifestFile) Manifest {
	return Manifest{
		TotalRecordCount:     j.Counts.Total,
		ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount:   j.Counts.Succeeded,
		ErrorRecordCount:     j.Counts.Errored,
		InputTokenCount:      j.Tokens.Input,
		OutputTokenCount:     j.Tokens.Output,
		CacheReadTokenCount:  j.Tokens.CacheRead,
		CacheWriteTokenCount: j.Tokens.CacheWrite,
		Batholith: ManifestDetail{Version: 1, JobARN: j.ARN().String(), Status: j.Status, ModelID: j.ModelID,
			Attempts: attempts, Files: files},
	}
}
