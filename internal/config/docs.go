package config

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

//go:embed settings.go
var settingsSource string

// fieldDocs returns the comment of every field of [Config] by path. Entries of lists have paths
// such as models[].backends[].url.
func fieldDocs() map[string]string {
	types := structDocs()
	docs := map[string]string{}
	collectDocs(reflect.TypeFor[Config](), "", types, docs)
	return docs
}

// collectDocs adds the comments of the fields of t, recursively. types is the result of
// structDocs.
func collectDocs(t reflect.Type, prefix string, types map[string]map[string]string, docs map[string]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		docs[prefix+key] = types[t.Name()][f.Name]
		switch elem, suffix := f.Type, "."; {
		case elem.Kind() == reflect.Slice || elem.Kind() == reflect.Pointer:
			if elem.Kind() == reflect.Slice {
				suffix = "[]."
			}
			if elem = elem.Elem(); elem.Kind() == reflect.Struct {
				collectDocs(elem, prefix+key+suffix, types, docs)
			}
		case elem.Kind() == reflect.Struct:
			collectDocs(elem, prefix+key+suffix, types, docs)
		}
	}
}

// structDocs parses settings.go: struct name → field name → comment as one line.
func structDocs() map[string]map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "settings.go", settingsSource, parser.ParseComments)
	if err != nil {
		panic("config: the embedded settings.go does not parse: " + err.Error()) // cannot happen: the compiler has parsed it
	}
	types := map[string]map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields := map[string]string{}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					fields[name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
		types[spec.Name.Name] = fields
		return false
	})
	return types
}
