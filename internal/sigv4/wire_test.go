package sigv4

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

// readRequest reads a request as net/http's server does.
func readRequest(t *testing.T, wire []byte) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, wire)
	}
	return r
}
