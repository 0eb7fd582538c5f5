package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
)

// knows is a server with these jobs.
type knows struct {
	Jobs
	ids string
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
