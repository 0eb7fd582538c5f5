package upstream

import (
	"net/http"
	"strings"
	"testing"
)

// Processes share the limit of a server that all of them reach, and of no other.
func TestAServerHasOneNameInAllProcesses(t *testing.T) {
	named := func(o Options) string {
		t.Helper()
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		server, model := b.Shared()
		return server + "/" + model
	}
	one := named(Options{URL: "http://gpu:8000/v1", Model: "m", APIKey: "sk-secret"})
	if same := named(Options{URL: "http://gpu:8000/v1/", Model: "m", APIKey: "sk-secret", Timeout: 7e9, Standby: true}); same != one {
		t.Errorf("%s and %s are one server", same, one)
	}
	for _, o := range []Options{
		{URL: "http://gpu:8000/v1", Model: "other", APIKey: "sk-secret"},
		{URL: "http://gpu:8001/v1", Model: "m", APIKey: "sk-secret"},
		{URL: "http://gpu:8000/v1", Model: "m", APIKey: "sk-other"},
	} {
		if named(o) == one {
			t.Errorf("%+v has the name of another server", o)
		}
	}
	if strings.Contains(one, "secret") || strings.Contains(named(Options{URL: "http://u:secret@gpu:8000/v1?k=secret"}), "secret") {
		t.Error("a name has a secret")
	}
	if name := named(Options{URL: "http://127.0.0.1:8000/v1", Model: "m"}); !strings.Contains(name, " on ") {
		t.Errorf("a server on this machine is %s on every machine", name)
	}
	if name := named(Options{URL: "http://embedded/v1", Model: "m", Transport: InProcess(http.NotFoundHandler())}); name != "/" {
		t.Errorf("a model inside this process has the name %s for others", name)
	}
}
