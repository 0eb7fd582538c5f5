package words

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
)

func TestTheNearestNameComesFirst(t *testing.T) {
	all := []string{"meta.llama3", "batholith.simulated-v1", "batholith.tiny-v1", "anthropic.claude-3-haiku-20240307-v1:0"}
	for word, first := range map[string]string{"batholith.tiny-v2": "batholith.tiny-v1", "Tiny-V1": "batholith.tiny-v1", "claude-3-haiku": "anthropic.claude-3-haiku-20240307-v1:0",
		"us.meta.llama3": "meta.llama3", "simulated": "batholith.simulated-v1"} {
		got := Nearest(word, all)
		if !strings.HasPrefix(got, first+",") {
			t.Errorf("%s: %s, want %s first", word, got, first)
		}
		for _, name := range all {
			if !strings.Contains(got, name) {
				t.Errorf("%s: %s lacks %s", word, got, name)
			}
		}
	}
	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprint("m", i))
	}
	if got := Nearest("m7", many); !strings.HasPrefix(got, "m7,") || !strings.HasSuffix(got, " and 15 more") {
		t.Error(got)
	}
	if got := Nearest("m7", nil); got != "none" {
		t.Error(got)
	}
}

func TestNetworkErrorsAreSaidWithoutTheWordsOfGo(t *testing.T) {
	at := func(err error) error {
		return &url.Error{Op: "Get", URL: "http://key:secret@10.0.0.1:80/x?token=s", Err: err}
	}
	for want, err := range map[string]error{
		"10.0.0.1:80 refuses connections (connection refused)":                                                  at(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}),
		"the host name nobody.invalid is not known":                                                             at(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "nobody.invalid", IsNotFound: true}}),
		"10.0.0.1:80 did not answer in time":                                                                    at(context.DeadlineExceeded),
		"10.0.0.1:80 closed the connection without an answer":                                                   at(io.EOF),
		"10.0.0.1:80 asks for a client certificate, or refuses the one that it got (tls: certificate required)": at(&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}),
		"10.0.0.1:80 cannot be reached (network is unreachable)":                                                at(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}),
		"127.0.0.1:9 refuses connections (connection refused)":                                                  &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, Err: syscall.ECONNREFUSED},
		"": fmt.Errorf("another: %w", io.ErrClosedPipe),
	} {
		if got := Network(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestDistanceCountsSlipsOfTheFinger(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"listen", "lisen", 1}, {"listen", "lisetn", 1}, {"abc", "xyz", 3}} {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
