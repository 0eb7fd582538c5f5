package network

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
)

// said is a connection to a proxy that answers with fixed bytes.
type said struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *said) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *said) Write(p []byte) (int, error) { return s.out.Write(p) }

// FuzzAnAnswerOfAProxy has a proxy answer CONNECT with anything. What follows the answer's head is the destination's, byte for byte, and no error quotes the proxy.
func FuzzAnAnswerOfAProxy(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\nSSH-2.0")
	f.Add("HTTP/1.1 407 Say secret\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.0 200\n\n")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		s := &said{in: bytes.NewReader([]byte(answer))}
		conn, err := connectHTTP(t.Context(), s, "127.0.0.1:443", nil)
		if got := s.out.String(); !strings.HasPrefix(got, "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n") {
			t.Fatalf("the proxy was sent %q", got)
		}
		if err != nil {
			if text := err.Error(); len(text) > 60 || strings.ContainsAny(text, "\r\n\x1b") {
				t.Fatalf("the error quotes the proxy: %q", text)
			}
			return
		}
		rest, _ := io.ReadAll(conn)
		if !strings.HasSuffix(answer, string(rest)) {
			t.Fatalf("of %q the destination has %q", answer, rest)
		}
	})
}
