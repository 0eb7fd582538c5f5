package lifecycle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

const listKey = "out/" + id + "/" + batholith.ValidationName

// listed reads a job's list of bad lines.
func (w *world) listed() (head batholith.ValidationHead, lines []batholith.InvalidLine) {
	w.t.Helper()
	body, ok := w.bucket.Object(listKey)
	if !ok {
		w.t.Fatalf("there is no list among %v", w.bucket.Keys())
	}
	sc := bufio.NewScanner(bytes.NewReader(body))
	for n := 0; sc.Scan(); n++ {
		into := any(&head)
		if n > 0 {
			lines = append(lines, batholith.InvalidLine{})
			into = &lines[n-1]
		}
		dec := json.NewDecoder(bytes.NewReader(sc.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			w.t.Fatalf("line %d: %v", n+1, err)
		}
	}
	return head, lines
}

func TestEveryBadLineIsListedBesideTheManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("f/a.jsonl", records(2)+"x\n")
		w.put("f/b.jsonl", records(3))
		w.put("f/c.jsonl", "\n{\"modelInput\":\"<p>\"}\n")
		defer w.start()()
		w.create(id, "f/")
		synctest.Wait()
		head, lines := w.listed()
		wantHead := batholith.ValidationHead{Version: 1, JobARN: w.job(id).ARN().String(), Files: 3, Records: 5, Invalid: 2, Listed: 2}
		wantLines := []batholith.InvalidLine{
			{File: "s3://in/f/a.jsonl", Line: 3, Offset: int64(len(records(2))), Reason: `the line is not JSON; expected is one object {"recordId": "…", "modelInput": {…}} on a line`},
			{File: "s3://in/f/c.jsonl", Line: 2, Offset: 1, Column: 15, Reason: "column 15: modelInput is a string; expected is an object"}}
		if diff := cmp.Diff(wantHead, head) + cmp.Diff(wantLines, lines); diff != "" {
			t.Error(diff)
		}
		if m := w.job(id).Message; !strings.HasSuffix(m, " All of them: s3://in/"+listKey) {
			t.Errorf("the message does not name the list: %s", m)
		}
	})
}

// Many files end in any order, and only the first thousand lines are kept: always the same.
func TestTheListHoldsTheFirstThousandLinesInTheOrderOfTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 30 {
			w.put(fmt.Sprintf("f/%02d.jsonl", i), strings.Repeat("x\n"+records(1), 100+i))
		}
		defer w.start()()
		w.create(id, "f/")
		synctest.Wait()
		head, lines := w.listed()
		want := int64(30*100 + 29*30/2)
		if head.Invalid != want || head.Records != want || head.Listed != 1000 || len(lines) != 1000 {
			t.Fatalf("%+v, %d lines", head, len(lines))
		}
		if !slices.IsSortedFunc(lines, func(a, b batholith.InvalidLine) int {
			return strings.Compare(fmt.Sprintf("%s%09d", a.File, a.Line), fmt.Sprintf("%s%09d", b.File, b.Line))
		}) {
			t.Error("the list is not in order")
		}
		if last := lines[999]; last.File != "s3://in/f/09.jsonl" || last.Line != 2*63+1 { // 100 + … + 108 come before
			t.Errorf("the last one is %s line %d", last.File, last.Line)
		}
		if m := w.job(id).Message; !strings.HasSuffix(m, fmt.Sprintf(" more. The first 1000 of them: s3://in/%s", listKey)) || len(m) > batholith.MaxMessage {
			t.Errorf("message of %d bytes: %s", len(m), m)
		}
	})
}

func TestAJobWithoutBadLinesHasNoList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(3))
		defer w.start()()
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusScheduled)
		if _, ok := w.bucket.Object(listKey); ok {
			t.Error("there is a list")
		}
	})
}

func TestAListThatMayNotBeWrittenIsNotNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", "x\n")
		w.bucket.Fault = func(op, key string) (bool, error) {
			if op == "Put" && key == listKey {
				return false, batholith.ErrAccessDenied
			}
			return true, nil
		}
		defer w.start()()
		w.create(id, "a.jsonl")
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || strings.Contains(j.Message, batholith.ValidationName) || !strings.Contains(j.Message, "a.jsonl line 1") {
			t.Errorf("%s: %s", j.Status, j.Message)
		}
	})
}

// Two long keys leave no room for both: the line is told, not the list.
func TestTheMessageHasRoomForTheFirstLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := strings.Repeat("k", 990) + ".jsonl"
		w.put(key, strings.Repeat("x\n", 50))
		defer w.start()()
		w.create(id, key)
		synctest.Wait()
		j := w.job(id)
		if len(j.Message) > batholith.MaxMessage || !strings.Contains(j.Message, key+" line 1: ") || !strings.Contains(j.Message, " more.") {
			t.Errorf("message of %d bytes: %s", len(j.Message), j.Message)
		}
	})
}

// A file of several ranges is planned as it lies: records, lines and blocks go on from one range to the next.
func TestThePlanOfALargeFileGoesOnOverItsRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		line := `{"recordId":"r%d","modelInput":{"a":"` + strings.Repeat("x", 20_000) + `"}}` + "\n"
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, line, i)
		}
		w.put("a.jsonl", b.String())
		defer w.start()()
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusScheduled)
		w.covers(500)
	})
}

// Keys and what is said of lines keep to their line of the message, and no control character is in it.
func TestAMessageKeepsToItsLineWhateverAKeyHolds(t *testing.T) {
	for name, tt := range map[string]struct {
		key, body string
		want      []string
	}{
		"bad lines":  {"f/\x1b[2Ja\n\u202e.jsonl", "x\n", []string{`f/\u001b[2Ja\n\u202e.jsonl line 1: `}},
		"no records": {"f/\r\nbatholith: error: x.json", "", []string{"no .jsonl file"}},
		"reserved":   {"f/.batholith/\x7f\u2028.jsonl", "x\n", []string{`f/.batholith/\u007f\u2028.jsonl cannot be part`}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put(tt.key, tt.body)
				defer w.start()()
				w.create(id, "f/")
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusFailed || strings.ContainsAny(j.Message, "\x1b\r\n\x7f\u202e\u2028") {
					t.Errorf("%s: %q", j.Status, j.Message)
				}
				for _, want := range tt.want {
					if !strings.Contains(j.Message, want) {
						t.Errorf("%q lacks %q", j.Message, want)
					}
				}
			})
		})
	}
}
