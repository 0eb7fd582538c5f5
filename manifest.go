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

	// Pending are the bytes of a manifest that is small and not written yet: the job's end is settled with them first.
	Pending []byte `json:"-"`
}

// ManifestVersion is the version that is written. Version 1 had neither repeats nor outcomes by kind nor checksums of the input, version 2
// neither sources nor changed members nor canaries.
const ManifestVersion = 3

// ManifestDetail is what Batholith tells beyond Bedrock.
type ManifestDetail struct {
	Version  int              `json:"version"`
	JobARN   string           `json:"jobArn"`
	Status   Status           `json:"status"`
	ModelID  string           `json:"modelId"`
	Attempts int64            `json:"attemptCount"`
	Repeats  int64            `json:"repeatCount"`
	Reissued int64            `json:"reissuedRecordCount"`
	Reused   int64            `json:"reusedRecordCount"`
	Canaries int64            `json:"canaryCount"`
	Outcomes ManifestOutcomes `json:"outcomes"`
	Wasted   ManifestTokens   `json:"wastedTokens"`
	Sources  []ManifestSource `json:"sources"`
	Changes  ManifestChanges  `json:"changedMembers"`
	Files    []ManifestFile   `json:"files"`
}

// ManifestOutcomes counts records by how they ended; the sum is processedRecordCount.
type ManifestOutcomes struct {
	Answer    int64 `json:"answer"`
	Invalid   int64 `json:"invalid"`
	Refused   int64 `json:"refused"`
	Exhausted int64 `json:"exhausted"`
	Other     int64 `json:"other"` // journalled by a version that did not tell errors apart
}

// ManifestTokens are tokens of answers that could not be used. They are in no other count.
type ManifestTokens struct {
	Input      int64 `json:"inputTokenCount"`
	Output     int64 `json:"outputTokenCount"`
	CacheRead  int64 `json:"cacheReadInputTokenCount"`
	CacheWrite int64 `json:"cacheWriteInputTokenCount"`
}

// ManifestFile tells of one input file and its output.
type ManifestFile struct {
	Input       string `json:"input"`  // s3:// URI; file:// where there is no S3
	Output      string `json:"output"` // likewise
	InputETag   string `json:"inputETag"`
	InputBytes  int64  `json:"inputBytes"`
	InputCRC32C string `json:"inputCrc32c,omitempty"` // as read at validation, 8 hexadecimal digits
	Records     int64  `json:"recordCount"`           // lines of the input that are records
	Lines       int64  `json:"lineCount"`             // lines of the output
	Bytes       int64  `json:"outputBytes"`
	CRC32C      string `json:"outputCrc32c"` // of the output object, 8 hexadecimal digits
}

// NewManifest makes a job's manifest from its counters, its ledger and the files that were written.
func NewManifest(j Job, l Ledger, files []ManifestFile) Manifest {
	return Manifest{
		TotalRecordCount:     j.Counts.Total,
		ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount:   j.Counts.Succeeded,
		ErrorRecordCount:     j.Counts.Errored,
		InputTokenCount:      j.Tokens.Input,
		OutputTokenCount:     j.Tokens.Output,
		CacheReadTokenCount:  j.Tokens.CacheRead,
		CacheWriteTokenCount: j.Tokens.CacheWrite,
		Batholith: ManifestDetail{Version: ManifestVersion, JobARN: j.ARN().String(), Status: j.Status, ModelID: j.ModelID,
			Attempts: l.Attempts, Repeats: l.Repeats, Reissued: l.Reissued, Reused: l.Reused, Canaries: l.Canaries,
			Outcomes: ManifestOutcomes{Answer: j.Counts.Succeeded, Invalid: l.Outcomes.Invalid, Refused: l.Outcomes.Refused,
				Exhausted: l.Outcomes.Exhausted, Other: j.Counts.Errored - l.Outcomes.Sum()},
			Wasted: ManifestTokens{Input: l.Wasted.Input, Output: l.Wasted.Output, CacheRead: l.Wasted.CacheRead, CacheWrite: l.Wasted.CacheWrite},
			Files:  files},
	}
}

// ValidationName is the object below OUT/<job id>/ that lists the lines which are no records, when there are any. No output is named so:
// those end in .jsonl.out. Nor would it be taken for an input, which ends in .jsonl.
const ValidationName = "validation.ndjson.out"

// ValidationVersion is the version that is written.
const ValidationVersion = 1

// ListedLines is how many bad lines are listed in full; all are counted.
const ListedLines = 1000

// ValidationHead is the first line of the list.
type ValidationHead struct {
	Version int    `json:"version"`
	JobARN  string `json:"jobArn"`
	Files   int64  `json:"fileCount"`        // input files that were read
	Records int64  `json:"recordCount"`      // lines that are records
	Invalid int64  `json:"invalidLineCount"` // lines that are not
	Listed  int64  `json:"listedLineCount"`  // lines that follow: the first ones
}

// InvalidLine is every further line: an input line that is no record.
type InvalidLine struct {
	File   string `json:"file"`             // URI
	Line   int64  `json:"line"`             // from 1
	Offset int64  `json:"offset"`           // of the line's first byte in the file
	Column int    `json:"column,omitempty"` // byte of the line, from 1, where it goes wrong, when that is one
	Reason string `json:"reason"`
}
