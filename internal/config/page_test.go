package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// settingsHead is the text above the settings.
const settingsHead = `# Settings

Each setting with its type, its default, when a change takes effect, and its meaning. This page is made of the program's own tables.

Settings come from a YAML file (` + "`--config FILE`, or `./batholith.yaml`" + `), from environment variables and from flags. A variable overrides the file, and a flag overrides both.
The setting ` + "`s3.listen` has the variable `BATHOLITH_S3_LISTEN` and the flag `--s3-listen`" + `; ` + "`batholith serve --help-all`" + ` lists all flags. Lists of entries (` + "`models`, `credentials`, …" + `) and
secrets have no flag.

` + "```" + `
batholith config --sample                   # a settings file with every default, to start from
batholith config                            # what is in force, and where each value comes from
batholith config --check batholith.yaml     # would a server take this file?
batholith reload                            # the running server reads its file again, and says what changed
` + "```" + `

*Live*: a change takes effect in a running server. *Restart*: at its next start. Durations are written ` + "`30s`, `10m`, `72h`" + `; sizes in bytes, or ` + "`256MiB`, `1GB`" + `. An entry of a
list is written ` + "`[]`" + ` in the names here: ` + "`models[].id`" + ` is the ` + "`id`" + ` of each model.
`

// The page of settings is what the structs, the defaults and the table of changes say.
func TestThePageOfSettingsIsWhatTheSettingsSay(t *testing.T) {
	const path = "../../docs/settings.md"
	want := settingsPage()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the settings say (%v); make it anew with: go test ./internal/config -run %s -update", path, err, t.Name())
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(got)) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` | "); ok {
			rows[name] = true
		}
	}
	for name := range fieldDocs() {
		if !rows[name] && !strings.Contains(string(got), "| `"+name+".") && !strings.Contains(string(got), "| `"+name+"[].") { // a group
			t.Errorf("%s has no row", name)
		}
	}
	for _, s := range Settings() {
		if !rows[s.Path] && !strings.Contains(string(got), "\n## "+s.Path+"\n") { // a list of entries
			t.Errorf("%s has no row", s.Path)
		}
	}
}

// settingsPage is the text of docs/settings.md: first the settings without a group, then each group.
func settingsPage() []byte {
	var b bytes.Buffer
	b.WriteString(settingsHead)
	p := page{out: &b, docs: fieldDocs(), aws: map[string]string{}}
	eachSetting(reflect.ValueOf(Default(ProfileAWS)).Elem(), "", func(path string, f reflect.StructField, v reflect.Value) { p.aws[path] = formatValue(f, v) })
	c := reflect.ValueOf(Default(ProfileDefault)).Elem()
	b.WriteString("\n## Single settings\n" + pageTable)
	for i := range c.NumField() {
		if f := c.Type().Field(i); named(f) && !grouped(f.Type) {
			p.row(f, c.Field(i), f.Tag.Get("yaml"))
		}
	}
	for i := range c.NumField() {
		if f := c.Type().Field(i); named(f) && grouped(f.Type) {
			key := f.Tag.Get("yaml")
			fmt.Fprintf(&b, "\n## %s\n\n%s\n%s", key, pageText(p.docs[key]), pageTable)
			p.below(f, c.Field(i), key)
		}
	}
	return b.Bytes()
}

// pageTable is the head of a table of settings.
const pageTable = "\n| setting | type | default | change | meaning |\n| --- | --- | --- | --- | --- |\n"

// named reports whether a field is a setting or a group of settings.
func named(f reflect.StructField) bool {
	key := f.Tag.Get("yaml")
	return key != "" && key != "-"
}

// grouped reports whether a setting of the type has settings below it.
func grouped(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || (t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer) && t.Elem().Kind() == reflect.Struct
}

// page writes rows of settings.
type page struct {
	out  *bytes.Buffer
	docs map[string]string
	aws  map[string]string // defaults of the profile aws
}

// below writes the rows of a group or list.
func (p *page) below(f reflect.StructField, v reflect.Value, path string) {
	if f.Type.Kind() == reflect.Slice {
		path += "[]"
	}
	if f.Type.Kind() != reflect.Struct {
		v = reflect.New(f.Type.Elem()).Elem()
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !named(f) {
			continue
		}
		at := path + "." + f.Tag.Get("yaml")
		p.row(f, v.Field(i), at)
		if grouped(f.Type) {
			p.below(f, v.Field(i), at)
		}
	}
}

// row writes the row of a setting.
func (p *page) row(f reflect.StructField, v reflect.Value, path string) {
	kind, def, change := kindOf(v), "", "restart"
	switch {
	case f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Pointer:
		kind = "group"
	case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
		kind = "list of entries"
	case f.Type == reflect.TypeFor[JSON]():
		kind = "object"
	case f.Type != reflect.TypeFor[time.Duration]() && f.Type.Kind() == reflect.Map:
		kind = "map"
	}
	if !strings.Contains(path, "[]") && !grouped(f.Type) {
		if text := formatValue(f, v); text != "" && text != "[]" {
			def = "`" + text + "`"
		}
		if aws, ok := p.aws[path]; ok && path != "profile" && aws != formatValue(f, v) {
			def += "; profile aws: `" + aws + "`"
		}
	}
	if Live(path) {
		change = "live"
	}
	fmt.Fprintf(p.out, "| `%s` | %s | %s | %s | %s |\n", path, kind, def, change, pageText(p.docs[path]))
}

// pageText is a comment as text of the page.
func pageText(doc string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`, "*", `\*`).Replace(doc)
}
