package batholith

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
