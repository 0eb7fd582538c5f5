package config

import (
	"strings"
	"testing"
)

func TestWhatIsSeenIsNotShownToStrangers(t *testing.T) {
	for _, tt := range []struct{ yaml, want string }{ // want: of the problem; "": there is none
		{"metrics: {listen: '0.0.0.0:9464'}", ""},
		{"metrics: {listen: off}", ""},
		{"metrics: {listen: '127.0.0.1:9464', token_env: SECRET}", ""},
		{"metrics: {token_env: SECRET}", ""},
		{"metrics: {listen: '0.0.0.0:9464', token_env: SECRET}", "would read the token on the way"},
		{"insecure: true\nmetrics: {listen: '0.0.0.0:9464', token_env: SECRET}", ""},
		{"metrics: {token_env: MISSING}", "the environment has no variable MISSING"},
		{"metrics: {token_env: SECRET, token_file: /dev/null}", "metrics.token_env gives a token, too"},
		{"metrics: {listen: nowhere}", "not a valid address"},
		{"debug: {listen: '127.0.0.1:6060'}", ""},
		{"debug: {listen: '0.0.0.0:6060'}", "profiles show what the process has in its memory"},
		{"insecure: true\ndebug: {listen: '0.0.0.0:6060'}", ""},
		{"traces: {endpoint: 'http://127.0.0.1:4318', sample: 1}", ""},
		{"traces: {endpoint: '127.0.0.1:4318'}", "not a valid http or https URL"},
		{"traces: {sample: 1.5}", "1.5 is not a valid share"},
		{"traces: {headers_env: SECRET}", "header 1 is not name=value"},
		{"traces: {headers_env: PAIRS}", ""},
	} {
		c, err := load(t, tt.yaml, []string{"SECRET=s3cret", "PAIRS=Authorization=Bearer%20KEY, X-Team=a"}, nil)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.yaml, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.yaml, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the message shows the secret: %v", tt.yaml, err)
		}
		if strings.Contains(tt.yaml, "PAIRS") {
			if pairs, err := c.Traces.Pairs(); err != nil || len(pairs) != 2 || pairs["Authorization"] != "Bearer KEY" || pairs["X-Team"] != "a" {
				t.Errorf("headers %v, %v", pairs, err)
			}
		}
	}
}
