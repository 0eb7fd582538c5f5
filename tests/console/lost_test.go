package console

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// line is a connection to the server that can be slow, or cut.
type line struct {
	ln    net.Listener
	to    string
	delay time.Duration // of each piece of an answer

	mu    sync.Mutex
	cut   bool
	mute  chan struct{} // closed when answers pass again; nil: they pass
	conns map[net.Conn]bool
}

// newLine listens on a port of its own and passes connections on.
func newLine(t *testing.T, to string, delay time.Duration) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ln: ln, to: strings.TrimPrefix(to, "http://"), delay: delay, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { ln.Close(); l.set(true) })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go l.pass(c)
		}
	}()
	return l
}

// set cuts the line: open connections end, and new ones end at once. Or it mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for c := range l.conns {
			c.Close()
		}
	}
}

// hush keeps back every answer, on open and new connections, until the returned function is called.
func (l *line) hush() (speak func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mute := make(chan struct{})
	l.mute = mute
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mute = nil
		close(mute)
	})
}

// pass copies both directions of a connection.
func (l *line) pass(c net.Conn) {
	defer c.Close()
	l.mu.Lock()
	cut := l.cut
	l.conns[c] = true
	l.mu.Unlock()
	if cut {
		return
	}
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	go func() { io.Copy(far, c); far.Close() }()
	piece := make([]byte, 16<<10)
	for {
		n, err := far.Read(piece)
		if err != nil {
			break
		}
		l.mu.Lock()
		mute := l.mute
		l.mu.Unlock()
		if mute != nil {
			<-mute
		}
		time.Sleep(l.delay) // the line is slow: this is what is tested
		if _, err := c.Write(piece[:n]); err != nil {
			break
		}
	}
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

func TestAPageSaysThatTheConnectionIsLostAndComesBack(t *testing.T) {
	t.Parallel()
	server := start(t)
	l := newLine(t, server.At.Bedrock, 0)
	p := newBrowser(t).open("http://" + l.ln.Addr().String())
	p.signIn(server.At.AccessKeyID, server.At.SecretAccessKey)
	p.when(`document.querySelector(".beat span").textContent !== ""`)
	l.set(true)
	p.until("The connection to the server is lost.")
	p.accessible("lost")
	l.set(false)
	p.when(`document.getElementById("lost").hidden`)

	// After a restart the session is gone, and the page leads to the sign-in.
	server.Kill()
	p.until("The connection to the server is lost.")
	server.Start()
	l.mu.Lock()
	l.to = strings.TrimPrefix(server.At.Bedrock, "http://") // the server may have another port now
	l.mu.Unlock()
	p.until("Your session has ended.")
	p.do(chromedp.Click("#lost a"), chromedp.WaitVisible("#key-id"))
	p.has("Your session has ended. Sign in again.")
}

func TestAPageNoticesAServerThatFallsSilent(t *testing.T) {
	t.Parallel()
	server := start(t)
	l := newLine(t, server.At.Bedrock, 0)
	p := newBrowser(t).open("http://" + l.ln.Addr().String())
	p.signIn(server.At.AccessKeyID, server.At.SecretAccessKey)
	const beat = `document.querySelector(".beat span").textContent`
	p.when(beat + ` !== ""`)
	if silence := get(p, chromedp.Evaluate[string](`document.body.dataset.silence`)); silence != "30" {
		t.Errorf("the page waits for %s s, want 30: three beats", silence)
	}
	// The connection stays open, and new ones are taken; no byte comes.
	speak := l.hush()
	defer speak()
	get(p, chromedp.Evaluate[chromedp.Void](`document.body.dataset.silence = 1; document.querySelector(".beat span").textContent = ""`))
	p.until("The connection to the server is lost.")
	speak()
	p.when(`document.getElementById("lost").hidden && ` + beat + ` !== ""`) // by a new stream, whose first beat comes at once

	// A page in the background closes its stream after 10 s and opens a new one when it is seen again. Its clock runs faster here.
	hidden := func(yes bool) {
		get(p, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %v, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`, yes)))
	}
	get(p, chromedp.Evaluate[chromedp.Void](`document.body.dataset.silence = 30; window.later = window.setTimeout; window.setTimeout = (f, ms) => later(f, ms / 100);
		window.open0 = htmx.createEventSource; htmx.createEventSource = (url) => (window.opened = open0(url))`))
	hidden(true)
	get(p, chromedp.Evaluate[chromedp.Void](`new Promise((done) => later(done, 300))`, chromedp.EvalAwaitPromise))
	get(p, chromedp.Evaluate[chromedp.Void](`document.querySelector(".beat span").textContent = ""`))
	hidden(false)
	p.when(`window.opened && ` + beat + ` !== "" && document.getElementById("lost").hidden`)
	p.clean()
}

func TestASlowServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := start(t)
	l := newLine(t, server.At.Bedrock, 200*time.Millisecond)
	p := newBrowser(t).open("http://" + l.ln.Addr().String())
	p.signIn(server.At.AccessKeyID, server.At.SecretAccessKey)
	p.submit(records(t, "slow.jsonl", 3, 0), "batholith.tiny-v1")
	p.until("Every record was processed.")
	p.clean()
}
