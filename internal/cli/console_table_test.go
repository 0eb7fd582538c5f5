package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/console"
)

// TestAHostileTableEndsOnlyItsOwnProcess: a file of a few kilobytes that decompresses to more memory than the process may have, one that tells
// wrong lengths, and one that is no table at all are refused in words; the server goes on.
func TestAHostileTableEndsOnlyItsOwnProcess(t *testing.T) {
	file := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	work := func(path, name string) *tableWork {
		return &tableWork{Path: path, Name: name, Recipe: console.Recipe{Template: "Say {{.text}}"}, Family: "openai", Model: "m", Type: batholith.InvokeModel, Heap: 128 << 20}
	}
	type row struct {
		Text string `parquet:"text"`
	}
	var small, bomb bytes.Buffer
	if err := parquet.Write(&small, []row{{"one"}, {"two"}}); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 200)
	if err := parquet.Write(&bomb, slices.Repeat([]row{{text}}, 1_000_000), parquet.Compression(&parquet.Zstd), parquet.PageBufferSize(512<<20)); err != nil {
		t.Fatal(err)
	}
	if bomb.Len() > 1<<20 {
		t.Fatalf("the bomb has %d bytes", bomb.Len())
	}
	torn := bytes.Clone(small.Bytes())
	for i := 4; i < 24; i++ { // the head of the first page
		torn[i] ^= 0x5a
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "text\none\n")
	z.Close()
	for _, c := range []struct {
		name    string
		content []byte
		want    string // in the error; "": there are two records
	}{
		{"a.parquet", small.Bytes(), ""},
		{"a.csv", []byte("text\none\ntwo\n"), ""},
		{"bomb.parquet", bomb.Bytes(), "bomb.parquet takes more than 128 MB of memory to read"},
		{"torn.parquet", torn, "cannot be read"},
		{"no.parquet", []byte("PAR1 is all"), "cannot be read"},
		{"other.csv", []byte("name\none\n"), `names the column "text", which is not there`},
		{"a.csv", packed.Bytes(), "a.csv is compressed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := work(file("x", c.content), c.name).run(t.Context(), &out)
			switch {
			case c.want == "" && (err != nil || strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), "Say two")):
				t.Errorf("%v\n%s", err, out.String())
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}

	t.Run("a caller that has gone", func(t *testing.T) {
		gone := errors.New("the visitor has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		reading := writes(func() { cancel(gone) })
		many := file("x", []byte("text\n"+strings.Repeat("row\n", 1_000_000)))
		begin := time.Now()
		if err := work(many, "a.csv").run(ctx, reading); !errors.Is(err, gone) || time.Since(begin) > time.Minute {
			t.Error(err)
		}
	})
}

// writes is a writer that calls the function at each write.
type writes func()

func (f writes) Write(p []byte) (int, error) { f(); return len(p), nil }
