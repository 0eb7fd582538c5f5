package dispatch

import (
	"errors"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func TestAnAnswerThatIsAWebPageIsCalledOne(t *testing.T) {
	for body, public := range map[string]string{
		"\n <html><body>Sign in</body></html>": "it answers with a web page (HTML) where JSON is expected",
		`{"choices":[]}`:                       "its answers are not valid",
		"":                                     "its answers are not valid",
	} {
		var f *batholith.Failure
		if !errors.As(nonsense(errors.New("not valid"), []byte(body)), &f) || f.Public != public || f.Kind != batholith.FailureRetry {
			t.Errorf("%q: %+v", body, f)
		}
	}
	exact := &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "no connection"}
	if err := nonsense(exact, []byte("<html>")); !strings.Contains(err.(*batholith.Failure).Public, "no connection") {
		t.Errorf("a more exact failure became %v", err)
	}
}
