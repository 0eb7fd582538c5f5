package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fmt"

	"github.com/batholith/batholith/internal/config"
)

// BenchmarkValidate reads records of 900 bytes as the command does: as they are, and with a request made of each.
func BenchmarkValidate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.jsonl")
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, `{"recordId":"r%07d","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"%s"}]}}`+"\n",
			i, strings.Repeat("The quick brown fox jumps over the lazy dog. ", 20))
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, model := range map[string]string{"bodies": "anthropic.claude-3-haiku-20240307-v1:0", "any": "batholith.tiny-v1", "lines": ""} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				a := &app{stdout: io.Discard, stderr: io.Discard}
				c := config.Default(config.ProfileDefault)
				v := &validator{app: a, limits: c.Limits.Rules()}
				typ, err := parseType("InvokeModel")
				if err == nil {
					v.inputs, err = v.find(b.Context(), []string{path}, &typ)
				}
				if err == nil {
					v.bodies, err = a.newBodies(c, model, typ)
				}
				if model == "" {
					v.bodies.dialect = nil
				}
				if err == nil {
					_, err = v.run(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
