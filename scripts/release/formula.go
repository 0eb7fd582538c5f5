package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed formula.rb.tmpl
var formulaText string

// formula writes the Homebrew formula. It names only systems whose archives were made.
func (r *run) formula() error {
	type system struct{ On, CPU, File, Sum string }
	data := struct {
		Version, Tag string
		Systems      []system
	}{Version: r.number(), Tag: r.version}
	for _, s := range []system{{On: "macos", CPU: "arm"}, {On: "macos", CPU: "intel"}, {On: "linux", CPU: "arm"}, {On: "linux", CPU: "intel"}} {
		goos := map[string]string{"macos": "darwin", "linux": "linux"}[s.On]
		s.File = fmt.Sprintf("batholith_%s_%s_%s.tar.gz", r.number(), goos, map[string]string{"arm": "arm64", "intel": "amd64"}[s.CPU])
		if s.Sum = r.sums[s.File]; s.Sum != "" {
			data.Systems = append(data.Systems, s)
		}
	}
	if len(data.Systems) == 0 {
		return nil
	}
	var b bytes.Buffer
	if err := template.Must(template.New("formula").Parse(formulaText)).Execute(&b, data); err != nil {
		return err
	}
	return r.write("batholith.rb", b.Bytes())
}
