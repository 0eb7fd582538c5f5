package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func TestReadingOfStdinEndsWithTheCommand(t *testing.T) {
	if got, err := io.ReadAll(interruptibly(t.Context(), strings.NewReader("all of it"))); string(got) != "all of it" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	silent, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := interruptibly(ctx, silent)
	if _, err := w.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	cancel(batholith.ErrShutdown)
	if _, err := io.ReadAll(r); !errors.Is(err, batholith.ErrShutdown) {
		t.Errorf("while nobody types: %v", err)
	}
}

func TestEqualFilesAreThoseWithTheSameBytes(t *testing.T) {
	t.Chdir(folder(t, map[string]string{"a": "one\n", "b": "one\n", "c": "two\n", "d": "one", "e": "", "f": "", "long": strings.Repeat("x", 300_000), "longer": strings.Repeat("x", 300_001)}))
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"a", "b", true}, {"a", "c", false}, {"a", "d", false}, {"d", "a", false}, {"e", "f", true}, {"a", "nobody", false}, {"long", "long", true}, {"long", "longer", false}} {
		if got, err := equalFiles(tt.a, tt.b); got != tt.want || err != nil {
			t.Errorf("%s and %s: %v, %v", tt.a, tt.b, got, err)
		}
	}
}
