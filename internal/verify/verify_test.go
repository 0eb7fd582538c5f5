package verify

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/jsonl"
)

// verified is a job of one file that lies in a directory, as it is after its end.
type verified struct {
	input, output []string // lines
	errs          []string // lines of the errors beside answers in OpenAI's lines; nil: the output is in Bedrock's
	status        batholith.Status
	manifest      func(*batholith.Manifest) // may change it; nil: it fits the files
	counts        *batholith.Counts         // of the server
}

const verifiedID = "abcdefghij01"

// finishedJob has n records; every third ends with an error, every fifth has no recordId.
func finishedJob(n int) *verified {
	v := &verified{status: batholith.StatusCompleted}
	for i := range n {
		id := fmt.Sprintf("r%d", i)
		input := fmt.Sprintf(`{ "messages" : [%d], "n": 1.0e0}`, i)
		v.input = append(v.input, fmt.Sprintf(`{"modelInput":%s ,"recordId":"%s"}`, input, id))
		if i%5 == 4 {
			v.input[i] = fmt.Sprintf(`{"modelInput":%s}`, input)
			id = jsonl.MakeID(verifiedID, 0, int64(i+1))
		}
		line := jsonl.AppendOutput(nil, []byte(id), []byte(input), []byte(`{"usage":{"prompt_tokens":3,"completion_tokens":2}}`))
		if i%3 == 2 {
			line = jsonl.AppendError(nil, []byte(id), []byte(input), &batholith.RecordError{Code: 400, Message: `no <"good">`})
		}
		v.output = append(v.output, string(line))
	}
	return v
}

// check writes the job to a directory, with a manifest whose sums fit the files, and checks it. What differs is one line each.
func (v *verified) check(t *testing.T) (found Result, said string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), verifiedID)
	in, out := []byte(strings.Join(v.input, "\n")), []byte(strings.Join(v.output, ""))
	counts := batholith.Counts{Total: int64(len(v.input)), Processed: int64(len(v.output))}
	for _, line := range v.output {
		if strings.Contains(line, `"errorCode"`) {
			counts.Errored++
		}
	}
	counts.Succeeded = counts.Processed - counts.Errored
	lines, failed := batholith.LinesBedrock, []byte(strings.Join(v.errs, ""))
	var errs *batholith.ManifestErrors
	if v.errs != nil {
		lines = batholith.LinesOpenAI
		errs = &batholith.ManifestErrors{Output: "s3://output/" + verifiedID + "/in.jsonl.err", Lines: int64(len(v.errs)), Bytes: int64(len(failed)), CRC32C: sumOf(failed),
			Untried: int64(strings.Count(string(failed), `"response":null`))}
		counts.Errored = errs.Lines - errs.Untried
		counts.Processed += counts.Errored
	}
	path := filepath.Join(filepath.Dir(dir), "in.jsonl")
	m := batholith.NewManifest(batholith.Job{ID: verifiedID, Account: "000000000000", Region: "r", Status: v.status, Counts: counts, Request: batholith.Request{OutputLines: lines},
		Tokens: batholith.Tokens{Input: 3 * counts.Succeeded, Output: 2 * counts.Succeeded}}, batholith.Ledger{}, []batholith.ManifestFile{{
		Input: "file://" + path, Output: "s3://output/" + verifiedID + "/in.jsonl.out", Records: counts.Total, Lines: int64(len(v.output)), Errors: errs,
		InputBytes: int64(len(in)), InputCRC32C: sumOf(in), Bytes: int64(len(out)), CRC32C: sumOf(out)}})
	if v.manifest != nil {
		v.manifest(&m)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{path: in, filepath.Join(dir, "in.jsonl.out"): out, filepath.Join(dir, "in.jsonl.err"): failed} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Job(t.Context(), m, Options{Dir: dir, Counts: v.counts, Open: func(_ context.Context, uri string) (io.ReadCloser, error) {
		path, err := files.PathOf(uri)
		if err != nil {
			return nil, err
		}
		return os.Open(path)
	}})
	for _, d := range found.Differences {
		said += d.String() + "\n"
	}
	if err != nil {
		found.OK, said = false, said+err.Error()+"\n"
	}
	return found, said
}

func sumOf(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func TestVerifyFindsNothingWhereNothingIsWrong(t *testing.T) {
	stopped := finishedJob(50)
	stopped.status = batholith.StatusStopped
	stopped.output = slices.Concat(stopped.output[3:10], stopped.output[20:21], stopped.output[30:45])
	empty := finishedJob(5)
	empty.status, empty.output = batholith.StatusStopped, nil
	old := finishedJob(5)
	old.manifest = func(m *batholith.Manifest) {
		m.Batholith.Version, m.Batholith.Outcomes = 1, batholith.ManifestOutcomes{}
		m.Batholith.Files[0].InputCRC32C, m.Batholith.Files[0].InputBytes = "", 0
	}
	untold := finishedJob(4)
	untold.output[0] = strings.Replace(untold.output[0], `"prompt_tokens":3,`, "", 1)
	sourced := finishedJob(3) // each line names where it came from
	for i, line := range sourced.output {
		if i == 1 {
			sourced.output[i] = strings.TrimSuffix(line, "}\n") + `,"batholith":{"backend":"h:1","model":"a \"b\""}}` + "\n"
		}
	}
	twins := finishedJob(9) // recordIds need not be unique
	for i := range twins.input {
		twins.input[i] = `{"recordId":"same","modelInput":{"a":1}}`
		twins.output[i] = `{"recordId":"same","modelInput":{"a":1},"modelOutput":{"prompt_token_count":3,"generation_token_count":2}}` + "\n"
	}
	for name, c := range map[string]struct {
		job                             *verified
		records, answers, errors        int64
		untold, withoutSumsOfTheirInput bool
	}{
		"completed":      {job: finishedJob(100), records: 100, answers: 67, errors: 33},
		"stopped":        {job: stopped, records: 50, answers: 15, errors: 8},
		"no output":      {job: empty, records: 5},
		"former version": {job: old, records: 5, answers: 4, errors: 1, withoutSumsOfTheirInput: true},
		"tokens untold":  {job: untold, records: 4, answers: 3, errors: 1, untold: true},
		"sources":        {job: sourced, records: 3, answers: 2, errors: 1},
		"equal ids":      {job: twins, records: 9, answers: 9},
	} {
		found, said := c.job.check(t)
		if !found.OK || said != "" || found.Count != 0 || found.Files != 1 || found.Records != c.records || found.Answers != c.answers || found.Errors != c.errors {
			t.Errorf("%s: %+v\n%s", name, found, said)
		}
		if found.Tokens == c.untold || found.InputSums == c.withoutSumsOfTheirInput {
			t.Errorf("%s: tokens are checked: %v, sums of the input: %v", name, found.Tokens, found.InputSums)
		}
	}
}

// The manifest's sums fit what is in the files in each case, so that nothing but the lines themselves can tell.
func TestVerifyNamesWhatDiffersByFileAndLine(t *testing.T) {
	replace := func(n int, old, by string) func(*verified) {
		return func(v *verified) { v.output[n-1] = strings.Replace(v.output[n-1], old, by, 1) }
	}
	for name, c := range map[string]struct {
		spoil func(*verified)
		want  []string
	}{
		"a line is missing":      {func(v *verified) { v.output = slices.Delete(v.output, 6, 7) }, []string{"in.jsonl:7: the record has no line"}},
		"the last one is":        {func(v *verified) { v.output = v.output[:19] }, []string{"in.jsonl:20: the record has no line"}},
		"a line is there twice":  {func(v *verified) { v.output = slices.Insert(v.output, 7, v.output[6]) }, []string{`in.jsonl.out:8: recordId "r6" is out of order`}},
		"two lines are swapped":  {func(v *verified) { v.output[6], v.output[7] = v.output[7], v.output[6] }, []string{"in.jsonl:7: the record has no line", `in.jsonl.out:8: recordId "r6" is out of order`}},
		"a line too many":        {func(v *verified) { v.output = append(v.output, v.output[19]) }, []string{"in.jsonl.out:21: it stands behind"}},
		"another id":             {replace(8, `"r7"`, `"x7"`), []string{`in.jsonl.out:8: recordId "x7" is not that of line 8`}},
		"a space in modelInput":  {replace(8, `"n": 1`, `"n":1`), []string{"in.jsonl.out:8: modelInput is not that of line 8"}},
		"a number written anew":  {replace(8, "1.0e0", "1.0"), []string{"in.jsonl.out:8: modelInput"}},
		"no line at all":         {replace(8, `{"recordId"`, `#`), []string{"in.jsonl.out:8: it is not an output line"}},
		"a space between":        {replace(8, `,"modelInput"`, `, "modelInput"`), []string{"in.jsonl.out:8: the line is not written"}},
		"another member":         {replace(8, `,"modelOutput"`, `,"x":1,"modelOutput"`), []string{"in.jsonl.out:8: neither modelOutput nor error"}},
		"an answer is no JSON":   {replace(8, `"completion_tokens":2`, `"completion_tokens":02`), []string{"in.jsonl.out:8: "}},
		"an error without code":  {replace(3, `"errorCode":400,`, ``), []string{"in.jsonl.out:3: neither"}},
		"the end is torn":        {replace(20, "}\n", ""), []string{"in.jsonl.out:20: "}},
		"the newline is missing": {replace(20, "\n", ""), []string{"in.jsonl.out:20: the line is cut short"}},
		"the input lost a line":  {func(v *verified) { v.input[3] = "" }, []string{`in.jsonl.out:4: recordId "r3"`, "the input has 19 records; the manifest says 20"}},
		"the sum of the input":   {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].InputCRC32C = "00000000" }), []string{"in.jsonl: the input has the CRC-32C"}},
		"the sum of the output":  {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].CRC32C = "00000000" }), []string{"in.jsonl.out: the output has the CRC-32C"}},
		"the bytes":              {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].Bytes++ }), []string{"in.jsonl.out: the output has"}},
		"the lines":              {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].Lines++ }), []string{"in.jsonl.out: the output has 20 lines; the manifest says 21"}},
		"successes":              {manifest(func(m *batholith.Manifest) { m.SuccessRecordCount++ }), []string{"manifest.json.out: successRecordCount is 15; the files have 14"}},
		"outcomes":               {manifest(func(m *batholith.Manifest) { m.Batholith.Outcomes.Refused++ }), []string{"the sum of the errors in outcomes is 7; the files have 6"}},
		"tokens":                 {manifest(func(m *batholith.Manifest) { m.OutputTokenCount-- }), []string{"outputTokenCount is 27; the files have 28"}},
		"negative tokens":        {manifest(func(m *batholith.Manifest) { m.InputTokenCount = -12 }), []string{"inputTokenCount is -12, which 14 requests cannot have taken"}},
		"tokens beyond belief":   {manifest(func(m *batholith.Manifest) { m.Batholith.Wasted.Output = 1 << 60 }), []string{"wastedTokens.outputTokenCount is 1152921504606846976, which"}},
		"more cached than read":  {manifest(func(m *batholith.Manifest) { m.CacheReadTokenCount = 1000 }), []string{"cacheReadInputTokenCount is 1000, more than"}},
		"sources too many":       {manifest(func(m *batholith.Manifest) { m.Batholith.Sources = []batholith.ManifestSource{{Records: 15}} }), []string{"sources has 15 answers"}},
		"a source with more":     {replace(8, "}\n", `,"batholith":{"backend":"h","model":"m","x":1}}`+"\n"), []string{"in.jsonl.out:8: modelOutput is not a JSON value"}},
		"a foreign output":       {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].Output = "s3://output/other/in.jsonl.out" }), []string{"not below the job's own prefix"}},
		"the output is gone":     {manifest(func(m *batholith.Manifest) { m.Batholith.Files[0].Output = "s3://o/" + verifiedID + "/x.out" }), []string{"x.out: it is not there"}},
		"a newer manifest":       {manifest(func(m *batholith.Manifest) { m.Batholith.Version = 99 }), []string{"version 99"}},
		"no manifest of ours":    {manifest(func(m *batholith.Manifest) { m.Batholith = batholith.ManifestDetail{} }), []string{"not one of Batholith's"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := finishedJob(20)
			c.spoil(v)
			found, got := v.check(t)
			if found.OK {
				t.Error("it is said to agree")
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			if lines := strings.Count(got, "\n"); lines > 6 {
				t.Errorf("one fault makes %d lines of talk:\n%s", lines, got)
			}
		})
	}
}

func manifest(change func(*batholith.Manifest)) func(*verified) {
	return func(v *verified) { v.manifest = change }
}

func TestTheCountersOfTheServerAreCompared(t *testing.T) {
	v := finishedJob(20)
	v.counts = &batholith.Counts{Total: 20, Processed: 20, Succeeded: 14, Errored: 6}
	if found, said := v.check(t); !found.OK {
		t.Error(said)
	}
	v.counts.Errored, v.counts.Succeeded = 7, 13
	if found, said := v.check(t); found.OK || !strings.Contains(said, "manifest.json.out: it counts 20, 20, 14, 6 records (total, processed, success, error) and the job 20, 20, 13, 7") {
		t.Error(said)
	}
}

func TestOfTheWrongFileTheFirstTwentyDifferencesAreNamed(t *testing.T) {
	v := finishedJob(5000)
	for i := range v.output {
		v.output[i] = strings.ReplaceAll(v.output[i], `"messages"`, `"prompt"`)
	}
	found, _ := v.check(t)
	if found.OK || len(found.Differences) != ShownDifferences || found.Count < mostPerFile {
		t.Errorf("%d differences are named of %d", len(found.Differences), found.Count)
	}
}

func TestALongOutputLineIsReadWhole(t *testing.T) {
	v := finishedJob(3)
	v.output[1] = strings.Replace(v.output[1], `"usage"`, `"text":"`+strings.Repeat("x", 3<<20)+`","usage"`, 1)
	if found, said := v.check(t); !found.OK {
		t.Error(said)
	}
}
