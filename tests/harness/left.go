package harness

import (
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// running are the tables with rows that only a running job needs.
var running = []string{"files", "chunks", "segments", "uploads", "reservations"}

// Rows counts the rows of the running tables. After the end of all jobs there must be none.
func (s *Server) Rows() (n int) { return s.count(running...) }

// count counts the rows of tables.
func (s *Server) count(tables ...string) (n int) {
	s.t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(s.Data, "batholith.db"), RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}).String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for _, table := range tables {
		var rows int
		if err := db.QueryRow("SELECT count(*) FROM " + table).Scan(&rows); err != nil {
			s.t.Fatalf("count the rows of %s: %v", table, err)
		}
		n += rows
	}
	return n
}

// Forgotten waits until Rows is 0.
func (s *Server) Forgotten() {
	s.t.Helper()
	for late := time.After(endTime); s.Rows() > 0; {
		select {
		case <-late:
			s.t.Fatalf("%d rows of jobs that have ended are left", s.Rows())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// NothingLeft checks that all jobs have left only that many output objects, and no upload and no row. Then it stops the server and checks
// that its disk has no journal and no unfinished file.
func (s *Server) NothingLeft(objects int) {
	s.t.Helper()
	s.CleanedUp(objects)
	uploads, err := s.S3Client().ListMultipartUploads(s.t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(s.bucket)})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(uploads.Uploads) > 0 {
		s.t.Errorf("%d uploads are left", len(uploads.Uploads))
	}
	s.Forgotten()
	if code := s.Stop(); code != 0 {
		s.t.Errorf("exit status %d\n%s", code, s.Log())
	}
	for _, path := range s.stray() {
		s.t.Errorf("%s is left", path)
	}
}

// stray lists the files in the data directory of a stopped server that are neither permanent nor input or output.
func (s *Server) stray() (paths []string) {
	s.t.Helper()
	own := map[string]bool{"credentials": true, "sessions.key": true, "s3/owners": true, "lock": true, "worker": true, "batholith.db": true, "batholith.db.made": true}
	err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.Data, path)
		bucket := fmt.Sprintf("s3/buckets/%s/", Bucket)
		if strings.HasPrefix(rel, fmt.Sprintf("s3/buckets/%s/", Inbox)) {
			return err
		}
		object := strings.HasPrefix(rel, bucket) && !strings.HasPrefix(rel, bucket+".") && !strings.Contains(rel, ".batholith")
		if err == nil && !d.IsDir() && !own[rel] && !object {
			paths = append(paths, rel)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}
