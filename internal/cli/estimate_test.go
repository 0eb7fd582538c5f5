package cli

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/jsonl"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/tinylm"
)

// What validate says of the example files is what the embedded model reads, to the token.
func TestTheEstimateForTheEmbeddedModelIsExact(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		typ := batholith.InvokeModel
		if filepath.Base(path) == "sentences.jsonl" {
			typ = batholith.Converse
		}
		c, err := config.Load(config.Sources{})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{stderr: plain.NewWriter(t.Output())}
		b, err := a.newBodies(c, embeddedModel, typ)
		if err != nil {
			t.Fatal(err)
		}
		read := int64(0)
		for _, body := range bodiesOf(t, path) {
			if why := b.remark(jsonl.Line{Input: body}); why != "" {
				t.Fatal(why)
			}
			read += int64(len(promptTokens(t, b, body)))
		}
		if got := b.likely.Load(); got != 1000*read || b.least.Load() != got || b.most.Load() != got {
			t.Errorf("%s: %d thousandths of a token are estimated, %d tokens are read", path, got, read)
		}
	}
}

// bodiesOf are the modelInputs of a file.
func bodiesOf(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r struct {
			ModelInput json.RawMessage `json:"modelInput"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r.ModelInput)
	}
	return all
}

// promptTokens are the tokens of the request that a body becomes.
func promptTokens(t *testing.T, b *bodies, body []byte) []int {
	t.Helper()
	call, err := b.dialect.Request(body, b.model)
	if err != nil {
		t.Fatal(err)
	}
	var chat struct {
		Messages []struct{ Role, Content string } `json:"messages"`
	}
	if err := json.Unmarshal(call.Body, &chat); err != nil {
		t.Fatal(err)
	}
	var turns []tinylm.Message
	for _, m := range chat.Messages {
		turns = append(turns, tinylm.Message(m))
	}
	ids, err := tinylm.Encode(turns)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// A bound that is rounded must not move to the inside.
func TestRoundedBoundsKeepTheNumberInside(t *testing.T) {
	for _, n := range []int64{0, 7, 999, 1000, 1001, 9999, 12_345, 99_950, 1_234_567} {
		if d, u := threeDigits(n, down), threeDigits(n, up); d > n || u < n || u-d > n/50 {
			t.Errorf("%d is between %d and %d", n, d, u)
		}
	}
	if got := threeDigits(12_350, half); got != 12_400 {
		t.Errorf("%d", got)
	}
}
