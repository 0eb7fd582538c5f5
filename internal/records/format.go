package records

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Format is how a table is written.
type Format string

// The formats. JSON is an array of objects, or objects one after another; it is written as an array. JSONL is one object on a line.
const (
	CSV     Format = "csv"
	TSV     Format = "tsv"
	JSON    Format = "json"
	JSONL   Format = "jsonl"
	Parquet Format = "parquet"
)

// Formats are the names of all formats, for messages and completion.
var Formats = []string{string(CSV), string(TSV), string(JSON), string(JSONL), string(Parquet)}

// endings are the endings of file names.
var endings = map[string]Format{".csv": CSV, ".tsv": TSV, ".tab": TSV, ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": Parquet, ".pq": Parquet}

// ParseFormat returns the format with this name, in any case.
func ParseFormat(name string) (Format, error) {
	for _, f := range Formats {
		if strings.EqualFold(name, f) {
			return Format(f), nil
		}
	}
	return "", fmt.Errorf("%q is not a format of tables: it is one of %s", name, strings.Join(Formats, ", "))
}

// FormatOf returns the format that the ending of a name implies, without regard to .gz and .zst behind it; "" if it implies none.
func FormatOf(name string) Format {
	return endings[strings.ToLower(filepath.Ext(Unpacked(name)))]
}

// Unpacked returns a name without the ending .gz or .zst.
func Unpacked(name string) string {
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".gz" || ext == ".zst" {
		return name[:len(name)-len(ext)]
	}
	return name
}
