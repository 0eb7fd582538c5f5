package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
)

// Of a large input only samples are read, and the estimate is near what all of it gives.
func TestTheEstimateOfALargeInputIsThatOfAllOfIt(t *testing.T) {
	dir := t.TempDir()
	var gathered []localFile
	records, size := int64(0), int64(0)
	for i, lines := range []int{100_000, 40, 60_000} {
		var b strings.Builder
		for n := range lines {
			fmt.Fprintf(&b, `{"recordId":"%d","modelInput":{"messages":[{"role":"user","content":"%s"}],"max_tokens":%d}}`+"\n", n, strings.Repeat("word ", n%20), 10+n%10)
		}
		path := filepath.Join(dir, fmt.Sprint(i, ".jsonl"))
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		gathered = append(gathered, localFile{path: path, key: fmt.Sprint(i, ".jsonl"), bytes: int64(b.Len())})
		records, size = records+int64(lines), size+int64(b.Len())
	}
	s := submission{model: "m"}
	e := estimates(gathered, s, batholith.Price{})
	whole := &bodies{}
	read := int64(0)
	for _, f := range gathered {
		_, n := weighStretch(f.path, stretch{bytes: f.bytes}, batholith.LinesBedrock, whole)
		read += n
	}
	near := func(what string, got, want int64) {
		t.Helper()
		if got < want*95/100 || got > want*105/100 {
			t.Errorf("%s: %d; all of it gives %d", what, got, want)
		}
	}
	if !e.sampled || read != size {
		t.Errorf("sampled %t; %d of %d bytes read", e.sampled, read, size)
	}
	near("records", e.Records, records)
	near("tokens in", e.InputTokens, whole.likely.Load()/1000)
	near("tokens out", e.OutputTokens, whole.out.Load())
	if !strings.HasPrefix(e.String(), "about 1") || !strings.Contains(e.String(), ",000 records; tokens: about ") {
		t.Errorf("it says %s", e)
	}
	total := int64(0)
	at := int64(0)
	for _, f := range gathered {
		for _, p := range stretches(at, f.bytes, size) {
			total += p.bytes
			if p.from < 0 || p.from+p.bytes > f.bytes {
				t.Errorf("%+v is outside %s", p, f.key)
			}
		}
		at += f.bytes
	}
	if total > wholeBytes {
		t.Errorf("%d bytes are read", total)
	}
}

// The last line of a file needs no newline, whatever the size of the file.
func TestTheLastLineIsEstimated(t *testing.T) {
	for _, size := range []int{100, stretchBytes - 1, stretchBytes, stretchBytes + 1} {
		line := `{"recordId":"1","modelInput":{"prompt":""}}`
		line = strings.Replace(line, `""`, `"`+strings.Repeat("a", size-len(line))+`"`, 1)
		path := filepath.Join(t.TempDir(), "a.jsonl")
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if e := estimates([]localFile{{path: path, key: "a.jsonl", bytes: int64(size)}}, submission{}, batholith.Price{}); e == nil || e.Records != 1 {
			t.Errorf("%d bytes: %v", size, e)
		}
	}
}

// What is no record is not estimated; the server tells.
func TestAnInputWithoutRecordsHasNoEstimate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	if err := os.WriteFile(path, []byte("no record\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []localFile{{path: path, key: "a.jsonl", bytes: 13}, {path: path + ".gone", key: "b.jsonl", bytes: 13}} {
		if e := estimates([]localFile{f}, submission{}, batholith.Price{}); e != nil {
			t.Errorf("%s: %s", f.path, e)
		}
	}
}

// The estimate takes the price that the job will take: by the model's id, or by the name that the job has.
func TestTheEstimateHasThePriceOfTheJob(t *testing.T) {
	one := func(names ...string) *config.Config {
		c := &config.Config{Models: []config.Model{{ID: "m.one", Aliases: []string{"one", "first"}}}}
		for _, name := range names {
			c.Prices = append(c.Prices, config.Price{Model: name, Input: "2", Output: "3"})
		}
		return c
	}
	for _, c := range []struct {
		settings *config.Config
		model    string
		priced   bool
	}{
		{one("m.one"), "m.one", true},
		{one("m.one"), "first", true},
		{one("m.one"), "us.m.one", true},
		{one("m.one"), "arn:aws:bedrock:us-east-1::foundation-model/m.one", true},
		{one("one"), "one", true},
		{one("one"), "m.one", false},
		{one("one"), "first", false},
		{one("m.two"), "m.two", true},
		{one(), "m.one", false},
	} {
		if got := priceNamed(c.settings, c.model) != (batholith.Price{}); got != c.priced {
			t.Errorf("%s with prices of %v: priced %t", c.model, c.settings.Prices, got)
		}
	}
}
