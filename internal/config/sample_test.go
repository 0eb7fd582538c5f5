package config

import (
	"bytes"
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

// sampleKey matches a line of the sample with a key, behind the comment signs of examples.
var sampleKey = regexp.MustCompile(`^(?:# )?( *)(?:# )?( *)(- )?([a-z_0-9]+):`)

// sampled returns the paths of all keys in the sample, as fieldDocs has them. The indentation tells what contains what.
func sampled(text string) map[string]bool {
	type level struct {
		indent int
		path   string
		list   bool // an entry of a list has begun below it
	}
	paths, open := map[string]bool{}, []level(nil)
	for line := range strings.Lines(text) {
		m := sampleKey.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		indent := len(m[1]) + len(m[2]) + len(m[3])
		for len(open) > 0 && open[len(open)-1].indent >= indent {
			open = open[:len(open)-1]
		}
		path := m[4]
		if n := len(open); n > 0 {
			open[n-1].list = open[n-1].list || m[3] != ""
			join := "."
			if open[n-1].list {
				join = "[]."
			}
			path = open[n-1].path + join + path
		}
		paths[path] = true
		open = append(open, level{indent: indent, path: path})
	}
	return paths
}

func TestSampleNamesEverySetting(t *testing.T) {
	named := sampled(sample(t))
	for path := range fieldDocs() {
		if !named[path] {
			t.Errorf("%s is missing", path)
		}
	}
}

// Settings in a section of a list entry are shown with their origin, as others are.
func TestTheEffectiveSettingsShowHowARoleIsAssumed(t *testing.T) {
	c, err := load(t, "s3: {endpoint: 'https://s3.example.net', access_key_id: A, secret_access_key: hidden}\nroles:\n- arn: arn:aws:iam::000000000000:role/batch\n  assume: {role_arn: 'arn:aws:iam::111122223333:role/batch', external_id: x7}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"    assume:\n", "      role_arn: \"arn:aws:iam::111122223333:role/batch\"", "      external_id: x7"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "hidden\n") {
		t.Error("a secret is shown")
	}
	found := false
	for _, v := range c.Values() {
		found = found || v.Key == "roles[0].assume.external_id" && v.Value == "x7" && strings.HasSuffix(v.Origin, ":4")
	}
	if !found {
		t.Errorf("%+v", c.Values())
	}
}

// Whoever takes the comment signs away gets entries that are understood.
func TestExamplesOfTheSampleAreUnderstood(t *testing.T) {
	text := regexp.MustCompile(`(?m)^# ( *(- )?[a-z_0-9]+:)`).ReplaceAllString(sample(t), "$1")
	t.Chdir(t.TempDir())
	if _, err := kms.Create("prompts.key", "", time.Now()); err != nil { // which the sample names
		t.Fatal(err)
	}
	env := []string{"ALICE_SECRET=x", "BOB_KEY=x", "ROLE_SECRET=x", "HOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	if _, err := load(t, text, env, nil); err != nil {
		t.Error(err)
	}
}
