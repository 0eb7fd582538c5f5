package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/results"
)

// knows is a server with these jobs.
type knows struct {
	Jobs
	ids  string
	took string // those in its usage
}

func (k knows) Took(_ context.Context, id string) (bool, error) {
	return strings.Contains(k.took, id), nil
}

func (k knows) Knows(_ context.Context, id string) (bool, error) {
	return strings.Contains(k.ids, id), nil
}

// Working files of a job that the server does not know are named once they are old, and never deleted.
func TestWorkingFilesOfUnknownJobsAreNamedAndKept(t *testing.T) {
	client := bucketOf(t)
	for _, key := range []string{"out/recentrecent/.batholith/a.seg", "out/olderolder00/.batholith/a.seg", "out/unknown00000/.batholith/a.seg", "out/unknown00000/.batholith/b.seg", "out/unknown00000/in.jsonl.out",
		"out/ended0000000/in.jsonl.out", "out/someone's-own-folder/.batholith/x", "elsewhere/unknown11111/.batholith/a.seg"} {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, later := range []time.Duration{0, 2 * unknownAfter} {
		d := newDoctor()
		d.o.Fix = true
		d.now = func() time.Time { return time.Now().Add(later) }
		d.recent = []batholith.Job{{ID: "recentrecent", Request: batholith.Request{Output: batholith.Location{URI: "s3://bucket/out/"}}}}
		d.unknown(t.Context(), client, knows{ids: "recentrecent olderolder00"})
		got := d.said(Note)
		switch {
		case later == 0 && len(d.findings) > 0:
			t.Errorf("files that are new: %s", got)
		case later > 0 && (len(d.findings) != 1 || !strings.Contains(got, "2 working files below s3://bucket/out/unknown00000/.batholith/ are of a job that this server does not know")):
			t.Errorf("%+v", d.findings)
		}
	}
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bucket")})
	if err != nil || len(list.Contents) != 8 {
		t.Errorf("%d objects are left, %v", len(list.Contents), err)
	}
}

// With --fix, working files of a job that the server has forgotten are deleted; those of a job that it never had belong to another service.
func TestWorkingFilesOfForgottenJobsAreRemoved(t *testing.T) {
	client := bucketOf(t)
	for _, key := range []string{"out/forgotten000/.batholith/a.seg", "out/forgotten000/.batholith/b.seg", "out/forgotten000/in.jsonl.out", "out/stranger0000/.batholith/a.seg", "out/recentrecent/.batholith/a.seg"} {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		fix  bool
		want int
		said string
	}{
		{false, 5, "batholith doctor --fix"}, {true, 3, "aws s3 rm"},
	} {
		d := newDoctor()
		d.o.Fix = c.fix
		d.now = func() time.Time { return time.Now().Add(2 * unknownAfter) }
		d.recent = []batholith.Job{{ID: "recentrecent", Request: batholith.Request{Output: batholith.Location{URI: "s3://bucket/out/"}}}}
		d.unknown(t.Context(), client, knows{ids: "recentrecent", took: "recentrecent forgotten000"})
		list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("bucket")})
		if err != nil || len(list.Contents) != c.want {
			t.Errorf("fix %t: %d objects are left, %v; want %d", c.fix, len(list.Contents), err, c.want)
		}
		if got := d.said(Note); !strings.Contains(got, "out/stranger0000/.batholith/ are of a job that this server does not know") || !strings.Contains(got, c.said) {
			t.Errorf("fix %t: %s", c.fix, got)
		}
		if got := d.said(Mended); c.fix != strings.Contains(got, "2 working files below s3://bucket/out/forgotten000/.batholith/") {
			t.Errorf("fix %t: mended %s", c.fix, got)
		}
	}
}

// A journal file that was put aside is a leftover if all its jobs are of this service and over.
func TestPutAsideJournalsOfJobsThatAreOverAreRemoved(t *testing.T) {
	for jobs, over := range map[string]bool{"ended0000000": true, "ended0000000 forgotten000": true, "running00000": false, "older0000000": false, "ended0000000 stranger0000": false} {
		for _, fix := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "1.log.foreign")
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := newDoctor()
			d.o.Fix = fix
			d.recent = []batholith.Job{{ID: "ended0000000", Status: batholith.StatusCompleted}, {ID: "running00000", Status: batholith.StatusInProgress}}
			f := results.JournalFile{Path: path, Foreign: true, Jobs: map[string]int{}}
			for _, id := range strings.Fields(jobs) {
				f.Jobs[id]++
			}
			d.aside = []results.JournalFile{f}
			d.asides(t.Context(), knows{ids: "ended0000000 running00000 older0000000", took: "ended0000000 running00000 forgotten000"})
			_, err := os.Stat(path)
			if gone := err != nil; gone != (over && fix) {
				t.Errorf("%s, fix %t: deleted %t", jobs, fix, gone)
			}
			if offered := strings.Contains(d.said(Note), "do: batholith doctor --fix") || strings.Contains(d.said(Note), "batholith doctor --fix"); offered != (over && !fix) {
				t.Errorf("%s, fix %t: %s", jobs, fix, d.said(Note))
			}
		}
	}
}
