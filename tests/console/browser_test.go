// Package console tests the web pages of the real program in a real browser: Debian's Chromium, by chromedp.
package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// chromium is the browser's program; scripts/deps.sh installs it.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no Chromium: scripts/deps.sh installs it")
	}
	t.Skip("there is no Chromium: scripts/deps.sh installs it")
	return ""
}

// browser is one Chromium with a profile of its own. Each tab is a context of chromedp.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// stepTime bounds each step in the browser.
const stepTime = 20 * time.Second

// newBrowser starts a browser that ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true)}
	all, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &browser{t, ctx}
}

// tab is a tab of the browser. It records what must not happen: requests to other hosts, errors of scripts, and refusals of the
// Content-Security-Policy.
type tab struct {
	t     *testing.T
	ctx   context.Context
	site  string
	wrong chan string
}

// open opens a tab in a context of its own, without the cookies of other tabs.
func (b *browser) open(site string) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(cancel)
	p := &tab{t: b.t, ctx: ctx, site: site, wrong: make(chan string, 64)}
	report := func(format string, a ...any) {
		select {
		case p.wrong <- fmt.Sprintf(format, a...):
		default:
		}
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, site+"/") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "about:") {
				report("a request to another host: %s", url)
			}
		case *runtime.EventExceptionThrown:
			report("a script failed: %v", e.ExceptionDetails)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError {
				for _, arg := range e.Args {
					report("a script complained: %s", arg.Value)
				}
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	p.do(command(network.Enable, network.EnableParams{}), command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", (e) => console.error("refused by the policy: " + e.violatedDirective + " " + e.blockedURI));`}))
	return p
}

// command is an action that sends a command of the protocol.
func command[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	})
}

// get runs an action within stepTime, and returns its value. It fails the test with the page's text if the action fails.
func get[T any](p *tab, a chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepTime)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	if err != nil {
		p.fail(err)
	}
	return value
}

// fail ends the test with the text of the page.
func (p *tab) fail(err error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Text("body"))
	p.t.Fatalf("%v\nat %s:\n%s", err, at, text)
}

// do runs actions, each within stepTime.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, a := range actions {
		get(p, a)
	}
}

// visit opens a page of the console.
func (p *tab) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.site+path), chromedp.WaitReady("main"))
}

// text returns the text of the page.
func (p *tab) text() string {
	p.t.Helper()
	return get(p, chromedp.Text("body"))
}

// clean fails the test if something happened that must not.
func (p *tab) clean() {
	p.t.Helper()
	for {
		select {
		case w := <-p.wrong:
			p.t.Error(w)
		default:
			return
		}
	}
}

// signIn signs in with an access key.
func (p *tab) signIn(id, secret string) {
	p.t.Helper()
	p.visit("/console/sign-in")
	p.do(chromedp.SetValue("#key-id", id), chromedp.SetValue("#secret", secret), chromedp.Submit("#secret"), chromedp.WaitVisible(".who"))
}

// prefer makes the page prefer dark or light colours.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// scripts switches JavaScript.
func scripts(on bool) chromedp.Action[chromedp.Void] {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// phone makes the page as narrow as a phone's; desk undoes it.
func phone() chromedp.Action[chromedp.Void] { return chromedp.EmulateViewport(375, 812) }
func desk() chromedp.Action[chromedp.Void]  { return chromedp.EmulateViewport(1280, 900) }

// shoot stores a picture of the page if the variable CONSOLE_PICTURES names a folder.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("CONSOLE_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), get(p, chromedp.FullScreenshot(100)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// axeSource is the script of axe-core.
var axeSource = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		err = fmt.Errorf("%w: scripts/deps.sh installs axe-core", err)
	}
	return string(source), err
})

// axe returns what axe-core finds wrong with the accessibility of the page, by all its rules.
func (p *tab) axe() []string {
	p.t.Helper()
	if !get(p, chromedp.Evaluate[bool](`"axe" in window`)) {
		source, err := axeSource()
		if err != nil {
			p.t.Fatal(err)
		}
		get(p, chromedp.Evaluate[chromedp.Void](source))
	}
	return get(p, chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target.join(" ")).join(", ")))`, chromedp.EvalAwaitPromise))
}

// views are the ways in which each page is looked at.
var views = []struct {
	name, scheme string
	window       chromedp.Action[chromedp.Void]
}{
	{"light", "light", desk()}, {"dark", "dark", desk()}, {"phone-dark", "dark", phone()}, {"phone-light", "light", phone()},
}

// accessible fails the test for what axe-core finds on the page, in light and dark colours, wide and narrow, and if the page is wider than a
// phone. It stores a picture of each.
func (p *tab) accessible(name string) {
	p.t.Helper()
	for _, view := range views {
		p.do(prefer(view.scheme), view.window)
		for _, problem := range p.axe() {
			p.t.Errorf("%s in %s: %s", name, view.name, problem)
		}
		p.fits(name + " in " + view.name)
		p.shoot(name + "-" + view.name)
	}
	p.do(prefer("light"), desk())
}

func TestWhatIsNotAccessibleIsFound(t *testing.T) {
	t.Parallel()
	p := newBrowser(t).open("data:text")
	p.do(chromedp.Navigate(`data:text/html,<title>x</title><main><img src=""><input><p style="color:%23ccc">pale</p></main>`))
	found := strings.Join(p.axe(), "\n")
	for _, rule := range []string{"color-contrast", "image-alt", "label", "html-has-lang"} {
		if !strings.Contains(found, rule+":") {
			t.Errorf("axe-core does not find %s:\n%s", rule, found)
		}
	}
}
