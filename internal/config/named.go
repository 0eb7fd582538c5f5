package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
)

// namesFile are the settings, by their last name, whose value is the path of a file that the process reads. So is every setting
// whose name ends in _file.
var namesFile = map[string]bool{"policy": true, "cert": true, "key": true, "ca": true, "client_ca": true, "ca_bundle": true, "file": true}

// largestNamed is the size in bytes of the largest file that NamedFiles returns.
const largestNamed = 16 << 20

// NamedFiles returns the paths of the files that the settings name and that exist: keys, certificates, policies. The audit
// log, which the process writes, is not among them.
func (c *Config) NamedFiles() []string {
	var paths []string
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		switch v.Kind() {
		case reflect.String:
			if namesFile[name] || strings.HasSuffix(name, "_file") {
				if info, err := os.Stat(v.String()); err == nil && info.Mode().IsRegular() && info.Size() <= largestNamed {
					paths = append(paths, v.String())
				}
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Type().Field(i)
				if tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); f.IsExported() && f.Name != "Audit" {
					walk(v.Field(i), tag)
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), name)
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				walk(v.MapIndex(key), name)
			}
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), name)
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	slices.Sort(paths)
	return slices.Compact(paths)
}
