package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/lifecycle"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/reuse"
	"github.com/batholith/batholith/internal/words"
)

// onlyFailed copies the records of a job that have no answer in its output below the output's URI, and makes them the input of the request.
// Nothing of the server is used but its S3. The job's records are read twice the disk's way, not through memory: what is answered is
// in a table of 36 bytes for each answer.
//
// Batholith's output names each record by file, id and modelInput. Another service may write modelInput in another form and other ids for
// records without one: there an id alone names a record, and a record without an id is asked again.
func (a *app) onlyFailed(ctx context.Context, c *clients, j jobFacts, in *bedrock.CreateModelInvocationJobInput, ours bool) error {
	if _, err := c.api(); err != nil {
		return err
	}
	outBucket, outKey, err := object.ParseURI(j.Output)
	if err != nil {
		return err
	}
	inBucket, inKey, err := object.ParseURI(j.Input)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "batholith-retry-")
	if err != nil {
		return fmt.Errorf("make a folder for the records: %w", err)
	}
	defer os.RemoveAll(dir)
	f := &failedOnly{c: c, job: j, ours: ours, dir: dir, lines: linesIn(in.Tags, batholith.InputTag)}
	prefix := object.Below(outKey)
	if err := f.answered(ctx, c.objects.store.Bucket(outBucket, object.Options{}), prefix+j.id()+"/"); err != nil {
		return err
	}
	defer f.table.Close()
	if err := f.copy(ctx, c.objects.store.Bucket(inBucket, object.Options{}), inKey, prefix+j.id()+"/"); err != nil {
		return err
	}
	if len(f.files) == 0 {
		return hint(fmt.Errorf("each record of job %s has an answer in its output", j.id()), "fetch them with: batholith download %s", words.Quote(j.id()))
	}
	stamp := time.Now().UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:3])
	uri, err := a.upload(ctx, c, outBucket, prefix+"retry-"+stamp+"/", f.files)
	if err != nil {
		return err
	}
	plain.Fprintf(a.stderr, "%s without an answer, of %s: copied to %s\n", words.Plural(f.failed, "record"), words.Number(f.records), uri)
	in.InputDataConfig = &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: &uri}}
	return nil
}

// linesIn is the form of a job's lines that tags say under a key.
func linesIn(tags []types.Tag, key string) batholith.Lines {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			lines, _ := batholith.ParseLines(aws.ToString(t.Value))
			return lines
		}
	}
	return batholith.LinesBedrock
}

// failedOnly finds the records of a job that have no answer.
type failedOnly struct {
	c     *clients
	job   jobFacts
	ours  bool            // the output is Batholith's
	lines batholith.Lines // form of the input
	dir   string
	table *reuse.Table // of answered records

	files           []localFile // with the records that have none
	records, failed int64
}

// outputLine is a line of an output, in any order of its members.
type outputLine struct {
	ID     *string         `json:"recordId"`
	Input  json.RawMessage `json:"modelInput"`
	Output json.RawMessage `json:"modelOutput"`
	Error  json.RawMessage `json:"error"`

	// In OpenAI's lines.
	CustomID *string `json:"custom_id"`
	Response struct {
		Status int `json:"status_code"`
	} `json:"response"`
}

// answers returns the id of the record that a line answers. ok is false for another line.
func (l *outputLine) answers() (id string, ok bool) {
	switch {
	case len(l.Error) > 0 && string(l.Error) != "null":
	case l.CustomID != nil:
		return *l.CustomID, l.Response.Status == http.StatusOK
	case l.ID != nil && len(l.Output) > 0:
		return *l.ID, true
	}
	return "", false
}

// names are the texts by which a record of a file is known in the output. Lines of Batholith without modelInput name it by its id.
func (f *failedOnly) names(file, id string, input []byte) (names []reuse.Hash) {
	if !f.ours {
		return []reuse.Hash{reuse.HashOf([]byte(id))}
	}
	head := file + "\x00" + id
	if input == nil {
		return []reuse.Hash{reuse.HashOf([]byte(head))}
	}
	return []reuse.Hash{reuse.HashOf(append([]byte(head+"\x00"), input...)), reuse.HashOf([]byte(head))}
}

// answered reads the output below a prefix.
func (f *failedOnly) answered(ctx context.Context, b blob.Bucket, prefix string) error {
	builder := reuse.NewBuilder(f.dir)
	defer builder.Close()
	builder.Source(reuse.Source{})
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return f.c.objects.explain(err, "list the output", b.Name(), prefix)
		}
		name, is := strings.CutSuffix(strings.TrimPrefix(o.Key, prefix), ".out")
		if !is || o.Key == prefix+batholith.ManifestName || o.Key == prefix+batholith.ValidationName || strings.HasPrefix(name, batholith.InternalFolder+"/") {
			continue
		}
		err := eachObjectLine(ctx, b, o, func(line []byte, _ int64) error {
			var l outputLine
			if json.Unmarshal(line, &l) != nil {
				return nil
			}
			id, ok := l.answers()
			if !ok {
				return nil
			}
			return builder.Add(f.names(name, id, l.Input)[0], nil, reuse.Place{})
		})
		if err != nil {
			return f.c.objects.explain(err, "read the output", b.Name(), o.Key)
		}
	}
	file, err := os.CreateTemp(f.dir, "answered-*")
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := builder.Write(file); err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		f.table, err = reuse.Load(file, size, f.dir)
	}
	return err
}

// copy writes the records that have no answer into files below dir, with the names of the input's.
func (f *failedOnly) copy(ctx context.Context, b blob.Bucket, key, outPrefix string) error {
	inputs, err := lifecycle.Inputs(ctx, b, key, outPrefix)
	if err != nil {
		return fmt.Errorf("list the input: %w", err)
	}
	for n, o := range inputs {
		name := strings.TrimPrefix(strings.TrimPrefix(o.Key, key), "/")
		if o.Key == key {
			name = key[strings.LastIndexByte(key, '/')+1:]
		}
		if err := f.copyFile(ctx, b, o, n, name); err != nil {
			return err
		}
	}
	return nil
}

// copyFile does so for one input.
func (f *failedOnly) copyFile(ctx context.Context, b blob.Bucket, o batholith.Object, n int, name string) (err error) {
	path := filepath.Join(f.dir, "input", fmt.Sprintf("%06d.jsonl", n))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	before, bytesWritten := f.failed, int64(0)
	err = eachObjectLine(ctx, b, o, func(line []byte, number int64) error {
		id, input, err := jsonl.ParseOf(bytes.TrimSuffix(line, []byte{'\n'}), f.lines)
		if err != nil {
			return fmt.Errorf("line %d of %s is not a record: %w", number, blob.URI(b, o.Key), err)
		}
		f.records++
		known, err := f.knows(name, n, number, id, input)
		if err != nil || known {
			return err
		}
		f.failed++
		bytesWritten += int64(len(bytes.TrimSuffix(line, []byte{'\n'}))) + 1
		_, err = w.Write(append(bytes.TrimSuffix(line, []byte{'\n'}), '\n'))
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil && f.failed > before {
		f.files = append(f.files, localFile{path: path, key: name, bytes: bytesWritten})
	}
	return err
}

// knows reports whether a record has an answer.
func (f *failedOnly) knows(file string, n int, line int64, id, input []byte) (bool, error) {
	if id == nil {
		if !f.ours {
			return false, nil
		}
		id = []byte(jsonl.MakeID(f.job.id(), n, line))
	}
	for _, h := range f.names(file, string(id), input) {
		if _, ok, err := f.table.Find(h, nil, 0); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// eachObjectLine calls do for the lines of an object that are not blank, with their numbers from 1.
func eachObjectLine(ctx context.Context, b blob.Bucket, o batholith.Object, do func(line []byte, number int64) error) error {
	body := blob.NewReader(ctx, b, o.Key, o.ETag, 0, o.Bytes)
	defer body.Close()
	r := bufio.NewReaderSize(body, 256<<10)
	for number := int64(1); ; number++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte{0xef, 0xbb, 0xbf})
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if err := do(line, number); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// silentLine begins a line of Batholith's output that has no modelInput.
var silentLine = regexp.MustCompile(`^\{"recordId":"(?:[^"\\]|\\.)*","(?:modelOutput|error)":`)

// withoutEcho reports whether the output of a job is known to have no modelInput in its lines. It looks at the first line of the first file.
func (c *clients) withoutEcho(ctx context.Context, j jobFacts) bool {
	if c.objects == nil || c.objects.keyID == "" {
		return false
	}
	bucket, key, err := object.ParseURI(j.Output)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	b, prefix := c.objects.store.Bucket(bucket, object.Options{}), object.Below(key)+j.id()+"/"
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return false
		}
		if !strings.HasSuffix(o.Key, inputSuffix+".out") || o.Bytes == 0 || strings.HasPrefix(o.Key, prefix+batholith.InternalFolder+"/") {
			continue
		}
		head := make([]byte, min(o.Bytes, 4<<10))
		body := blob.NewReader(ctx, b, o.Key, o.ETag, 0, int64(len(head)))
		_, err := io.ReadFull(body, head)
		body.Close()
		return err == nil && silentLine.Match(head)
	}
	return false
}
