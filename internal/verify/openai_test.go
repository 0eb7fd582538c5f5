package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

// cancelledBatch is a job in OpenAI's lines that was stopped: an answer, an error, and two records that were never tried. The id of the last one
// could not be read again.
func cancelledBatch(t *testing.T) *verified {
	v := &verified{status: batholith.StatusStopped}
	code, message := v.status.Untried()
	for i := range 4 {
		id, key := fmt.Appendf(nil, "r%d", i), batholith.RecordKey{Record: int64(i)}
		v.input = append(v.input, fmt.Sprintf(`{"recordId":"%s","modelInput":{"n":%d}}`, id, i))
		var line []byte
		switch i {
		case 0:
			line = jsonl.AppendOutput(nil, id, []byte(`{"n":0}`), []byte(`{"usage":{"prompt_tokens":3,"completion_tokens":2}}`))
		case 1:
			line = jsonl.AppendError(nil, id, []byte(`{"n":1}`), &batholith.RecordError{Code: 400, Message: "wrong"})
		case 2:
			v.errs = append(v.errs, string(jsonl.AppendUntried(nil, verifiedID, key, id, code, message)))
			continue
		default:
			v.errs = append(v.errs, string(jsonl.AppendUntried(nil, verifiedID, key, nil, code, message)))
			continue
		}
		line, err := jsonl.AppendOpenAI(nil, verifiedID, key, line)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			v.output = append(v.output, string(line))
		} else {
			v.errs = append(v.errs, string(line))
		}
	}
	return v
}

func TestRecordsThatWereNeverTriedHaveTheirLine(t *testing.T) {
	found, said := cancelledBatch(t).check(t)
	if !found.OK || said != "" || found.Records != 4 || found.Answers != 1 || found.Errors != 1 || found.Unprocessed != 2 {
		t.Errorf("%+v\n%s", found, said)
	}
	for name, c := range map[string]struct {
		change func(*verified)
		want   string
	}{
		"another message":    {func(v *verified) { v.errs[1] = strings.Replace(v.errs[1], "before", "after", 1) }, "in.jsonl.err:2: "},
		"the code of expiry": {func(v *verified) { v.errs[2] = strings.Replace(v.errs[2], "batch_cancelled", "batch_expired", 1) }, "in.jsonl.err:3: "},
		"a line too few":     {func(v *verified) { v.errs = v.errs[:2] }, "in.jsonl:4: "},
		"a completed job":    {func(v *verified) { v.status = batholith.StatusCompleted }, "in.jsonl.err:2: "},
	} {
		v := cancelledBatch(t)
		c.change(v)
		if found, said := v.check(t); found.OK || !strings.Contains(said, c.want) {
			t.Errorf("%s: without %q\n%s", name, c.want, said)
		}
	}
}
