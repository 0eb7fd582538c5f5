package preview

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

func TestALineIsReadInBothForms(t *testing.T) {
	for line, want := range map[string]Line{
		`{"recordId":"a","modelInput":{"n":1},"modelOutput":{"m":2}}`:                                                                                  {ID: "a", Input: []byte(`{"n":1}`), Output: []byte(`{"m":2}`)},
		`{"recordId":"a","modelInput":{"n":1},"error":{"errorCode":400,"errorMessage":"wrong"}}`:                                                       {ID: "a", Input: []byte(`{"n":1}`), Error: &batholith.RecordError{Code: 400, Message: "wrong"}},
		`{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":"req_1","body":{"error":null}},"error":null}`:                  {ID: "a", Output: []byte(`{"error":null}`)},
		`{"id":"batch_req_1","custom_id":"a","response":{"status_code":400,"request_id":"req_1","body":{"error":{"message":"wrong"}}},"error":null}`:   {ID: "a", Error: &batholith.RecordError{Code: 400, Message: "wrong"}},
		`{"id":"batch_req_1","custom_id":null,"response":null,"error":{"code":"batch_expired","message":"The completion window of the batch ended."}}`: {Untried: "The completion window of the batch ended."},
	} {
		got, err := ParseLine([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", line, d)
		}
	}
	if _, err := ParseLine([]byte(`{"recordId":`)); err == nil {
		t.Error("a line that is not JSON is read")
	}
}
