package s3serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	fiberlog "github.com/gofiber/fiber/v3/log"
	"github.com/versity/versitygw/debuglogger"
)

func TestLinesOfLibrariesAreLoggedWithoutTextOfClients(t *testing.T) {
	var log bytes.Buffer // written until release has returned
	stderr := os.Stderr
	release := Capture(slog.New(slog.NewJSONHandler(&log, nil)))
	debuglogger.InternalError(errors.New("read body\x1b]0;title\x07: parse \"/b/k?X-Amz-Signature=SECRET\": it broke"))
	debuglogger.Panic(errors.New("index out of range " + strings.Repeat("x", 2*mostPrinted)))
	fiberlog.Error("middleware traversal failed")
	fmt.Println("a directory is used")
	release()
	if os.Stderr != stderr {
		t.Error("standard error is not what it was")
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		var got struct{ Line string }
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		lines = append(lines, got.Line)
	}
	if len(lines) != 4 || lines[0] != `[INTERNAL ERROR]: read body\u001b]0;title\u0007: parse […]` || !strings.HasPrefix(lines[1], "[PANIC]: index out of range xxx") ||
		len(lines[1]) > mostPrinted || !strings.HasSuffix(lines[2], "middleware traversal failed") || lines[3] != "a directory is used" {
		t.Errorf("logged %.200q", lines)
	}
}
