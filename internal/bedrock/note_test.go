package bedrock

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// notes answers Get and List with a note.
type notes struct {
	Service
	note string
}

func (s notes) GetModelInvocationJob(context.Context, *GetModelInvocationJobInput) (*GetModelInvocationJobOutput, error) {
	return &GetModelInvocationJobOutput{JobARN: testARN, Batholith: &JobNotes{Note: s.note, QueuePosition: 3,
		ExpectedEnd: Timestamp{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}}, nil
}

func (s notes) ListModelInvocationJobs(context.Context, *ListModelInvocationJobsInput) (*ListModelInvocationJobsOutput, error) {
	return &ListModelInvocationJobsOutput{InvocationJobSummaries: []JobSummary{{JobARN: testARN, Batholith: &JobNotes{Note: s.note}}, {}}}, nil
}

func TestANoteIsInAMemberAndOfGetInAHeader(t *testing.T) {
	for _, note := range []string{"", "Plain.", "50 % of größe\r\nX-Evil: 1\x00\x7f…", " ends ", strings.Repeat("é", 1000), strings.Repeat("x", 2048), "%", "\xff"} {
		var log bytes.Buffer
		h := NewHandler(notes{note: note}, Options{Authenticate: func(*http.Request, []byte) (Caller, error) { return Caller{}, nil },
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		ask := func(path string) *http.Response {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			return w.Result()
		}
		get := ask("/model-invocation-job/" + testID)
		var answer struct{ Batholith map[string]any }
		if err := json.NewDecoder(get.Body).Decode(&answer); err != nil || answer.Batholith["queuePosition"] != 3.0 || answer.Batholith["expectedEnd"] != "2026-01-02T03:04:05.000Z" {
			t.Fatalf("%q: %v, %v", note, answer, err)
		}
		told, _ := answer.Batholith["note"].(string)
		if told != strings.ToValidUTF8(note, "\ufffd") {
			t.Errorf("%q: the member says %q", note, told)
		}
		value := get.Header.Get("X-Batholith-Note")
		said, err := url.PathUnescape(value)
		whole := strings.TrimSpace(note)
		cut, long := strings.CutSuffix(said, "…")
		if err != nil || said != whole && !(long && len(value) <= 1024 && len(value) > 1000 && strings.HasPrefix(whole, cut) && utf8.ValidString(cut)) {
			t.Errorf("%q: the header says %q, %v", note, value, err)
		}
		for _, c := range []byte(value) {
			if c < ' ' || c > '~' {
				t.Errorf("%q: the header holds %q", note, c)
			}
		}
		if list := ask("/model-invocation-jobs"); list.Header.Get("X-Batholith-Note") != "" {
			t.Errorf("a list has the header %v", list.Header)
		}
		if len(note) > 3 && strings.Contains(log.String(), note[:4]) {
			t.Errorf("%q is in the log: %s", note, &log)
		}
	}
}
