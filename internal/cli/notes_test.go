package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/plain"
)

// The commands show what the server tells beside Bedrock's members, which the SDK drops; of a service that tells nothing, nothing.
func TestCommandsShowTheNotesOfJobs(t *testing.T) {
	job := func(id string, more map[string]any) map[string]any {
		j := map[string]any{"jobArn": "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/" + id, "jobName": "n-" + id, "roleArn": "r",
			"modelId": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "submitTime": "2026-01-02T03:04:05.000Z",
			"inputDataConfig":  map[string]any{"s3InputDataConfig": map[string]any{"s3Uri": "s3://b/in"}},
			"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": "s3://b/out"}}, "totalRecordCount": 5}
		for k, v := range more {
			j[k] = v
		}
		return j
	}
	jobs := []map[string]any{
		job("waiting00000", map[string]any{"status": "Scheduled", "batholith": map[string]any{"note": "Number 2 waits.", "queuePosition": 2, "expectedEnd": "2026-01-02T04:00:00.000Z"}}),
		job("failed000000", map[string]any{"status": "Failed", "message": "The bucket is gone."}),
		job("plain0000000", map[string]any{"status": "InProgress"}),
		job("odd000000000", map[string]any{"status": "Completed", "batholith": "no object"}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/model-invocation-jobs") {
			_ = json.NewEncoder(w).Encode(map[string]any{"invocationJobSummaries": jobs})
			return
		}
		for _, j := range jobs {
			if strings.HasSuffix(r.URL.Path, j["jobArn"].(string)) || strings.HasSuffix(j["jobArn"].(string), r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):]) {
				_ = json.NewEncoder(w).Encode(j)
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_BEDROCK": server.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"} {
		t.Setenv(name, value)
	}
	for _, c := range []struct {
		args      []string
		want, not []string
	}{
		{[]string{"jobs"}, []string{"amazon.nova-lite-v1:0 ", "0/5 0%, number 2 in the queue"}, []string{"foundation-model"}},
		{[]string{"jobs", "--json"}, []string{`"note": "Number 2 waits."`, `"queuePosition": 2`, `"message": "The bucket is gone."`}, []string{`"note": ""`}},
		{[]string{"get", "waiting00000"}, []string{"note ", "Number 2 waits."}, []string{"message"}},
		{[]string{"get", "waiting00000", "--json"}, []string{`"expectedEnd": "2026-01-02T04:00:00Z"`}, []string{`"message"`}},
		{[]string{"get", "failed000000"}, []string{"message ", "The bucket is gone."}, []string{"note "}},
		{[]string{"get", "plain0000000"}, []string{"InProgress"}, []string{"note ", "message "}},
		{[]string{"get", "plain0000000", "--json"}, []string{"InProgress"}, []string{"batholith\":"}},
		{[]string{"get", "odd000000000"}, []string{"Completed"}, []string{"note "}},
	} {
		var b bytes.Buffer
		w := plain.NewWriter(&b)
		a := &app{stdout: w, stderr: w}
		a.complain(a.execute(t.Context(), c.args))
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", strings.Join(c.args, " "), want, b.String())
			}
		}
		for _, not := range c.not {
			if strings.Contains(b.String(), not) {
				t.Errorf("%s has %q:\n%s", strings.Join(c.args, " "), not, b.String())
			}
		}
	}
}
