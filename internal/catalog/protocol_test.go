package catalog

import (
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// TestABackendServesTheTypesThatItsProtocolCarries: a job goes to the backends that can take its bodies, and is refused if there is none.
func TestABackendServesTheTypesThatItsProtocolCarries(t *testing.T) {
	chats := elsewhere{protocol: "anthropic"}
	c, err := New([]Entry{
		{Model: batholith.Model{ID: "r1-small", Family: "deepseek-r1"}, Backends: []Backend{chats, nowhere{}}},
		{Model: batholith.Model{ID: "r1-large", Family: "deepseek-r1"}, Backends: []Backend{chats}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	both, _ := c.Serving("r1-small")
	able, dialects, err := both.For(batholith.InvokeModel)
	if err != nil || len(able) != 1 || able[0] != Backend(nowhere{}) || len(dialects) != 1 || dialects["openai"] == nil {
		t.Errorf("InvokeModel: %v, %v, %v", able, dialects, err)
	}
	able, dialects, err = both.For(batholith.Converse)
	if err != nil || len(able) != 2 || dialects["openai"] == nil || dialects["anthropic"] == nil {
		t.Errorf("Converse: %v, %v, %v", able, dialects, err)
	}
	const large = "r1-large"
	if err := c.Takes(large, batholith.InvokeModel); err == nil || !strings.Contains(err.Error(), "jobs of type Converse") {
		t.Errorf("InvokeModel without a server for it: %v", err)
	}
	if err := c.Takes(large, batholith.Converse); err != nil {
		t.Errorf("Converse: %v", err)
	}
	_, err = New([]Entry{{Model: batholith.Model{ID: "amazon.titan-embed-text-v2:0"}, Backends: []Backend{nowhere{}, chats}}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "makes no embeddings") {
		t.Errorf("a backend that can do nothing for its model was taken: %v", err)
	}
}
