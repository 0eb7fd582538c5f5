package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/tinylm"
	"github.com/batholith/batholith/internal/words"
)

// The estimate of submit reads an input of up to wholeBytes, and of a larger one stretches of stretchBytes in even steps, which are wholeBytes
// together. So it takes some ten milliseconds, whatever the size.
const (
	wholeBytes   = 4 << 20
	stretchBytes = 256 << 10
)

// estimate is what a submitted input is expected to take. Its numbers are those of validate.
type estimate struct {
	validated
	sampled bool // the numbers are scaled from a part of the input
}

// estimates returns the estimate for files of records, with the price of the settings; nil if nothing could be read as a record, which the
// server will tell.
func estimates(gathered []localFile, s submission, price batholith.Price) *estimate {
	e := &estimate{}
	var all []localFile
	for _, f := range gathered {
		if strings.HasSuffix(f.key, inputSuffix) {
			all = append(all, f)
			e.Bytes += f.bytes
		}
	}
	b := &bodies{exact: s.model == catalog.TinyModel}
	e.sampled = e.Bytes > wholeBytes
	records, read := int64(0), int64(0)
	at := int64(0) // of the file within all
	for _, f := range all {
		for _, p := range stretches(at, f.bytes, e.Bytes) {
			n, size := weighStretch(f.path, p, batholith.Lines(s.tags[batholith.InputTag]), b)
			records, read = records+n, read+size
		}
		at += f.bytes
	}
	if records == 0 {
		return nil
	}
	scale := func(n int64) int64 {
		if !e.sampled {
			return n
		}
		return int64(float64(n) * float64(e.Bytes) / float64(read))
	}
	e.Records, e.Unlimited = scale(records), scale(b.unlimited.Load())
	e.InputTokens, e.LeastTokens, e.MostTokens = scale(b.likely.Load())/1000, scale(b.least.Load())/1000, (scale(b.most.Load())+999)/1000
	e.OutputTokens = scale(b.out.Load())
	if b.unlimited.Load() == records {
		e.Unlimited = e.Records
	}
	if e.sampled {
		e.Records, e.Unlimited, e.OutputTokens = threeDigits(e.Records, half), threeDigits(e.Unlimited, half), threeDigits(e.OutputTokens, up)
	}
	e.Cost = e.costs(price)
	return e
}

// stretch is a part of a file.
type stretch struct {
	from, bytes int64
	inside      bool // the file goes on behind it
}

// stretches returns the parts to read of a file, which begins at a place of all bytes.
func stretches(at, size, all int64) (parts []stretch) {
	if all <= wholeBytes {
		return []stretch{{bytes: size}}
	}
	const n = wholeBytes / stretchBytes
	for i := range int64(n) {
		if place := all / n * i; place >= at && place < at+size {
			rest := at + size - place
			parts = append(parts, stretch{place - at, min(stretchBytes, rest), rest > stretchBytes})
		}
	}
	return parts
}

// weighStretch weighs the whole lines of a part of a file, and returns how many records they are and how many bytes. A file that cannot be read
// counts nothing: the upload tells.
func weighStretch(path string, p stretch, lines batholith.Lines, b *bodies) (records, read int64) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, p.from, p.bytes))
	if err != nil {
		return 0, 0
	}
	if p.from > 0 { // the first line begins before it
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole && p.inside { // it ends behind the stretch
			break
		}
		read += int64(len(data) - len(rest))
		data = rest
		if _, input, err := jsonl.ParseOf(line, lines); err == nil {
			b.weigh(input)
			records++
		}
	}
	return records, read
}

// weigh adds the tokens of a body.
func (b *bodies) weigh(input []byte) dialect.Tokens {
	w := dialect.Weigh(input)
	in := w.Tokens
	if b.exact {
		n := 1000 * tinylm.PromptTokens(w.Text, w.Turns)
		in = dialect.Tokens{Least: n, Likely: n, Most: n}
	}
	b.least.Add(in.Least)
	b.likely.Add(in.Likely)
	b.most.Add(in.Most)
	b.out.Add(w.Most)
	if w.Most == 0 {
		b.unlimited.Add(1)
	}
	return in
}

// String is the estimate in one line.
func (e *estimate) String() string {
	about := ""
	if e.sampled {
		about = "about "
	}
	text := fmt.Sprintf("%s%s; tokens: %s, %s", about, words.Plural(e.Records, "record"), e.inputTokens(), e.outputTokens())
	if e.Cost != nil {
		text += "; cost: " + e.Cost.String()
	}
	return text
}

// capped says which caps a job has, and whether they are below the estimate of what goes in.
func (e *estimate) capped(tags map[string]string) string {
	var all []string
	short := false
	if n, err := batholith.ParseMaxTokens(tags[batholith.MaxTokensTag]); err == nil {
		all = append(all, words.Number(n)+" tokens")
		short = short || n < e.InputTokens
	}
	if n, err := batholith.ParseMaxCost(tags[batholith.MaxCostTag]); err == nil {
		text := tags[batholith.MaxCostTag]
		if e.Cost != nil {
			text += " " + e.Cost.Currency
			short = short || n < e.Cost.Input.Micros()
		}
		all = append(all, text)
	}
	switch {
	case len(all) == 0:
		return ""
	case short:
		return "; cap: " + strings.Join(all, " and ") + ", less than the estimate of the input alone: the job may be paused before its end"
	}
	return "; cap: " + strings.Join(all, " and ")
}

// tellEstimate says what a submission is expected to take.
func (a *app) tellEstimate(e *estimate, s submission) {
	if e == nil {
		return
	}
	less := ""
	if len(s.reuse) > 0 || s.tags[batholith.ReuseTag] != "" {
		less = ", minus the records that earlier jobs have answered"
	}
	plain.Fprintf(a.stderr, "estimate: %s%s%s\n", e, less, e.capped(s.tags))
}

// priceOf is the price of a model in the settings that a client command reads; the zero price if there is none.
func (a *app) priceOf(t target, model string) batholith.Price {
	file := t.file
	if _, err := os.Stat(usualFile); file == "" && err == nil {
		file = usualFile
	}
	c, err := config.LoadClient(config.Sources{File: file, Env: a.env})
	if err != nil { // connect has told
		return batholith.Price{}
	}
	return priceNamed(c, model)
}

// priceNamed is the price that a job takes whose model has this name: that of the model's id, otherwise that of the name.
func priceNamed(c *config.Config, model string) batholith.Price {
	if m := modelNamed(c, model); m != nil {
		return c.Price(m.ID, model)
	}
	return c.Price(model)
}
