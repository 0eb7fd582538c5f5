package config

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/batholith/batholith/internal/kms"
)

func TestEverySettingIsDocumented(t *testing.T) {
	docs := fieldDocs()
	if len(docs) < 70 {
		t.Errorf("only %d settings were found", len(docs))
	}
	for path, doc := range docs {
		if !strings.HasSuffix(strings.TrimSuffix(doc, ")"), ".") && !strings.HasSuffix(doc, ":") {
			t.Errorf("%s: %q is no sentence", path, doc)
		}
	}
}

func sample(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteSample(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSampleShowsTheDefaults(t *testing.T) {
	c, err := load(t, sample(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(ProfileDefault), c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Error(diff)
	}
}

func TestSampleNamesEverySetting(t *testing.T) {
	text := sample(t)
	for path := range fieldDocs() {
		key := path[strings.LastIndex(path, ".")+1:]
		if !regexp.MustCompile(`(?m)^[# -]*`+key+`:`).MatchString(text) && !strings.Contains(path, "assume") {
			t.Errorf("%s is missing", path)
		}
	}
}

// Whoever takes the comment signs away gets entries that are understood, if not all supported.
func TestExamplesOfTheSampleAreUnderstood(t *testing.T) {
	text := regexp.MustCompile(`(?m)^# ( *(- )?[a-z_0-9]+:)`).ReplaceAllString(sample(t), "$1")
	t.Chdir(t.TempDir())
	if _, err := kms.Create("prompts.key", "", time.Now()); err != nil { // which the sample names
		t.Fatal(err)
	}
	c, err := load(t, text, []string{"ALICE_SECRET=x", "BOB_KEY=x", "ROLE_SECRET=x"}, nil)
	var all *Error
	if c != nil || !errors.As(err, &all) {
		t.Fatalf("the event receiver should be refused: %v", err)
	}
	for _, p := range all.Problems {
		if !strings.Contains(p.Reason, "not supported yet in this version") {
			t.Error(p)
		}
	}
}
