package lifecycle

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

func TestValidationNamesCauseAndPlace(t *testing.T) {
	for _, c := range []struct {
		name, key string
		files     map[string]string
		limits    func(*batholith.Limits)
		want      []string
	}{
		{"not JSON", "a.jsonl", map[string]string{"a.jsonl": records(2) + "hello\n"}, nil, []string{"1 line is not a valid record", "s3://in/a.jsonl line 3"}},
		{"not an object", "a.jsonl", map[string]string{"a.jsonl": "[1]\n"}, nil, []string{"s3://in/a.jsonl line 1", "object"}},
		{"no modelInput", "a.jsonl", map[string]string{"a.jsonl": `{"recordId":"x"}`}, nil, []string{"line 1", "modelInput"}},
		{"invalid UTF-8", "a.jsonl", map[string]string{"a.jsonl": "{\"modelInput\":{\"a\":\"\xff\"}}\n"}, nil, []string{"line 1", "UTF-8"}},
		{"many bad lines", "a.jsonl", map[string]string{"a.jsonl": strings.Repeat("x\n", 5000)}, nil, []string{"5000 lines are", "line 1", "line 2", "more."}},
		{"in several files", "f/", map[string]string{"f/a.jsonl": "x\n", "f/b.jsonl": records(1), "f/c/d.jsonl": "\n\ny\n"}, nil,
			[]string{"2 lines are", "s3://in/f/a.jsonl line 1", "s3://in/f/c/d.jsonl line 3"}},
		{"empty file", "a.jsonl", map[string]string{"a.jsonl": ""}, nil, []string{"Batch job contains less records (0) than the required minimum of: 1"}},
		{"too few records", "a.jsonl", map[string]string{"a.jsonl": records(7)}, func(l *batholith.Limits) { l.MinRecordsPerJob = 100 },
			[]string{"Batch job contains less records (7) than the required minimum of: 100"}},
		{"too many records in a job", "f", map[string]string{"f/a.jsonl": records(7), "f/b.jsonl": records(7)}, func(l *batholith.Limits) { l.MaxRecordsPerJob = 10 },
			[]string{"more records (14)", "10"}},
		{"too many records in a file", "a.jsonl", map[string]string{"a.jsonl": records(7)}, func(l *batholith.Limits) { l.MaxRecordsPerFile = 5 },
			[]string{"a.jsonl", "more records (7)", "5"}},
		{"file too large", "a.jsonl", map[string]string{"a.jsonl": records(7)}, func(l *batholith.Limits) { l.MaxFileBytes = 50 }, []string{"a.jsonl", "bytes", "50"}},
		{"job too large", "f", map[string]string{"f/a.jsonl": records(7), "f/b.jsonl": records(7)}, func(l *batholith.Limits) { l.MaxJobBytes = 500 }, []string{"together", "500"}},
		{"empty folder", "f/", map[string]string{"f/readme.txt": "hello"}, nil, []string{"no .jsonl file at s3://in/f/"}},
		{"missing object", "nothing.jsonl", nil, nil, []string{"no .jsonl file at s3://in/nothing.jsonl"}},
		{"below a job's working folder", "f/", map[string]string{"f/a.jsonl": records(2), "f/.batholith/x.jsonl": records(2)}, nil,
			[]string{"The input s3://in/f/.batholith/x.jsonl cannot be part of a job", "folder .batholith", "rename"}},
		{"in place of the manifest", "f", map[string]string{"f/a.jsonl": records(2), "f/manifest.json.out/x.jsonl": records(2)}, nil,
			[]string{"s3://in/f/manifest.json.out/x.jsonl", "the job's manifest"}},
		{"below another's output", "f/", map[string]string{"f/a.jsonl": records(2), "f/a.jsonl.out/x.jsonl": records(2)}, nil,
			[]string{"s3://in/f/a.jsonl.out/x.jsonl", `the output of "a.jsonl"`}},
		{"of a former version, with ..", "f/../a.jsonl", map[string]string{"a.jsonl": records(2)}, nil,
			[]string{"The input s3://in/f/../a.jsonl cannot be used", `".."`}},
		{"not named .jsonl", "a.json", map[string]string{"a.json": records(7)}, nil, []string{"does not end in .jsonl"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for key, body := range c.files {
					w.put(key, body)
				}
				if c.limits != nil {
					c.limits(&w.limits)
				}
				defer w.start()()
				w.create(id, c.key)
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusFailed || len(j.Message) > batholith.MaxMessage {
					t.Fatalf("%s, message of %d bytes", j.Status, len(j.Message))
				}
				for _, want := range c.want {
					if !strings.Contains(j.Message, want) {
						t.Errorf("message %q lacks %q", j.Message, want)
					}
				}
				if want := "Submitted Validating Failed"; w.statuses(id) != want || len(w.finals(id)) > 0 {
					t.Errorf("statuses %s, published %v", w.statuses(id), w.finals(id))
				}
			})
		})
	}
}

func TestDeniedRolesAreToldInTheWordsOfAWS(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(op, key string) (bool, error)
		want  string
	}{
		{"read", func(op, key string) (bool, error) {
			if op == "Read" || op == "Head" {
				return false, batholith.ErrAccessDenied
			}
			return true, nil
		}, "Could not validate GetObject permissions to access Amazon S3 bucket: in at key a.jsonl (the role may not do this)"},
		{"write", func(op, key string) (bool, error) {
			if op == "Put" {
				return false, batholith.ErrNoBucket
			}
			return true, nil
		}, "Could not validate PutObject permissions to access Amazon S3 bucket: in at key out/" + id + "/ (the bucket does not exist)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(3))
				w.bucket.Fault = c.fault
				defer w.start()()
				w.create(id, "a.jsonl")
				time.Sleep(2 * firstPatience)
				synctest.Wait()
				if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != c.want {
					t.Errorf("%s: %q, want %q", j.Status, j.Message, c.want)
				}
			})
		})
	}
}

// The bucket takes no segment above 255 bytes, as file systems do: an input of 252 has an output of 256, which nobody could write.
func TestAJobKeepsToTheNamesThatItsBucketTakes(t *testing.T) {
	for _, tt := range []struct {
		bytes, most int
		want        batholith.Status
	}{{251, 255, batholith.StatusScheduled}, {252, 255, batholith.StatusFailed}, {252, 1024, batholith.StatusScheduled}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.bucket.Fault = func(op, key string) (bool, error) {
				if op == "Put" && len(key[strings.LastIndexByte(key, '/')+1:]) > tt.most {
					return false, batholith.ErrRefused
				}
				return true, nil
			}
			name := strings.Repeat("n", tt.bytes-len(".jsonl")) + ".jsonl"
			w.put("f/"+name, records(3))
			defer w.start()()
			w.create(id, "f/")
			w.reach(tt.want)
			if j := w.job(id); j.Status == batholith.StatusFailed && !strings.Contains(j.Message, name+" cannot be part of a job: the name of its output would have 256 bytes") {
				t.Error(j.Message)
			}
		})
	}
}

func TestARoleThatIsGoneFailsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.noRole = true
		defer w.start()()
		w.create(id, "a.jsonl")
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "role/r cannot be used") {
			t.Errorf("%s: %q", j.Status, j.Message)
		}
	})
}

// The plan covers every record once, and what an index says of a record is where its line lies.
func TestThePlanCoversEveryRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("f/b.jsonl", records(1300))
		w.put("f/a.jsonl", "\n"+records(3)+"\n\n")
		w.put("f/n/c.jsonl", strings.TrimSuffix(records(513), "\n"))
		w.put("f/readme.md", "not an input")
		defer w.start()()
		w.create(id, "f/")
		w.reach(batholith.StatusScheduled)
		if want, names := "[f/a.jsonl→a.jsonl.out:3 f/b.jsonl→b.jsonl.out:1300 f/n/c.jsonl→n/c.jsonl.out:513]", w.covers(1816); fmt.Sprint(names) != want {
			t.Errorf("files %v, want %s", names, want)
		}
	})
}

// covers fails the test unless the plan has so many records, each once, and index and checksums are those of the files. It returns the
// files in short.
func (w *world) covers(records int) (names []string) {
	t := w.t
	t.Helper()
	files, err := w.store.Files(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var indexes, inputs [][]byte
	for _, f := range files {
		names = append(names, fmt.Sprintf("%s→%s:%d", f.Key, f.Output, f.Records))
		data, _ := w.bucket.Object(f.Key)
		index, _ := w.bucket.Object(f.Index)
		indexes, inputs = append(indexes, index), append(inputs, data)
		if want := fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))); f.CRC32C != want {
			t.Errorf("%s has the sum %q, want %s", f.Key, f.CRC32C, want)
		}
	}
	chunks, err := w.store.Chunks(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[batholith.RecordKey]bool{}
	for n, c := range chunks {
		if c.N != n {
			t.Errorf("chunk %d has number %d", n, c.N)
		}
		index, data := indexes[c.File], inputs[c.File]
		first, entries, err := jsonl.ReadBlock(index[c.IndexOffset:][:c.IndexBytes])
		if err != nil || first != c.First || len(entries) != c.Count {
			t.Fatalf("block of chunk %d: from %d, %d entries, %v", n, first, len(entries), err)
		}
		for i, e := range entries {
			key := batholith.RecordKey{File: c.File, Record: c.First + int64(i)}
			recordID, _, err := jsonl.Parse(data[e.Offset:][:e.Length])
			if err != nil || string(recordID) != fmt.Sprintf("r%d", key.Record) || seen[key] {
				t.Fatalf("record %v: id %s, seen %v, %v", key, recordID, seen[key], err)
			}
			seen[key] = true
			if e.Offset < c.Offset || e.Offset+int64(e.Length) > c.Offset+c.Bytes {
				t.Fatalf("record %v lies outside of its chunk", key)
			}
		}
	}
	if len(seen) != records {
		t.Errorf("%d records are planned, want %d", len(seen), records)
	}
	return names
}
