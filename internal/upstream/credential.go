package upstream

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/follow"
	"github.com/batholith/batholith/internal/plain"
)

const (
	// rereadAfter is how often a file with a secret is read while requests are sent.
	rereadAfter = time.Second
	// maxSecret is the longest secret, in bytes.
	maxSecret = 64 << 10
)

// credential is a text that requests carry: fixed, or the content of a file that may change. It is
// safe for concurrent use.
type credential struct {
	file string // "": the text is fixed

	mu   sync.Mutex
	text string
	next string    // what the last read found, if it is not believed yet
	read time.Time // when the file was read last
}

// newCredential returns a fixed credential or that of a file.
func newCredential(text, file string) (*credential, error) {
	s := &credential{text: text, file: file}
	if file == "" {
		return s, nil
	}
	found, err := follow.Read(file, maxSecret)
	if err != nil {
		return nil, fmt.Errorf("read the secret in %s: %w", file, err)
	}
	if s.text = strings.TrimSpace(found); s.text == "" {
		return nil, fmt.Errorf("the secret file %s is empty", file)
	}
	s.read = time.Now()
	return s, nil
}

// value returns the present secret. It reads the file again at most once a second. A new content
// counts if the file was not changed in the last second or if two reads have found it: a file that
// is still being written must not be used. If the file cannot be read, the secret of before stays.
func (s *credential) value() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.file == "" || now.Sub(s.read) < rereadAfter {
		return s.text
	}
	s.read = now
	found, err := follow.Read(s.file, maxSecret)
	if found = strings.TrimSpace(found); err != nil || found == "" || found == s.text {
		s.next = ""
		return s.text
	}
	info, err := os.Stat(s.file)
	if settled := err == nil && now.Sub(info.ModTime()) >= rereadAfter; settled || found == s.next {
		s.text, s.next = found, ""
	} else {
		s.next = found
	}
	return s.text
}

// CheckCredential reports why the file of a secret cannot be used, or nil. The error does not
// quote the file.
func CheckCredential(file string) error {
	c, err := newCredential("", file)
	if err != nil {
		return err
	}
	if plain.Line(c.text) != c.text {
		return fmt.Errorf("the secret file %s has several lines or control characters", file)
	}
	return nil
}
