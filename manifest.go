package batholith

import (
	"maps"
	"slices"
)

// ManifestName is the name of the object below OUT/<job id>/ that contains the job's counts (Bedrock:
// manifest.json.out).
const ManifestName = "manifest.json.out"

// Manifest is the content of manifest.json.out: Bedrock's counters, then Batholith's own members.
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

	// Pending holds the bytes of a small manifest that is not uploaded yet: they are stored together with the
	// decision how the job ends, and uploaded afterwards.
	Pending []byte `json:"-"`
}

// ManifestVersion is the version that this program writes. Version 2 added repeats, outcomes by kind and
// checksums of the input. Version 3 added sources, changed members and canaries.
// Later members are optional.
const ManifestVersion = 3

// LinesManifestVersion is the version of the manifest of a job whose output is in OpenAI's lines: an older program would take them for
// damaged ones.
const LinesManifestVersion = 4

// ManifestDetail holds the members that Bedrock's manifest does not have. docs/formats.md describes each.
type ManifestDetail struct {
	Version  int    `json:"version"`
	JobARN   string `json:"jobArn"`
	Status   Status `json:"status"`
	ModelID  string `json:"modelId"`
	Attempts int64  `json:"attemptCount"`
	Repeats  int64  `json:"repeatCount"`
	Reissued int64  `json:"reissuedRecordCount"`
	Reused   int64  `json:"reusedRecordCount"`
	// ReusedFrom is the part of Reused that was taken from earlier jobs. Each answer has its job's ARN as the
	// backend of its source.
	ReusedFrom []ManifestReuse `json:"reusedFrom,omitempty"`
	Canaries   int64           `json:"canaryCount"`
	// InputLines and OutputLines are the forms of the lines; absent: Bedrock's.
	InputLines  Lines `json:"inputLines,omitempty"`
	OutputLines Lines `json:"outputLines,omitempty"`
	// WithoutInput are the lines that do not repeat modelInput, because the job was asked to.
	WithoutInput int64            `json:"withoutInputCount,omitempty"`
	Outcomes     ManifestOutcomes `json:"outcomes"`
	Wasted       ManifestTokens   `json:"wastedTokens"`
	Costs        []ManifestCost   `json:"costs,omitempty"` // of used and of wasted tokens; none without a price
	Sources      []ManifestSource `json:"sources"`
	Changes      ManifestChanges  `json:"changedMembers"`
	Files        []ManifestFile   `json:"files"`
}

// ManifestOutcomes counts records by how they ended. Their sum is processedRecordCount.
type ManifestOutcomes struct {
	Answer    int64 `json:"answer"`
	Invalid   int64 `json:"invalid"`
	Refused   int64 `json:"refused"`
	Exhausted int64 `json:"exhausted"`
	Other     int64 `json:"other"` // errors journalled by an old version that did not store their kind
}

// ManifestTokens counts the tokens of answers that could not be used. No other counter includes them.
type ManifestTokens struct {
	Input      int64 `json:"inputTokenCount"`
	Output     int64 `json:"outputTokenCount"`
	CacheRead  int64 `json:"cacheReadInputTokenCount"`
	CacheWrite int64 `json:"cacheWriteInputTokenCount"`
}

// ManifestCost is what a job cost in one currency. A job has several if the currency of the settings was changed while it ran.
type ManifestCost struct {
	Amount   Money  `json:"amount"` // exact, a decimal number as a text
	Currency string `json:"currency"`
}

// Cost sets what the job cost, by currency.
func (m *Manifest) Cost(costs map[string]Money) {
	for _, currency := range slices.Sorted(maps.Keys(costs)) {
		m.Batholith.Costs = append(m.Batholith.Costs, ManifestCost{costs[currency], currency})
	}
}

// ManifestFile describes one input file and its output.
type ManifestFile struct {
	Input       string `json:"input"`  // s3:// URI; a file:// URI if no S3 is used
	Output      string `json:"output"` // likewise
	InputETag   string `json:"inputETag"`
	InputBytes  int64  `json:"inputBytes"`
	InputCRC32C string `json:"inputCrc32c,omitempty"` // CRC-32C of the bytes that validation read, 8 hexadecimal digits
	Records     int64  `json:"recordCount"`           // input lines that are records
	Lines       int64  `json:"lineCount"`             // lines of the output
	Bytes       int64  `json:"outputBytes"`
	CRC32C      string `json:"outputCrc32c"` // CRC-32C of the output object, 8 hexadecimal digits
	// Errors is the object with the lines of failed records, which Output then lacks. nil: there is none.
	Errors *ManifestErrors `json:"errors,omitempty"`
}

// ErrorLines is the number of lines of Errors.
func (f ManifestFile) ErrorLines() int64 {
	if f.Errors == nil {
		return 0
	}
	return f.Errors.Lines
}

// ManifestErrors describes the object with the errors of a file. Its members are those of [ManifestFile].
type ManifestErrors struct {
	Output string `json:"output"`
	Lines  int64  `json:"lineCount"`
	Bytes  int64  `json:"outputBytes"`
	CRC32C string `json:"outputCrc32c"`
	// Untried is the number of these lines whose records were never tried, because the job was stopped or its time was over. No counter of the
	// manifest includes them.
	Untried int64 `json:"untriedCount,omitempty"`
}

// NewManifest builds a job's manifest from its counters, its ledger and its files.
func NewManifest(j Job, l Ledger, files []ManifestFile) Manifest {
	version := ManifestVersion
	if j.OutputLines != LinesBedrock || j.InputLines != LinesBedrock {
		version = LinesManifestVersion
	}
	return Manifest{
		TotalRecordCount:     j.Counts.Total,
		ProcessedRecordCount: j.Counts.Processed,
		SuccessRecordCount:   j.Counts.Succeeded,
		ErrorRecordCount:     j.Counts.Errored,
		InputTokenCount:      j.Tokens.Input,
		OutputTokenCount:     j.Tokens.Output,
		CacheReadTokenCount:  j.Tokens.CacheRead,
		CacheWriteTokenCount: j.Tokens.CacheWrite,
		Batholith: ManifestDetail{Version: version, JobARN: j.ARN().String(), Status: j.Status, ModelID: j.ModelID,
			InputLines: j.InputLines, OutputLines: j.OutputLines,
			Attempts: l.Attempts, Repeats: l.Repeats, Reissued: l.Reissued, Reused: l.Reused, Canaries: l.Canaries,
			Outcomes: ManifestOutcomes{Answer: j.Counts.Succeeded, Invalid: l.Outcomes.Invalid, Refused: l.Outcomes.Refused,
				Exhausted: l.Outcomes.Exhausted, Other: j.Counts.Errored - l.Outcomes.Sum()},
			Wasted: ManifestTokens{Input: l.Wasted.Input, Output: l.Wasted.Output, CacheRead: l.Wasted.CacheRead, CacheWrite: l.Wasted.CacheWrite},
			Files:  files},
	}
}

// ValidationName is the object below OUT/<job id>/ that lists the input lines which are not valid records. It
// exists only if there are any. The name cannot collide with an output, which ends in .jsonl.out, nor be read
// as an input, which ends in .jsonl.
const ValidationName = "validation.ndjson.out"

// ValidationVersion is the version of the list that this program writes.
const ValidationVersion = 1

// ListedLines is the maximum number of invalid lines in the list. All of them are counted.
const ListedLines = 1000

// ValidationHead is the first line of the list of invalid lines.
type ValidationHead struct {
	Version int    `json:"version"`
	JobARN  string `json:"jobArn"`
	Files   int64  `json:"fileCount"`        // input files that were read
	Records int64  `json:"recordCount"`      // lines that are valid records
	Invalid int64  `json:"invalidLineCount"` // lines that are not
	Listed  int64  `json:"listedLineCount"`  // lines that follow in the list: the first ones
}

// InvalidLine is each further line of the list: one input line that is not a valid record.
type InvalidLine struct {
	File   string `json:"file"`             // URI
	Line   int64  `json:"line"`             // line number, from 1
	Offset int64  `json:"offset"`           // byte offset of the line in the file
	Column int    `json:"column,omitempty"` // position of the error in the line in bytes, from 1; 0: the whole line
	Reason string `json:"reason"`
}
