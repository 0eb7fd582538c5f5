package cli

import (
	"bufio"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/config"
)

// visitor is a browser of the console.
type visitor struct {
	t    *testing.T
	site *site
	http *http.Client
	csrf string
}

// visitor signs in.
func (s *site) visitor(id, secret string) *visitor {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	v := &visitor{t: s.t, site: s, http: &http.Client{Jar: jar}}
	if status, _, page := v.post("/console/sign-in", url.Values{"key-id": {id}, "secret": {secret}}); status != http.StatusOK && status != http.StatusForbidden {
		s.t.Fatalf("sign in as %s: %d\n%s", id, status, page)
	}
	_, _, page := v.get("/console/models") // a page with a form that all may open
	if m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page); m != nil {
		v.csrf = m[1]
	}
	return v
}

func (v *visitor) do(r *http.Request, err error) (status int, at, page string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	answer, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.StatusCode, answer.Request.URL.Path, string(text)
}

func (v *visitor) get(path string) (status int, at, page string) {
	v.t.Helper()
	return v.do(http.NewRequest(http.MethodGet, v.site.at.Bedrock+path, nil))
}

func (v *visitor) post(path string, form url.Values) (status int, at, page string) {
	v.t.Helper()
	form.Set("csrf", v.csrf)
	r, err := http.NewRequest(http.MethodPost, v.site.at.Bedrock+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.do(r, err)
}

// upload sends a form with a file.
func (v *visitor) upload(path, name, text string, fields map[string]string) (status int, at, page string) {
	v.t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	fields["csrf"] = v.csrf
	for key, value := range fields {
		_ = w.WriteField(key, value) // a strings.Builder takes everything
	}
	part, _ := w.CreateFormFile("file", name)
	_, _ = io.WriteString(part, text)
	w.Close()
	r, err := http.NewRequest(http.MethodPost, v.site.at.Bedrock+path, strings.NewReader(b.String()))
	if err == nil {
		r.Header.Set("Content-Type", w.FormDataContentType())
	}
	return v.do(r, err)
}

// follow reads the stream of a job to the job's end.
func (v *visitor) follow(job string) {
	v.t.Helper()
	answer, err := v.http.Get(v.site.at.Bedrock + "/console/jobs/" + job + "/live")
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if lines.Text() == "event: end" {
			return
		}
	}
	v.t.Fatal("the stream broke off before the job's end")
}

const consolePolicies = `
permit(principal == Principal::"alice", action, resource);
permit(principal == Principal::"eve", action, resource);
permit(principal == Principal::"bob", action in [Action::"bedrock:ListModelInvocationJobs", Action::"bedrock:GetModelInvocationJob", Action::"bedrock:ListFoundationModels"], resource);
`

// startConsole starts a service with policies, in which bob may see jobs and no bucket.
func startConsole(t *testing.T) (*site, string) {
	t.Helper()
	dir := t.TempDir()
	policy, log := filepath.Join(dir, "p.cedar"), filepath.Join(dir, "audit.log")
	if err := os.WriteFile(policy, []byte(consolePolicies), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := startSite(t, filepath.Join(dir, "data"), func(c *config.Config) {
		c.Policy, c.Audit.File = policy, log
		c.Credentials = append(c.Credentials, config.Credential{AccessKeyID: "AKBOB", SecretAccessKey: "bob-secret", Principal: "bob", Account: first})
	})
	return s, log
}

func TestTheConsoleDoesWhatItsVisitorMay(t *testing.T) {
	s, log := startConsole(t)
	alice, bob, eve := s.visitor("AKALICE", "alice-secret"), s.visitor("AKBOB", "bob-secret"), s.visitor("AKEVE", "eve-secret")
	records := `{"recordId":"a1","modelInput":{"messages":[{"role":"user","content":"the secret question"}],"max_tokens":8}}` + "\n" +
		`{"recordId":"a2","modelInput":{"messages":[{"role":"user","content":"Hello"}],"max_tokens":"many"}}` + "\n"

	status, draft, page := alice.upload("/console/submit", "tickets.jsonl", records, map[string]string{"model": "batholith.tiny-v1"})
	if status != http.StatusOK || !strings.Contains(page, "A job over this file would be accepted") || !strings.Contains(page, "1 record would end as an error line") {
		t.Fatalf("the validation: %d\n%s", status, page)
	}
	form := url.Values{}
	for _, m := range regexp.MustCompile(`name="(name|input|output)" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	status, at, page := alice.post(draft+"/create", form)
	if status != http.StatusOK || !strings.Contains(page, "The job was created.") {
		t.Fatalf("the new job: %d\n%s", status, page)
	}
	job := at[strings.LastIndexByte(at, '/')+1:]
	alice.follow(job)

	for path, wants := range map[string][]string{
		"":         {"Completed", "1 of 2 ended with an error", "InProgress"},
		"/records": {"the secret question", "a1", "max_tokens"},
		"/errors":  {"max_tokens", "Example: a2"},
		"/files":   {"tickets.jsonl.out", "manifest.json.out"},
	} {
		_, _, page := alice.get("/console/jobs/" + job + path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("alice's page %s lacks %q", path, want)
			}
		}
	}
	out, err := url.Parse(form.Get("output"))
	if err != nil {
		t.Fatal(err)
	}
	file := "/console/buckets/" + out.Host + "/download?key=" + url.QueryEscape(strings.TrimPrefix(out.Path, "/")+job+"/tickets.jsonl.out")
	if status, _, text := alice.get(file); status != http.StatusOK || strings.Count(text, "\n") != 2 || !strings.Contains(text, "the secret question") {
		t.Errorf("the download: %d\n%s", status, text)
	}

	// bob may see the job and no byte of its records.
	if status, _, page := bob.get("/console/jobs/" + job); status != http.StatusOK || !strings.Contains(page, "Completed") {
		t.Errorf("bob's page of the job: %d", status)
	}
	for _, path := range []string{"/console/jobs/" + job + "/records", "/console/jobs/" + job + "/errors", "/console/jobs/" + job + "/files", file, "/console/buckets", "/console/buckets/" + out.Host} {
		_, _, page := bob.get(path)
		if strings.Contains(page, "the secret question") || strings.Contains(page, "tickets.jsonl.out") || !strings.Contains(page, "Not shown") && !strings.Contains(page, "Not permitted") {
			t.Errorf("bob at %s:\n%s", path, page)
		}
	}
	for _, act := range []string{"/console/jobs/" + job + "/retry", "/console/jobs/" + job + "/stop"} {
		if status, _, page := bob.post(act, url.Values{}); status != http.StatusForbidden || !strings.Contains(page, "is not authorized") {
			t.Errorf("bob's %s: %d", act, status)
		}
	}
	if status, _, _ := bob.upload("/console/buckets/"+out.Host+"/upload", "x.txt", "x", map[string]string{"prefix": ""}); status != http.StatusForbidden {
		t.Errorf("bob's upload: %d, want 403", status)
	}

	// eve is of another account: to her, nothing of this one exists.
	for _, path := range []string{"/console/", "/console/events", "/console/jobs/" + job, file, "/console/buckets", "/console/buckets/" + out.Host} {
		if status, _, page := eve.get(path); strings.Contains(page, job) && status == http.StatusOK || strings.Contains(page, "the secret question") {
			t.Errorf("eve at %s: %d\n%s", path, status, page)
		}
	}

	// A retry asks only what failed.
	status, at, _ = alice.post("/console/jobs/"+job+"/retry", url.Values{})
	if status != http.StatusOK || at == "/console/jobs/"+job {
		t.Fatalf("the retry: %d at %s", status, at)
	}
	alice.follow(at[strings.LastIndexByte(at, '/')+1:])

	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"service":"s3".*"principal":"alice".*tickets.jsonl.out`, `"service":"s3".*"principal":"bob".*"status":403`, `"principal":"alice".*"bedrock:CreateModelInvocationJob"`} {
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("the audit log has no line like %s", want)
		}
	}
}

func TestTheBucketBrowserStoresAndDeletesOneObject(t *testing.T) {
	s, _ := startConsole(t)
	alice := s.visitor("AKALICE", "alice-secret")
	const name, text = `odd "name" & <b>ü.txt`, "some\x00bytes"
	status, at, page := alice.upload("/console/buckets/batholith/upload", name, text, map[string]string{"prefix": "in/deep/"})
	if status != http.StatusOK || at != "/console/buckets/batholith" || !strings.Contains(page, "The file was uploaded") || strings.Contains(page, "<b>ü") {
		t.Fatalf("the upload: %d at %s\n%s", status, at, page)
	}
	download := "/console/buckets/batholith/download?key=" + url.QueryEscape("in/deep/"+name)
	if _, _, got := alice.get(download); got != text {
		t.Errorf("the download has %q", got)
	}
	if _, _, page := alice.get("/console/buckets/batholith"); !strings.Contains(page, ">in/<") {
		t.Error("the folder is not shown")
	}
	if status, _, page := alice.post("/console/buckets/batholith/delete", url.Values{"key": {"in/deep/" + name}}); status != http.StatusOK || !strings.Contains(page, "The object was deleted") {
		t.Errorf("the deletion: %d", status)
	}
	if status, _, _ := alice.get(download); status != http.StatusNotFound {
		t.Errorf("the deleted object: %d, want 404", status)
	}
	for _, bucket := range []string{"no-such-bucket", "UPPER"} {
		if status, _, _ := alice.get("/console/buckets/" + url.PathEscape(bucket)); status < 400 {
			t.Errorf("bucket %q: %d", bucket, status)
		}
	}
}

func TestABucketOfTheVisitorIsOffered(t *testing.T) {
	s, _ := startConsole(t)
	bucket := "eves-bucket"
	if _, err := s.s3(eve).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	record := `{"recordId":"1","modelInput":{"messages":[{"role":"user","content":"Hello"}],"max_tokens":4}}`
	for id, want := range map[string]string{"AKEVE": "s3://eves-bucket/", "AKALICE": "s3://batholith/"} {
		v := s.visitor(id, map[string]string{"AKEVE": "eve-secret", "AKALICE": "alice-secret"}[id])
		if _, _, page := v.upload("/console/submit", "a.jsonl", record, map[string]string{"model": "batholith.tiny-v1"}); !strings.Contains(page, `name="input" value="`+want) {
			t.Errorf("%s is not offered %s:\n%s", id, want, page)
		}
	}
}

func TestTheConsoleCanBeSwitchedOff(t *testing.T) {
	s, _ := startSite(t, t.TempDir(), func(c *config.Config) { c.Console.Enabled = false })
	answer, err := http.Get(s.at.Bedrock + "/console/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode == http.StatusOK || answer.Request.URL.Path != "/console/" {
		t.Errorf("%d at %s", answer.StatusCode, answer.Request.URL.Path)
	}
}

func TestPromptsInTheConsoleOnlyNameColumns(t *testing.T) {
	for template, ok := range map[string]bool{
		"Translate: {{.text}}": true, `{{index . "a b" | trim}} {{default "none" .note}} {{cut 10 (upper .x)}}`: true, "plain": true,
		"{{range 1000000000}}{{end}}": false, `{{$a := "x"}}{{$a}}`: false, `{{define "a"}}x{{end}}{{.t}}`: false, `{{template "a"}}`: false, `{{replace "x" "xxxxxxxx" .a}}`: false,
		`{{printf "%1000000d" 1}}`: false, "{{if .a}}x{{end}}": false, "{{with .a}}x{{end}}": false, "{{.a": false,
	} {
		if err := onlyColumns(template); (err == nil) != ok {
			t.Errorf("%s: %v", template, err)
		}
	}
}

func TestATableBecomesAJobInTheConsole(t *testing.T) {
	s, _ := startConsole(t)
	alice := s.visitor("AKALICE", "alice-secret")
	fields := func(prompt string) map[string]string {
		return map[string]string{"model": "batholith.tiny-v1", "template": prompt}
	}
	const table = "ticket,text\nT1,the first question\nT2,the second question\n"
	for prompt, want := range map[string]string{"Say {{.nothing}}": "the columns are: ", "{{range 9}}{{end}}": "may name columns"} {
		if status, _, page := alice.upload("/console/submit", "tickets.csv", table, fields(prompt)); status != http.StatusBadRequest || !strings.Contains(page, want) {
			t.Errorf("%s: %d\n%s", prompt, status, page)
		}
	}
	if status, _, page := alice.upload("/console/submit", "tickets.parquet", "\x1f\x8bzipped", fields("{{.text}}")); status != http.StatusBadRequest || !strings.Contains(page, "is compressed") {
		t.Errorf("a compressed table: %d\n%s", status, page)
	}
	status, _, page := alice.upload("/console/submit", "tickets.csv", table, fields("Answer: {{.text}}"))
	if status != http.StatusOK || !strings.Contains(page, "A job over this file would be accepted") || !strings.Contains(page, "Create the job with 2 records") {
		t.Errorf("%d\n%s", status, page)
	}

	// The fields of a table are those of the command records.
	more := fields("Answer: {{.text}}")
	more["system"], more["id"], more["max-tokens"], more["temperature"] = "Be brief.", "ticket", "7", "0.25"
	status, draft, page := alice.upload("/console/submit", "tickets.csv", table, more)
	form := url.Values{}
	for _, m := range regexp.MustCompile(`name="(name|input|output)" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	if status, _, page := alice.post(draft+"/create", form); status != http.StatusOK {
		t.Fatalf("%d\n%s", status, page)
	}
	in, err := url.Parse(form.Get("input"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, text := alice.get("/console/buckets/" + in.Host + "/download?key=" + url.QueryEscape(strings.TrimPrefix(in.Path, "/")))
	for _, want := range []string{`"recordId":"T1"`, `"recordId":"T2"`, "Be brief.", `:7`, `0.25`} {
		if !strings.Contains(text, want) {
			t.Errorf("the records lack %s:\n%s", want, text)
		}
	}
	for field, value := range map[string]string{"max-tokens": "-1", "temperature": "hot", "id": "nothing"} {
		bad := fields("{{.text}}")
		bad[field] = value
		if status, _, page := alice.upload("/console/submit", "tickets.csv", table, bad); status != http.StatusBadRequest || !strings.Contains(page, value) {
			t.Errorf("%s %s: %d\n%s", field, value, status, page)
		}
	}
}

// Temporary keys sign in with the rights that they have elsewhere: here, those of a role that is limited to a folder.
func TestTheSessionOfARoleSignsInToTheConsole(t *testing.T) {
	s, stop := startSite(t, t.TempDir())
	defer stop()
	s.put("in/mine.jsonl")
	s.put("other/secret.txt")
	k := s.assume(narrowRole)
	v := s.visitor("AKALICE", "alice-secret")
	if status, at, page := v.post("/console/sign-in", url.Values{"key-id": {k.id}, "secret": {k.secret}, "session-token": {k.token}}); status != http.StatusOK || at != "/console/" {
		t.Fatalf("%d at %s\n%s", status, at, page)
	}
	for path, want := range map[string]int{"/console/": 200, "/console/models": 200, "/console/events": 200, "/console/buckets/batholith?prefix=in/": 200, "/console/buckets/batholith?prefix=other/": 403,
		"/console/buckets/batholith/download?key=in/mine.jsonl": 200, "/console/buckets/batholith/download?key=other/secret.txt": 403} {
		if status, _, page := v.get(path); status != want {
			t.Errorf("%s: %d, want %d\n%s", path, status, want, page)
		}
	}
}
