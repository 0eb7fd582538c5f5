package batholith

import (
	"strings"
	"testing"
)

func TestAnS3UriKeepsItsPrefix(t *testing.T) {
	for uri, refused := range map[string]string{
		"s3://b": "", "s3://b/": "", "s3://b/in/": "", "s3://b/in//a.jsonl": "", "s3://b/a..b/.c/...": "", "s3://b/x.batholith/": "", "s3://b/.batholithe/": "",
		"s3://b/..": `".."`, "s3://b/../x": `".."`, "s3://b/a/../b.jsonl": `".."`, "s3://b/a/..": `".."`, "s3://b/a/../": `".."`,
		"s3://b/./a.jsonl": `"."`, "s3://b/.": `"."`, "s3://b/a/.": `"."`, "s3://b//./a": `"."`,
		"s3://b/.batholith": ".batholith", "s3://b/.batholith/": ".batholith", "s3://b/out/8fj2k4l6m8n0/.batholith/segments/": ".batholith",
		"s3://b/.batholith/x.jsonl": ".batholith",
	} {
		if why := RefuseURI(uri); (why == "") != (refused == "") || !strings.Contains(why, refused) {
			t.Errorf("%s: %q, want %q", uri, why, refused)
		}
	}
}

func TestEveryInputKeepsItsOutput(t *testing.T) {
	long := strings.Repeat("k", 1000) + ".jsonl"
	for _, tt := range []struct {
		names string // separated by blanks
		at    int
		why   string
	}{
		{"a.jsonl b/c.jsonl b/.d/e.jsonl .jsonl /a.jsonl a//b.jsonl x.out/a.jsonl", -1, ""},
		{"manifest.jsonl validation.ndjson.jsonl manifest.json.out.jsonl n/manifest.json.out/a.jsonl", -1, ""},
		{"a.jsonl .batholith/x.jsonl", 1, "folder .batholith"},
		{"a.jsonl deep/er/.batholith/segments/x.jsonl", 1, "folder .batholith"},
		{"manifest.json.out/x.jsonl", 0, "below manifest.json.out, which is the job's manifest"},
		{"validation.ndjson.out/x/y.jsonl", 0, "below validation.ndjson.out, which is the list of bad lines"},
		{"manifest.json", 0, "have the name manifest.json.out"},
		{"a.jsonl a.jsonl.out/b.jsonl", 1, `below a.jsonl.out, which is the output of "a.jsonl"`},
		{"n/a.jsonl.out/c/d/b.jsonl n/a.jsonl", 0, `the output of "n/a.jsonl"`},
		{"a/../b.jsonl", 0, `segment ".."`},
		{"./b.jsonl", 0, `segment "."`},
		{"a.jsonl b\x9b.jsonl", 1, "not UTF-8"},
		{"a.jsonl " + long, 1, "S3 takes 1024"},
	} {
		at, why := RefuseNames("out/8fj2k4l6m8n0/", strings.Fields(tt.names))
		if at != tt.at || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") {
			t.Errorf("%s: %d %q, want %d %q", tt.names, at, why, tt.at, tt.why)
		}
	}
}
