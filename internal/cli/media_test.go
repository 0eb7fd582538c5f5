package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
)

// TestACallReadsAnExternalS3OnlyWhereItMay: the keys of the process reach more than a sender may see. A call gets only objects in the folders
// of the setting media, and only as a principal of the keys' account whom the policies permit to read the object.
func TestACallReadsAnExternalS3OnlyWhereItMay(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.cedar")
	text := `permit(principal == Principal::"alice", action == Action::"s3:GetObject", resource == Bucket::"shared") when { context.key like "media/*" };`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	alice := bedrock.Caller{Account: first, Principal: "alice"}
	for name, c := range map[string]struct {
		media, policy string
		who           bedrock.Caller
		uri, want     string // "": it may be read
		code          int
	}{
		"no setting":                      {"", "", alice, "s3://shared/media/a.png", "in no folder of the setting media", 400},
		"in a folder":                     {"s3://shared/media/", "", alice, "s3://shared/media/a.png", "", 0},
		"beside the folder":               {"s3://shared/media/", "", alice, "s3://shared/media2/a.png", "in no folder of the setting media", 400},
		"another bucket":                  {"s3://shared/media/", "", alice, "s3://secret/media/a.png", "in no folder of the setting media", 400},
		"out of the folder":               {"s3://shared/media/", "", alice, "s3://shared/media/../secret/a.png", "dot part", 400},
		"another account":                 {"s3://shared/media/", "", bedrock.Caller{Account: second, Principal: "eve"}, "s3://shared/media/a.png", "you belong to account " + second, 403},
		"permitted by a policy":           {"s3://shared/", policy, alice, "s3://shared/media/a.png", "", 0},
		"not permitted":                   {"s3://shared/", policy, alice, "s3://shared/other/a.png", "alice is not authorized to perform: s3:GetObject", 403},
		"a principal without a permit":    {"s3://shared/", policy, bedrock.Caller{Account: first, Principal: "bob"}, "s3://shared/media/a.png", "s3:GetObject", 403},
		"a folder that no policy permits": {"s3://secret/", policy, alice, "s3://secret/media/a.png", "s3:GetObject", 403},
	} {
		conf := config.Default(config.ProfileDefault)
		conf.Account = first
		if c.media != "" {
			conf.Media = []string{c.media}
		}
		s := &service{o: serveOptions{Config: conf}}
		var err error
		if s.places, err = placesOf(conf, object.Config{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", AccessKeyID: "AK", SecretAccessKey: "secret"}); err != nil {
			t.Fatal(err)
		}
		if s.policy, err = authz.Open(c.policy, nil); err != nil {
			t.Fatal(err)
		}
		b, key, refused := s.callMedia(t.Context(), c.who, c.uri, "")
		switch {
		case c.want == "":
			if refused != nil || b.Name() != "shared" || key != "media/a.png" {
				t.Errorf("%s: %v", name, refused)
			}
		case refused == nil || refused.Code != c.code || !strings.Contains(refused.Message, c.want):
			t.Errorf("%s: %v, want %d and %q", name, refused, c.code, c.want)
		}
	}
}
