package dialect

import (
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// The priority that we add is left out where a server refuses it, whatever the server's words and status; a record's own priority stays.
func TestAPriorityIsLeftOutWhereItIsRefused(t *testing.T) {
	plain := batholith.Call{Body: []byte(`{"model":"m","messages":[{"role":"user","content":"x"}]}`)}
	call := WithPriority(plain, 9)
	if !strings.HasPrefix(string(call.Body), `{"priority":9,"model":"m"`) {
		t.Fatalf("%s", call.Body)
	}
	for words, c := range map[string]struct {
		status  int
		refused bool
	}{
		"Got priority 9 but Priority scheduling is not enabled.":                                             {400, true},
		"Using priority is disabled for this server. Please send a new request without a priority.":          {503, true},
		"Unrecognized request argument supplied: priority":                                                   {400, true},
		"body.priority: Extra inputs are not permitted":                                                      {422, true},
		"The request is aborted by a higher priority request.":                                               {503, false},
		"The request queue is full.":                                                                         {503, false},
		"invalid image":                                                                                      {400, false},
		"Got priority 9 but Priority scheduling is not enabled. (from a proxy that hides what it forwarded)": {429, false},
	} {
		refused := Refused(call, &batholith.Failure{Status: c.status, Message: words})
		if IsPriority(refused) != c.refused || !c.refused && refused != 0 {
			t.Errorf("%d %s: %b is left out", c.status, words, refused)
		}
		if again := Without(call, refused); c.refused && string(again.Body) != string(plain.Body) {
			t.Errorf("%s: the second request is %s", words, again.Body)
		}
	}
	own := batholith.Call{Body: []byte(`{"priority":3,"prompt":"x"}`)}
	if got := WithPriority(own, 9); string(got.Body) != string(own.Body) || got.Spare != 0 {
		t.Errorf("the record's own priority became %s", got.Body)
	}
}
