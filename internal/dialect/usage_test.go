package dialect_test

import (
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

func TestUsageIsReadOffAnAnswerThatIsOfNoUse(t *testing.T) {
	for body, want := range map[string]batholith.Tokens{
		`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}`: {Input: 7, Output: 3, CacheRead: 4},
		`{"choices":[]}`: {}, `[1]`: {}, `{"usage":[3]}`: {}, `{"usage":{"prompt_tokens":-1,"completion_tokens":"x"}}`: {}, `<html>`: {}, ``: {},
		`{"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":2147483648}}`: {},
		`{"usage":{"prompt_tokens":2147483647,"completion_tokens":1e3}}`:                 {Input: 2147483647, Output: 1000},
		`{"usage":{"prompt_tokens":12.0,"completion_tokens":-1e400}}`:                    {Input: 12},
		`{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":6}}}`:      {Input: 5, CacheRead: 5},
		`{"usage":{"prompt_tokens":-5,"prompt_tokens_details":{"cached_tokens":6}}}`:     {},
	} {
		if got := dialect.Usage(dialect.ProtocolOpenAI, []byte(body)); got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}
