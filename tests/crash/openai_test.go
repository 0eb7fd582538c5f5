package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/tests/harness"
)

// A batch of OpenAI's API, over an uploaded file.
type apiBatch struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Output string `json:"output_file_id"`
	Errors string `json:"error_file_id"`
	Counts struct {
		Total, Completed, Failed int
	} `json:"request_counts"`
}

// askAPI sends a request to OpenAI's API. The connection may break: then the server died.
func (d *death) askAPI(method, path, kind string, body []byte, key string) ([]byte, error) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.s.At.Bedrock+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+sigv4.BearerOf(d.s.At.AccessKeyID, d.s.At.SecretAccessKey))
	req.Header.Set("Content-Type", kind)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return text, err
}

// badRecord is how many records of a batch there are for each that fails.
const badRecord = 10

// apiLines are the input lines of a batch.
func (d *death) apiLines() []byte {
	var b bytes.Buffer
	for n := range d.each {
		messages := fmt.Sprintf(`[{"role":"user","content":"p%d"}]`, n)
		if n%badRecord == badRecord-1 {
			messages = "3"
		}
		fmt.Fprintf(&b, `{"custom_id":"r%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":%s}}`+"\n", n, messages)
	}
	return b.Bytes()
}

// uploadFile uploads the input and returns its id.
func (d *death) uploadFile(fields ...string) (id string, err error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "day.jsonl")
	if err == nil {
		_, err = part.Write(d.apiLines())
	}
	if err == nil {
		err = w.WriteField("purpose", "batch")
	}
	for i := 0; err == nil && i < len(fields); i += 2 {
		err = w.WriteField(fields[i], fields[i+1])
	}
	if err != nil || w.Close() != nil {
		d.t.Fatal(err)
	}
	said, err := d.askAPI(http.MethodPost, "/v1/files", w.FormDataContentType(), form.Bytes(), "")
	if err != nil {
		return "", err
	}
	var f struct{ ID string }
	return f.ID, json.Unmarshal(said, &f)
}

// batchOnItsWay dies while a batch goes to its end. Its client asks for it again with the same Idempotency-Key and gets the same one. Every record
// has one line, in the file of answers or in that of errors, in the order of the input.
func (d *death) batchOnItsWay() {
	harness.EmbeddedS3Only(d.t)
	d.each = 300
	d.begin(5*time.Millisecond, "")
	if !d.s.StartTo(d.point) {
		d.t.Fatalf("the server ended at its start\n%s", d.s.Log())
	}
	file, err := d.uploadFile()
	if strings.HasPrefix(d.point, "openai.file-stored") {
		if err == nil {
			d.t.Error("the answer came all the same")
		}
		d.s.Died()
		d.s.Start()
		said, err := d.askAPI(http.MethodGet, "/v1/files", "", nil, "")
		var list struct {
			Data []struct {
				ID    string
				Bytes int
			}
		}
		if err != nil || json.Unmarshal(said, &list) != nil || len(list.Data) != 1 || list.Data[0].Bytes != len(d.apiLines()) {
			d.t.Fatalf("the files are %s, %v; want the whole file, whose client has not heard of it", said, err)
		}
		file = list.Data[0].ID
	} else if err != nil {
		d.t.Fatal(err)
	}
	ask := fmt.Appendf(nil, `{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, file)
	create := func() (b apiBatch, err error) {
		said, err := d.askAPI(http.MethodPost, "/v1/batches", "application/json", ask, "once")
		if err == nil {
			err = json.Unmarshal(said, &b)
		}
		return b, err
	}
	first, err := create()
	if !strings.HasPrefix(d.point, "openai.file-stored") {
		if err != nil {
			d.t.Logf("the server died before the answer came: %v", err)
		}
		d.s.Died()
		d.s.Start()
	}
	b, err := create()
	if err != nil || first.ID != "" && first.ID != b.ID {
		d.t.Fatalf("the repeated request made %q, and the first %q, %v", b.ID, first.ID, err)
	}
	for late := time.Now().Add(time.Minute); b.Status != "completed"; {
		said, err := d.askAPI(http.MethodGet, "/v1/batches/"+b.ID, "", nil, "")
		if err != nil || json.Unmarshal(said, &b) != nil || time.Now().After(late) || b.Status == "failed" {
			d.t.Fatalf("the batch: %s, %v", said, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	bad := d.each / badRecord
	if b.Counts.Total != d.each || b.Counts.Completed != d.each-bad || b.Counts.Failed != bad {
		d.t.Errorf("the counts are %+v", b.Counts)
	}
	d.apiOutput(b.Output, 200, func(n int) bool { return n%badRecord != badRecord-1 })
	d.apiOutput(b.Errors, 400, func(n int) bool { return n%badRecord == badRecord-1 })
	all, prompts, _ := d.w.Requests()
	if prompts != d.each-bad || all-prompts > slots {
		d.t.Errorf("%d records asked, %d repeats", prompts, all-prompts)
	}
}

// fileThatExpires dies while such a file is uploaded or deleted. What is left is no file, and hinders nothing.
func (d *death) fileThatExpires() {
	harness.EmbeddedS3Only(d.t)
	d.each = 10
	d.begin(0, "")
	d.s.StartTo(d.point)
	expires := []string{"expires_after[anchor]", "created_at", "expires_after[seconds]", "3600"}
	id, err := d.uploadFile(expires...)
	if strings.HasPrefix(d.point, "openai.file-deleted") {
		if err != nil {
			d.t.Fatal(err)
		}
		_, err = d.askAPI(http.MethodDelete, "/v1/files/"+id, "", nil, "")
	}
	if err == nil {
		d.t.Error("the answer came all the same")
	}
	d.s.Died()
	d.s.Start()
	files := func() (list struct {
		Data []struct {
			ID      string
			Created int `json:"created_at"`
			Expires int `json:"expires_at"`
		}
	}) {
		said, err := d.askAPI(http.MethodGet, "/v1/files", "", nil, "")
		if err != nil || json.Unmarshal(said, &list) != nil {
			d.t.Fatalf("the files: %s, %v", said, err)
		}
		return list
	}
	if list := files(); len(list.Data) > 0 {
		d.t.Errorf("the files are %+v; want none", list)
	}
	if id, err = d.uploadFile(expires...); err != nil {
		d.t.Fatal(err)
	}
	if list := files(); len(list.Data) != 1 || list.Data[0].ID != id || list.Data[0].Expires != list.Data[0].Created+3600 {
		d.t.Errorf("the files are %+v; want %s", list, id)
	}
}

// batchIsCancelled dies while the output of a cancelled batch is written. Each request has one line: its answer, its error, or that it was never
// sent.
func (d *death) batchIsCancelled() {
	harness.EmbeddedS3Only(d.t)
	d.each = 3000
	d.begin(20*time.Millisecond, "")
	if !d.s.StartTo(d.point) {
		d.t.Fatalf("the server ended at its start\n%s", d.s.Log())
	}
	file, err := d.uploadFile()
	if err != nil {
		d.t.Fatal(err)
	}
	var b apiBatch
	get := func(method, path string, body []byte) error {
		said, err := d.askAPI(method, path, "application/json", body, "")
		if err == nil {
			err = json.Unmarshal(said, &b)
		}
		return err
	}
	if err := get(http.MethodPost, "/v1/batches", fmt.Appendf(nil, `{"input_file_id":%q,"endpoint":"/v1/chat/completions","completion_window":"24h"}`, file)); err != nil {
		d.t.Fatal(err)
	}
	d.w.Await(d.t, 100)
	_ = get(http.MethodPost, "/v1/batches/"+b.ID+"/cancel", nil) // it may die before the answer
	d.s.Died()
	d.s.Start()
	for late := time.Now().Add(time.Minute); b.Status != "cancelled"; time.Sleep(20 * time.Millisecond) {
		if err := get(http.MethodGet, "/v1/batches/"+b.ID, nil); err != nil || time.Now().After(late) {
			d.t.Fatalf("the batch: %+v, %v", b, err)
		}
	}
	answered, untried := d.apiIDs(b.Output, `"error":null`), d.apiIDs(b.Errors, `"code":"batch_cancelled"`)
	both := map[string]bool{}
	for _, id := range append(append(slices.Clone(answered), untried...), d.apiIDs(b.Errors, `"status_code":400`)...) {
		both[id] = true
	}
	if len(answered) == 0 || len(untried) == 0 || len(both) != d.each || b.Counts.Completed != len(answered) || b.Counts.Failed != d.each-len(answered) || b.Counts.Total != d.each {
		d.t.Errorf("%d answers, %d lines of requests that were never sent, %d ids; the batch counts %+v", len(answered), len(untried), len(both), b.Counts)
	}
	for _, id := range untried {
		if slices.Contains(answered, id) {
			d.t.Errorf("%s has two lines", id)
		}
	}
	if lines := len(d.apiIDs(b.Output, "")) + len(d.apiIDs(b.Errors, "")); lines != d.each {
		d.t.Errorf("%d lines for %d requests", lines, d.each)
	}
}

// apiIDs are the ids of the lines of an output that contain a text.
func (d *death) apiIDs(file, with string) (ids []string) {
	d.t.Helper()
	text, err := d.askAPI(http.MethodGet, "/v1/files/"+file+"/content", "", nil, "")
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l struct {
			ID string `json:"custom_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.ID == "" {
			d.t.Fatalf("%s has the line %s", file, line)
		}
		if strings.Contains(line, with) {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// apiOutput checks that an output has one line for each record that is to be in it, in order.
func (d *death) apiOutput(file string, status int, in func(n int) bool) {
	d.t.Helper()
	text, err := d.askAPI(http.MethodGet, "/v1/files/"+file+"/content", "", nil, "")
	if err != nil {
		d.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	at := 0
	for n := range d.each {
		if !in(n) {
			continue
		}
		var l struct {
			ID       string `json:"custom_id"`
			Response struct {
				Status int             `json:"status_code"`
				Body   json.RawMessage `json:"body"`
			} `json:"response"`
		}
		if at == len(lines) || json.Unmarshal([]byte(lines[at]), &l) != nil || l.ID != fmt.Sprintf("r%d", n) || l.Response.Status != status ||
			status == 200 && !strings.Contains(string(l.Response.Body), fmt.Sprintf("answer to p%d\"", n)) {
			d.t.Fatalf("%s: line %d is not of r%d: %s", file, at+1, n, lines[min(at, len(lines)-1)])
		}
		at++
	}
	if at != len(lines) {
		d.t.Errorf("%s has %d lines; want %d", file, len(lines), at)
	}
}
