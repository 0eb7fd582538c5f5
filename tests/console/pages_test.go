package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/batholith/batholith/tests/harness"
)

// settings are those of the server: beside the first key, which is the administrator's, the keys of an administrator and of somebody who may only see jobs, a model with a server, and a receiver that is down.
const settings = `
api_keys: [{key: ABSK-admin-key, principal: admin}, {key: ABSK-guest-key, principal: guest}]
policy: %s
events: [{url: "http://127.0.0.1:9/hook", name: pager}]
simulated: {latency: 50ms, slots: 8}
models:
- {id: acme.model-v1, backends: [{url: "%s", model: m}]}
`

const policies = `permit(principal == Principal::"admin", action, resource);
permit(principal == Principal::"guest", action in [Action::"bedrock:ListModelInvocationJobs", Action::"bedrock:GetModelInvocationJob"], resource);`

// start starts a server with the settings.
func start(t *testing.T) *harness.Server {
	t.Helper()
	harness.EmbeddedS3Only(t)
	policy := filepath.Join(t.TempDir(), "policy.cedar")
	if err := os.WriteFile(policy, []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, fmt.Sprintf(settings, policy, harness.Simulate(t).URL()))
}

// records writes n records into a file, the first bad of which have a body that no model takes.
func records(t *testing.T, name string, n, bad int) string {
	t.Helper()
	questions := []string{"Which ports does the service use?", "My invoice shows the wrong address.", "How do I export last month's report?", "The app closes on my phone."}
	var b strings.Builder
	for i := range n {
		tokens := "24"
		if i < bad {
			tokens = `"many"`
		}
		fmt.Fprintf(&b, `{"recordId":"ticket-%05d","modelInput":{"messages":[{"role":"user","content":"%s"}],"max_tokens":%s}}`+"\n", i+1, questions[i%len(questions)], tokens)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// submit creates a job from a file through the pages, and returns its id.
func (p *tab) submit(path, model string) string {
	p.t.Helper()
	p.visit("/console/submit")
	p.do(chromedp.SetValue("#model", model), chromedp.SetUploadFiles("#file", []string{path}), chromedp.Submit("#file"), chromedp.WaitVisible("#validation"),
		chromedp.Submit("#output"), chromedp.WaitVisible(".timeline"))
	return regexp.MustCompile(`jobs/([a-z0-9]{12})`).FindStringSubmatch(get(p, chromedp.Location()))[1]
}

// has fails the test unless the page has these texts.
func (p *tab) has(texts ...string) {
	p.t.Helper()
	page := p.text()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			p.t.Errorf("%s lacks %q:\n%s", get(p, chromedp.Location()), text, page)
		}
	}
}

// press presses a button that the live page may be replacing now.
func (p *tab) press(button string) {
	p.t.Helper()
	get(p, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).click()`, button)))
}

// until waits for a text on the page.
func (p *tab) until(text string) {
	p.t.Helper()
	p.when(fmt.Sprintf(`document.body && document.body.innerText.includes(%q)`, text))
}

// when waits for a condition. The page may be read again meanwhile, which ends what runs in it.
func (p *tab) when(condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+condition+")"))
		switch {
		case err == nil:
			return
		case ctx.Err() != nil:
			p.fail(fmt.Errorf("wait for %s: %w", condition, err))
		}
	}
}

// fits fails the test if the page is wider than the window.
func (p *tab) fits(name string) {
	p.t.Helper()
	if wide := get(p, chromedp.Evaluate[[]string](`document.documentElement.scrollWidth <= innerWidth ? [] :
		[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + "." + e.className).slice(0, 5)`)); len(wide) > 0 {
		p.t.Errorf("%s is wider than a phone: %v", name, wide)
	}
}

func TestThePages(t *testing.T) {
	t.Parallel()
	server := start(t)
	p := newBrowser(t).open(server.At.Bedrock)

	p.visit("/")
	p.has("Sign in")
	p.accessible("sign-in")
	p.do(chromedp.SetValue("#key-id", server.At.AccessKeyID), chromedp.SetValue("#secret", "wrong"), chromedp.Submit("#secret"), chromedp.WaitVisible(".problem"))
	p.has("The access key id or its secret is wrong")
	p.accessible("sign-in-refused")
	p.signIn(server.At.AccessKeyID, server.At.SecretAccessKey)
	p.has("No jobs yet")
	p.accessible("no-jobs")

	// A file with a line that is no record is explained, and makes no job.
	broken := records(t, "broken.jsonl", 3, 0)
	if err := os.WriteFile(broken, []byte("{\"recordId\":\"1\"}\nnot JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.visit("/console/submit")
	p.accessible("submit")
	p.do(chromedp.SetUploadFiles("#file", []string{broken}), chromedp.Submit("#file"), chromedp.WaitVisible("#validation"))
	p.has("2 lines are not valid records", "Choose another file")
	p.accessible("broken-draft")

	p.visit("/console/submit")
	p.do(chromedp.SetUploadFiles("#file", []string{records(t, "tickets.jsonl", 40, 2)}), chromedp.Submit("#file"), chromedp.WaitVisible("#validation"))
	p.has("A job over this file would be accepted", "2 records would end as error lines")
	p.accessible("draft")
	p.do(chromedp.Submit("#output"), chromedp.WaitVisible(".timeline"))
	job := regexp.MustCompile(`jobs/([a-z0-9]{12})`).FindStringSubmatch(get(p, chromedp.Location()))[1]
	p.until("2 of 40 ended with an error") // live, to the end
	p.until("Retry failed records")        // the page was read again

	// The buttons of a server.
	p.visit("/console/models")
	p.press(`form[action$="/drain"] button`)
	p.when(`document.querySelector('form[action$="/resume"]')`)
	p.has("drain") // drained, or draining for a moment
	p.press(`form[action$="/resume"] button`)
	p.until("gets requests again")

	long := p.submit(records(t, "nightly-summaries.jsonl", 6000, 0), "batholith.simulated-v1")
	p.until("records/s")
	p.do(chromedp.WaitVisible(".plots canvas"))
	p.accessible("job-running")
	p.visit("/console/")
	p.when(`document.querySelector(".beat span").textContent !== ""`)
	p.has("InProgress", "Completed", "records/s")

	pages := []struct {
		name, path string
		has        []string
	}{
		{"jobs", "/console/", []string{"tickets", "nightly-summaries", "2 errors"}},
		{"jobs-filtered", "/console/?status=Completed&name=tickets", []string{"40 of 40"}},
		{"jobs-none", "/console/?name=nothing", []string{"No job matches"}},
		{"job", "/console/jobs/" + job, []string{"Timeline", "Submitted", "Completed", "38", "by kind", "acme.model-v1"}},
		{"records", "/console/jobs/" + job + "/records", []string{"ticket-00001", "Which ports does the service use?", "max_tokens", "Next records"}},
		{"record-errors", "/console/jobs/" + job + "/records?only=errors", []string{"ticket-00002"}},
		{"errors", "/console/jobs/" + job + "/errors", []string{"2 records of 40", "Example: ticket-00001"}},
		{"files", "/console/jobs/" + job + "/files", []string{"tickets.jsonl.out", "manifest.json.out", "Download"}},
		{"models", "/console/models", []string{"acme.model-v1", "127.0.0.1", "Drain", "Runs inside the server"}},
		{"events", "/console/events", []string{"pager", "Completed", "Changes"}},
		{"buckets", "/console/buckets", []string{"batholith"}},
		{"bucket", "/console/buckets/batholith", []string{"tickets"}},
		{"nothing", "/console/jobs/aaaaaaaaaaaa", []string{"Not found"}},
	}
	for _, page := range pages {
		p.visit(page.path)
		p.has(page.has...)
		p.accessible(page.name)
	}

	// The buttons of a running job.
	p.visit("/console/jobs/" + long)
	p.do(chromedp.Submit(`form[action$="/pause"] button`))
	p.until("The job is paused.")
	p.until("Paused")
	p.accessible("job-paused")
	p.do(chromedp.Submit(`form[action$="/resume"] button`))
	p.until("The job goes on.")
	p.do(chromedp.Click("details.sure summary"), chromedp.WaitVisible(`form[action$="/stop"] button`), chromedp.Submit(`form[action$="/stop"] button`))
	p.until("The job is stopping.")
	p.until("Stopped")
	p.accessible("job-stopped")

	// A table and a prompt.
	table := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(table, []byte("id,text\n1,good\n2,bad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.visit("/console/submit")
	p.do(chromedp.SetValue("#template", "Translate: {{.text}}"), chromedp.SetUploadFiles("#file", []string{table}), chromedp.Submit("#file"), chromedp.WaitVisible("#validation"))
	p.has("rows.jsonl", "The records were made of the rows of rows.csv", "Create the job with 2 records")
	p.accessible("table-draft")

	// An object goes up and away.
	p.visit("/console/buckets/batholith?prefix=deep/")
	p.do(chromedp.SetUploadFiles("#file", []string{broken}), chromedp.Submit("#file"))
	p.until("The file was uploaded.")
	p.do(chromedp.Click("td details.sure summary"), chromedp.WaitVisible("td details.sure button"), chromedp.Submit("td details.sure button"))
	p.until("The object was deleted.")

	p.do(chromedp.Submit(`form[action$="/sign-out"] button`), chromedp.WaitVisible("#key-id"))
	p.clean()

	// A guest sees jobs and none of their records.
	guest := newBrowser(t).open(server.At.Bedrock)
	guest.visit("/console/sign-in?with=bearer")
	guest.do(chromedp.SetValue("#bearer", "ABSK-guest-key"), chromedp.Submit("#bearer"), chromedp.WaitVisible(".who"))
	guest.has("tickets")
	for path, text := range map[string]string{"/jobs/" + job + "/records": "Not shown", "/jobs/" + job + "/errors": "Not shown", "/jobs/" + job + "/files": "Not shown", "/buckets": "Not permitted", "/models": "Not permitted"} {
		guest.visit("/console" + path)
		guest.has(text)
		if strings.Contains(guest.text(), "Which ports") {
			t.Errorf("a guest reads records at %s", path)
		}
	}
	guest.accessible("denied")
	guest.clean()

	withoutScripts(t, server, job)
}

// withoutScripts reads each page and creates a job without JavaScript.
func withoutScripts(t *testing.T, server *harness.Server, job string) {
	p := newBrowser(t).open(server.At.Bedrock)
	p.do(scripts(false))
	p.visit("/console/sign-in?with=bearer")
	p.do(chromedp.SetValue("#bearer", "ABSK-admin-key"), chromedp.Click("details form button"), chromedp.WaitVisible(".who"))
	for path, text := range map[string]string{"/": "tickets", "/jobs/" + job: "Timeline", "/jobs/" + job + "/records": "ticket-00001", "/jobs/" + job + "/errors": "Example: ticket-00001",
		"/jobs/" + job + "/files": "tickets.jsonl.out", "/models": "acme.model-v1", "/events": "Changes", "/buckets/batholith": "tickets"} {
		p.visit("/console" + path)
		p.has(text)
	}
	p.visit("/console/submit")
	p.do(chromedp.SetUploadFiles("#file", []string{records(t, "plain.jsonl", 2, 0)}), chromedp.Click(".form button"), chromedp.WaitVisible("#validation"),
		chromedp.Click(".form button"), chromedp.WaitVisible(".timeline"))
	p.has("The job was created.", "plain")
	p.clean()
}

// drop drops files on an element of the page, by the events of a browser.
func (p *tab) drop(on string, files ...string) {
	p.t.Helper()
	at := get(p, chromedp.Evaluate[[]float64](fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, on)))
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		p.do(command(input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: at[0], Y: at[1], Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1}}))
		if kind == input.DispatchDragEventTypeDragOver {
			p.when(`document.querySelector("[data-drop]").classList.contains("over")`)
		}
	}
}

func TestFilesAreDropped(t *testing.T) {
	t.Parallel()
	server := start(t)
	p := newBrowser(t).open(server.At.Bedrock)
	p.signIn(server.At.AccessKeyID, server.At.SecretAccessKey)
	table := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(table, []byte("id,text\n1,good\n2,bad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := records(t, "dropped.jsonl", 3, 0)
	for _, tt := range []struct{ file, on, prompt, says string }{
		{lines, "[data-drop]", "", "Create the job with 3 records"},
		{lines, "h1", "", "Create the job with 3 records"}, // anywhere: the browser must not leave the page
		{table, "[data-drop]", "Translate: {{.text}}", "The records were made of the rows of rows.csv"},
	} {
		p.visit("/console/submit")
		if tt.prompt != "" {
			p.do(chromedp.SetValue("#template", tt.prompt))
		}
		p.drop(tt.on, tt.file)
		p.when(fmt.Sprintf(`document.querySelector("#file").files.length === 1 && document.querySelector("#file").files[0].name === %q`, filepath.Base(tt.file)))
		p.do(chromedp.Submit("#file"), chromedp.WaitVisible("#validation"))
		p.has(tt.says)
	}
	// Two files at once are not taken, and nothing is lost.
	p.visit("/console/submit")
	p.do(chromedp.SetValue("#template", "kept"))
	p.drop("h1", lines, table)
	p.when(`document.querySelector("#file").files.length === 0 && document.querySelector("#template").value === "kept" && !document.querySelector(".over")`)
	p.clean()
}
