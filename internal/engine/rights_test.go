package engine

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// calls are those of a bucket that a right of S3 covers.
var calls = map[string][]string{
	"s3:ListBucket":                 {"List"},
	"s3:GetObject":                  {"Head", "Read"},
	"s3:PutObject":                  {"Put", "CreateUpload", "UploadPart", "CompleteUpload"},
	"s3:DeleteObject":               {"Delete"},
	"s3:AbortMultipartUpload":       {"AbortUpload"},
	"s3:ListBucketMultipartUploads": {"ListUploads"},
}

// right is a row of the table of rights in docs/operations.md: | `right` | input or output | phase | status: what happens without it |.
type right struct {
	name, bucket string
	status       batholith.Status
}

func rightsOfTheDocs(t *testing.T) (rights []right) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`s3:") {
			status, _, _ := strings.Cut(strings.TrimSpace(cells[4]), ":")
			rights = append(rights, right{strings.Trim(strings.TrimSpace(cells[1]), "`"), strings.TrimSpace(cells[2]), batholith.Status(status)})
		}
	}
	return rights
}

// A job whose role lacks one right ends as docs/operations.md says, and the table has every right that a job uses: with those of the table and
// no others, a job completes and leaves nothing.
func TestARoleNeedsTheRightsThatTheDocsName(t *testing.T) {
	rights := rightsOfTheDocs(t)
	if len(rights) < 7 {
		t.Fatalf("the docs have a table of %d rights", len(rights))
	}
	granted := func(op, key string, except right) bool {
		bucket := "output"
		if strings.HasPrefix(key, "in/") {
			bucket = "input"
		}
		for _, r := range rights {
			for _, covered := range calls[r.name] {
				if covered == op && r.bucket == bucket && r != except {
					return true
				}
			}
		}
		return false
	}
	for _, missing := range append(rights, right{"none", "", batholith.StatusCompleted}) {
		t.Run(strings.ReplaceAll(missing.name, ":", " ")+" "+missing.bucket, func(t *testing.T) {
			simulate(t, 1, simSetup{calm: true, latency: 10 * time.Millisecond, failures: &simlm.Failures{}}, func(s *simulation) {
				j := s.create("m0", 24*time.Hour, 10)
				s.bucket.Fault = func(op, key string) (bool, error) {
					if granted(op, key, missing) {
						return true, nil
					}
					return false, batholith.ErrAccessDenied
				}
				w := s.worker("w")
				w.start()
				time.Sleep(13 * time.Minute) // a denial of what worked before is waited for, for ten
				synctest.Wait()
				job, err := s.db.Job(s.t.Context(), simAccount, j.id)
				if err != nil {
					s.t.Fatal(err)
				}
				if job.Status != missing.status {
					s.t.Errorf("the job is %s, %q %q; the docs say %s", job.Status, job.Message, job.Note, missing.status)
				}
				s.bucket.Fault = nil
				w.stop()
				if missing.name == "none" {
					if keys := s.bucket.Keys(); len(keys) != 3 || len(s.bucket.OpenUploads()) > 0 { // input, output, manifest
						s.t.Errorf("%v is left", keys)
					}
				}
			})
		})
	}
}
