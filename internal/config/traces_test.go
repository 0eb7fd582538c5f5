package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTracesAreWhatIsMadeAfterTheDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		made []string // paths; those that end in / are folders
		want string
	}{
		"nothing":                     {nil, ""},
		"a first start":               {[]string{"lock", "credentials", "credentials.new", "server.json", "batholith.db", "journal/", "kept/", "s3/"}, ""},
		"buckets with users' objects": {[]string{"s3/batholith/in/a.jsonl", "s3/batholith/batholith/.b/x"}, ""},
		"the worker":                  {[]string{"worker"}, "worker"},
		"the journal":                 {[]string{"journal/00000001.log"}, "journal/00000001.log"},
		"kept results":                {[]string{"kept/job000000001/1.seg"}, "kept/job000000001"},
		"a job's objects":             {[]string{"s3/a/in/a.jsonl", "s3/b/out/abcdefghijkl/.batholith/index/x.idx"}, "s3/b/out/abcdefghijkl/.batholith"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, p := range c.made {
				full := filepath.Join(dir, p)
				folder := filepath.Dir(full)
				if p[len(p)-1] == '/' {
					folder = full
				}
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				if folder != full {
					if err := os.WriteFile(full, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := ""
			if c.want != "" {
				want = filepath.Join(dir, c.want)
			}
			if got, err := Traces(dir)(); err != nil || got != want {
				t.Errorf("found %q, %v; want %q", got, err, want)
			}
		})
	}
}
