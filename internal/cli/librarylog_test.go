package cli

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/upstream"
)

// lockedBuffer is written by the log and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
	got chan struct{} // told after every write
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	select {
	case b.got <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestNoCommandPrintsLinesOfLibraries: they may quote what a server sent, and reach the terminal past our own writers.
func TestNoCommandPrintsLinesOfLibraries(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		log.Print("Unsolicited response: PROMPT-OF-ALICE")
		http.Error(w, "{}", http.StatusForbidden)
	}))
	defer s.Close()
	printed, before := &bytes.Buffer{}, log.Writer()
	log.SetOutput(printed)
	defer log.SetOutput(before)
	t.Setenv("AWS_ENDPOINT_URL_BEDROCK", s.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AK")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	if code := Main([]string{"jobs"}); code == 0 || asked == 0 {
		t.Fatalf("exit code %d after %d requests: this law tries nothing", code, asked)
	}
	if printed.Len() > 0 {
		t.Errorf("printed: %s", printed)
	}
}

// TestAnAnswerThatIsLongerThanAnnouncedIsNotLogged: net/http logs what follows an answer on an idle connection.
func TestAnAnswerThatIsLongerThanAnnouncedIsNotLogged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\nPROMPT-OF-ALICE")
		c.Read(make([]byte, 1))
	}()
	log := &lockedBuffer{got: make(chan struct{}, 1)}
	defer captureLibraryLog(slog.New(slog.NewJSONHandler(log, nil)))()
	b, err := upstream.New(upstream.Options{URL: "http://" + l.Addr().String() + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions", Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-log.got:
	case <-time.After(30 * time.Second):
		t.Fatal("net/http says nothing any more; this law needs another way to be tried")
	}
	if text := log.String(); strings.Contains(text, "PROMPT") || !strings.HasPrefix(text, "{") || !strings.Contains(text, "nsolicited") {
		t.Errorf("logged: %s", text)
	}
}

func TestLinesOfLibrariesAreFewAndCounted(t *testing.T) {
	log := &lockedBuffer{got: make(chan struct{}, 1)}
	l := &libraryLines{log: slog.New(slog.NewJSONHandler(log, nil))}
	for range 3 * linesAMinute {
		io.WriteString(l, "http: URL query contains semicolon, which is no longer a supported separator\n")
	}
	if n := strings.Count(log.String(), "\n"); n != linesAMinute {
		t.Errorf("%d lines", n)
	}
	l.began = l.began.Add(-time.Minute)
	io.WriteString(l, "http: panic serving 192.0.2.1:1: boom\ngoroutine 7 [running]:\nmain.f(0x1)\n")
	last := log.String()[strings.LastIndex(strings.TrimSpace(log.String()), "\n")+1:]
	if !strings.Contains(last, `"left_out_before":20`) || !strings.Contains(last, `"stack":"goroutine 7`) {
		t.Error(last)
	}
}
