package console

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/chromedp/chromedp"

	"github.com/batholith/batholith/tests/harness"
)

// The S3 is that of another process, which knows no key of the visitor. The visitor signs in with temporary keys, and everything is there after a restart.
func TestAnExternalS3InTheBrowser(t *testing.T) {
	t.Parallel()
	harness.EmbeddedS3Only(t)
	policy := filepath.Join(t.TempDir(), "policy.cedar")
	if err := os.WriteFile(policy, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	other := harness.Start(t, "")
	server := harness.StartBeside(t, other, fmt.Sprintf("api_keys: [{key: ABSK-guest-key, principal: guest}]\npolicy: %s\n", policy))
	keys, err := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &server.At.Bedrock, Credentials: credentials.NewStaticCredentialsProvider(server.At.AccessKeyID, server.At.SecretAccessKey, "")}).
		GetSessionToken(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newBrowser(t).open(server.At.Bedrock)
	signIn := func() {
		p.visit("/console/sign-in")
		p.do(chromedp.SetValue("#key-id", *keys.Credentials.AccessKeyId), chromedp.SetValue("#secret", *keys.Credentials.SecretAccessKey), chromedp.SetValue("#session-token", *keys.Credentials.SessionToken),
			chromedp.Submit("#secret"), chromedp.WaitVisible(".who"))
	}
	signIn()
	p.visit("/console/submit")
	p.do(chromedp.SetValue("#model", "batholith.tiny-v1"), chromedp.SetUploadFiles("#file", []string{records(t, "tickets.jsonl", 6, 1)}), chromedp.Submit("#file"), chromedp.WaitVisible("#role"))
	p.has("Role of the job; the file is stored with it")
	p.accessible("far-draft")
	draft := strings.TrimPrefix(get(p, chromedp.Location()), p.site)
	p.do(chromedp.SetValue("#input", "s3://nowhere/in/tickets.jsonl"), chromedp.SetValue("#output", "s3://nowhere/out/"), chromedp.Submit("#output"))
	p.until("The bucket does not exist.")
	p.visit(draft)
	p.do(chromedp.SetValue("#input", "s3://batholith/in/tickets.jsonl"), chromedp.SetValue("#output", "s3://batholith/out/"), chromedp.Submit("#output"), chromedp.WaitVisible(".timeline"))
	job := regexp.MustCompile(`jobs/([a-z0-9]{12})`).FindStringSubmatch(get(p, chromedp.Location()))[1]
	p.until("1 of 6 ended with an error")
	p.until("Retry failed records")
	seen := func() {
		for path, has := range map[string][]string{"records": {"ticket-00002", "Which ports does the service use?"}, "errors": {"1 record of 6", "Example: ticket-00001"}, "files": {"tickets.jsonl.out", "manifest.json.out"}} {
			p.visit("/console/jobs/" + job + "/" + path)
			p.has(has...)
		}
	}
	seen()
	p.clean()

	guest := newBrowser(t).open(server.At.Bedrock)
	guest.visit("/console/sign-in?with=bearer")
	guest.do(chromedp.SetValue("#bearer", "ABSK-guest-key"), chromedp.Submit("#bearer"), chromedp.WaitVisible(".who"))
	guest.visit("/console/jobs/" + job + "/records")
	guest.has("Not shown", "user/guest is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::batholith/out/"+job)
	if strings.Contains(guest.text(), "Which ports") {
		t.Error("a guest reads records")
	}
	guest.clean()

	server.Stop()
	server.Start()
	p.site = server.At.Bedrock
	p = newBrowser(t).open(server.At.Bedrock)
	signIn() // temporary keys outlive the process
	seen()
	p.clean()
}
