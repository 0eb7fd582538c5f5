package authz

import (
	"path/filepath"
	"testing"
)

func TestEveryExampleIsTaken(t *testing.T) {
	files, err := filepath.Glob("../../examples/policies/*.cedar")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		s, err := Load(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for _, p := range s.policies {
			if p.compiled.Annotations()["id"] == "" {
				t.Errorf("%s: line %d: a policy without @id", file, p.line)
			}
		}
	}
}
