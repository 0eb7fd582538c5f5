package results

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batholith/batholith"
)

// The books of a job have every record of its whole segments once, whatever else is in the folder: segments and the run that was made of a part
// of them, an object of another job, a damaged one, one of another plan.
func TestTheBooksOfARestoredJobHaveEachRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plan("job", 10, 60, 40)
		w.plan("other", 10, 20)
		fill(t, w, "job", 13, nil, 1)
		fill(t, w, "other", 13, nil, 1)
		segs, err := w.Segments(t.Context(), "job")
		check(t, err)
		others, err := w.Segments(t.Context(), "other")
		check(t, err)
		folder := "out/job/" + segmentFolder

		// A run of three segments, of which one is still there: two of the database's segments were merged after the backup.
		m, err := merge(t.Context(), w.bucket, segs[:3], false)
		check(t, err)
		var run bytes.Buffer
		sw := newSegmentWriter(&run, "job", folder+"run", 1)
		for o, err := m.next(); err == nil; o, err = m.next() {
			check(t, sw.add(o))
		}
		_, err = sw.end()
		check(t, err)
		check(t, w.bucket.Put(t.Context(), folder+"run", run.Bytes()))
		check(t, w.bucket.Delete(t.Context(), segs[0].Key, segs[1].Key))
		// What must not count.
		foreign, _ := w.bucket.Object(others[0].Key)
		check(t, w.bucket.Put(t.Context(), folder+"foreign", foreign))
		whole, _ := w.bucket.Object(segs[3].Key)
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 1
		check(t, w.bucket.Put(t.Context(), folder+"damaged", damaged))
		check(t, w.bucket.Put(t.Context(), folder+"cut", whole[:len(whole)-3]))
		check(t, w.bucket.Put(t.Context(), folder+"nothing", nil))

		p := NewPublisher(PublisherOptions{Store: w, Open: w.open})
		b, err := p.Books(t.Context(), w.job("job", batholith.StatusInProgress))
		check(t, err)
		if b.Counts.Processed != 100 || b.Counts.Succeeded+b.Counts.Errored != 100 || b.Missing != 2 || b.Ended != nil {
			t.Errorf("the books: %+v, %d missing", b.Counts, b.Missing)
		}
		for n, d := range b.Done {
			if !d.All || d.Records.Len() != 10 {
				t.Errorf("chunk %d has %d records", n, d.Records.Len())
			}
		}
		seen := map[batholith.RecordKey]int{}
		for _, g := range b.Segments {
			if strings.Contains(g.Key, "foreign") || strings.Contains(g.Key, "damaged") || strings.Contains(g.Key, "cut") {
				t.Errorf("%s is in the books", g.Key)
			}
			r, err := openSegment(t.Context(), w.bucket, g, partBytes) // checks length, sum and number as a publisher does
			check(t, err)
			for err = r.next(); err == nil; err = r.next() {
				seen[r.now.Key]++
			}
			if err.Error() != "EOF" {
				t.Errorf("segment %s: %v", g.Key, err)
			}
		}
		for k, n := range seen {
			if n != 1 {
				t.Errorf("record %v is %d times in the segments", k, n)
			}
		}
		if len(seen) != 100 {
			t.Errorf("%d records in the segments", len(seen))
		}
	})
}

// A manifest of this job says that it has ended; that of another job, of a job that runs, or no JSON says nothing.
func TestOnlyItsOwnManifestEndsARestoredJob(t *testing.T) {
	w := newWorld()
	w.plan("job", 10, 20)
	job := w.job("job", batholith.StatusInProgress)
	p := NewPublisher(PublisherOptions{Store: w, Open: w.open})
	manifest := func(arn string, s batholith.Status) []byte {
		text, err := json.Marshal(batholith.Manifest{TotalRecordCount: 20, ProcessedRecordCount: 20, Batholith: batholith.ManifestDetail{JobARN: arn, Status: s}})
		check(t, err)
		return text
	}
	own := job.ARN().String()
	for text, ends := range map[string]bool{
		"":      false,
		"{nope": false,
		string(manifest(own, batholith.StatusCompleted)):                  true,
		string(manifest(own, batholith.StatusStopped)):                    true,
		string(manifest(own, batholith.StatusInProgress)):                 false,
		string(manifest(own+"x", batholith.StatusCompleted)):              false,
		string(manifest(own, batholith.StatusCompleted)[:len("{totalR")]): false,
	} {
		check(t, w.bucket.Put(t.Context(), "out/job/"+batholith.ManifestName, []byte(text)))
		b, err := p.Books(t.Context(), job)
		check(t, err)
		if (b.Ended != nil) != ends {
			t.Errorf("the manifest %q: ended %v", text, b.Ended)
		}
	}
}
