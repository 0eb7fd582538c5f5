package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/plain"
)

// A file that is something else than records is told in one message, with the command that mends it, by every command that reads files.
func TestAFileOfAnotherFormIsToldInOneMessage(t *testing.T) {
	record := `{"recordId":"1","modelInput":{"messages":[{"role":"user","content":"a, b"}]}}` + "\n"
	for name, c := range map[string]struct{ content, what, remedy string }{
		"csv.jsonl":    {"id,question\n1,\"What, now?\"\n", "a table (CSV)", "docs/from-csv.md"},
		"semi.jsonl":   {"id;question\r\n1;What?\r\n", "a table (CSV (with semicolons))", "docs/from-csv.md"},
		"both.jsonl":   {"id;question, in full;from\n1;Well, what?;a\n", "a table (CSV (with semicolons))", "docs/from-csv.md"},
		"cells.jsonl":  {"id\tquestion; or, remark\tfrom\n1\tWhy; then, not?\ta\n", "a table (TSV)", "docs/from-csv.md"},
		"lists.jsonl":  {"id,tags;sub,from\n1,a;b,c\n", "a table (CSV)", "docs/from-csv.md"},
		"tsv.jsonl":    {"id\tquestion\n1\tWhat?\n", "a table (TSV)", "docs/from-csv.md"},
		"table.csv":    {"id,question\n1,What?\n", "a table (CSV)", "docs/from-csv.md"},
		"gz.jsonl":     {"\x1f\x8b\x08\x00", "gzip format", "gunzip -c gz.jsonl"},
		"packed.jsonl": {"\x1f\x8b\x08\x00", "gzip format", "ends in .jsonl.gz, or unpack it: gunzip -c packed.jsonl"},
		"x.jsonl.gz":   {"\x1f\x8b\x08\x00", "the gzip data is damaged", "gzip -t"},
		"zst.jsonl":    {"\x28\xb5\x2f\xfd\x24", "zstd format", "zstd -dc"},
		"zip.jsonl":    {"PK\x03\x04", "zip format", "unzip -p"},
		"parq.jsonl":   {"PAR1\x15", "Parquet format", "docs/from-csv.md"},
		"array.jsonl":  {"[" + strings.TrimSpace(record) + "]\n", "no [ ] around", "jq -c '.[]' array.jsonl"},
		"pretty.jsonl": {"{\n  \"recordId\": \"1\",\n  \"modelInput\": {}\n}\n", "spread over several lines", "jq -c . pretty.jsonl"},
		"openai.jsonl": {`{"body":{"messages":[]}}` + "\n", "OpenAI's batch files", "custom_id: ("},
		"anth.jsonl":   {`{"custom_id":"1","params":{"messages":[]}}` + "\n", "Anthropic's batches", "modelInput: (.params"},
		"bare.jsonl":   {`{"messages":[]}` + "\n", "no \"modelInput\" around them", "modelInput: .}"},
		"prompt.jsonl": {`{"prompt":"x"}` + "\n", "the lines have a \"prompt\"", "content: .prompt"},
		"utf16.jsonl":  {"\xff\xfe{\x00", "UTF-16, not UTF-8", "iconv -f UTF-16"},
		"le.jsonl":     {"{\x00\"\x00}\x00\n\x00", "UTF-16 (little endian", "iconv -f UTF-16LE -t UTF-8 le.jsonl"},
		"be.jsonl":     {"\x00{\x00\"\x00}\x00\n", "UTF-16 (big endian", "iconv -f UTF-16BE -t UTF-8 be.jsonl"},
		"latin1.jsonl": {"{\"recordId\":\"1\",\"modelInput\":{\"a\":\"caf\xe9\"}}\n{\"recordId\":\"2\",\"modelInput\":{\"a\":\"na\xefve \x80 5\"}}\n", "Windows-1252 or Latin-1", "iconv -f WINDOWS-1252 -t UTF-8 latin1.jsonl"},
		"text.jsonl":   {"What is it?\nWhy, then, not?\n", "plain text, not JSON lines", "jq -Rc"},
		"apple.jsonl":  {"\x00\x05\x16\x07\x00\x02", "AppleDouble", "leave it out"},
		"page.jsonl":   {"<!DOCTYPE html>\n", "web page", "download"},
		"lfs.jsonl":    {"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"},
		"named.ndjson": {record, "no file in named.ndjson ends in .jsonl", "mv named.ndjson named.jsonl"},
	} {
		t.Chdir(folder(t, map[string]string{name: c.content}))
		for _, command := range []string{"validate", "run"} {
			var b bytes.Buffer
			w := plain.NewWriter(&b)
			a := &app{stdout: w, stderr: w}
			err := a.execute(t.Context(), []string{command, name})
			a.complain(err)
			got := b.String()
			if exitCode(err) != exitFailed || strings.Count(got, "\n") != 2 || !strings.Contains(got, name) || !strings.Contains(got, c.what) ||
				!strings.Contains(got, "\nbatholith: hint: ") || !strings.Contains(got, c.remedy) {
				t.Errorf("%s %s: exit code %d\n%s", command, name, exitCode(err), got)
			}
		}
	}
	long := `{"recordId":"1","modelInput":{"prompt":"` + strings.Repeat("x, ", formBytes) + `"}}` + "\n"
	for name, content := range map[string]string{"record": record, "marked": "\xef\xbb\xbf" + record, "after lines": "\n\r\n " + record, "long": long, "empty": "", "one line": "What is it?", "damaged": "{\"recordId\":\"\u00e9\"}\n{\"recordId\":\"\xe9\"}\n", "text before records": "a comment\n" + record,
		"bad line first": "{\"recordId\":\n" + record, "no modelInput": `{"recordId":"4"}` + "\n" + record, "cut": record[:40]} {
		head := content[:min(len(content), formBytes)]
		if found, ok := fileForm([]byte(head), len(content) < formBytes); ok {
			t.Errorf("%s is taken for another form: %s", name, found.what)
		}
	}
}
