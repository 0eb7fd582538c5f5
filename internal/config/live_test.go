package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTableSaysOfEverySettingWhenAChangeTakesEffect(t *testing.T) {
	paths := map[string]bool{}
	eachSetting(reflect.ValueOf(Default(ProfileDefault)).Elem(), "", func(path string, _ reflect.StructField, _ reflect.Value) {
		found := false
		for at := path; at != ""; at = at[:max(0, strings.LastIndexByte(at, '.'))] {
			paths[at] = true
			_, ok := changeable[at]
			found = found || ok
		}
		if !found {
			t.Errorf("changeable does not say whether %s is live", path)
		}
	})
	for at := range changeable {
		if !paths[at] {
			t.Errorf("changeable has %s, which is no setting", at)
		}
	}
}

// written writes a settings file and returns what Load needs to read it.
func written(t *testing.T, text string) Sources {
	t.Helper()
	path := filepath.Join(t.TempDir(), "batholith.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Sources{File: path}
}

func TestAReloadNamesWhatChangedAndWhatNeedsARestart(t *testing.T) {
	src := written(t, `
account: "111122223333"
profile: default
credentials: [{access_key_id: AKONE, secret_access_key: one, principal: ann}]
models:
  - {id: a, backends: [{url: "http://127.0.0.1:1/v1"}]}
  - {id: b, backends: [{url: "http://127.0.0.1:2/v1", weight: 2}]}
`)
	now, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(src.File, []byte(`
account: "444455556666"
profile: aws
listen: 127.0.0.1:9
attempts: 7
credentials: [{access_key_id: AKTWO, secret_access_key: two, principal: ann}]
models:
  - {id: b, backends: [{url: "http://127.0.0.1:2/v1", weight: 3}]}
  - {id: c, backends: [{url: "http://127.0.0.1:3/v1"}]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	next, changed, later, err := Reload(src, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"credentials[AKONE] (removed)", "credentials[AKTWO] (added)", "models[a] (removed)", "models[b].backends[http://127.0.0.1:2/v1].weight", "models[c] (added)", "attempts"}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("changed: %s", diff)
	}
	if diff := cmp.Diff([]string{"listen", "account", "profile"}, later[:3]); diff != "" {
		t.Errorf("needs a restart: %s", diff)
	}
	if next.Account != now.Account || next.Listen != now.Listen || next.Profile != now.Profile {
		t.Errorf("a value that needs a restart has changed: %s, %s, %s", next.Account, next.Listen, next.Profile)
	}
	if got := next.Credentials[0].Account; got != now.Account {
		t.Errorf("the new caller is of account %s and not of the server's, %s", got, now.Account)
	}
	if next.Limits.MinRecordsPerJob != now.Limits.MinRecordsPerJob {
		t.Error("the limits are those of a profile that needs a restart")
	}
	if next.Attempts != 7 || len(next.Models) != 2 {
		t.Errorf("what is live was not taken: %d attempts, %d models", next.Attempts, len(next.Models))
	}
}

func TestAReloadThatIsPossibleOnlyAfterARestartChangesNothing(t *testing.T) {
	src := written(t, "attempts: 3\n")
	now, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	text := "attempts: 5\ns3: {endpoint: \"http://127.0.0.1:9\", access_key_id: a, secret_access_key: b}\nroles: [{arn: \"arn:aws:iam::000000000000:role/r\", assume: {}}]\n"
	if err := os.WriteFile(src.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = Reload(src, now); err == nil || !strings.Contains(err.Error(), "until a restart changes s3.") || !strings.Contains(err.Error(), "roles[0]") {
		t.Errorf("the error is %v", err)
	}
}
