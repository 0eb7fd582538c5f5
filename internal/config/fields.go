package config

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// EnvPrefix is the prefix of all settings' environment variables.
const EnvPrefix = "BATHOLITH_"

// Setting describes a setting for the command line and the environment. Fields of list entries
// are not settings of their own.
type Setting struct {
	Path    string // s3.listen
	Flag    string // s3-listen; "": no flag, because the setting is a list of entries or a secret
	Env     string // BATHOLITH_S3_LISTEN
	Doc     string // the comment in settings.go, on one line
	Kind    string // type of the value, for usage texts: string, int, number, bool, duration, size, list
	Default string
}

// Settings returns every setting in struct order, with the defaults of the profile "default".
func Settings() []Setting {
	var all []Setting
	eachSetting(reflect.ValueOf(Default(ProfileDefault)).Elem(), "", func(path string, f reflect.StructField, v reflect.Value) {
		s := Setting{Path: path, Env: envName(path), Flag: flagName(path, f), Kind: kindOf(v), Default: formatScalar(v)}
		all = append(all, s)
	})
	docs := fieldDocs()
	for i := range all {
		all[i].Doc = docs[all[i].Path]
	}
	return all
}

// eachSetting calls visit for the leaves of a struct: scalars and lists. It does not descend
// into list entries.
func eachSetting(v reflect.Value, prefix string, visit func(path string, f reflect.StructField, v reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("yaml")
		switch {
		case key == "" || key == "-":
		case f.Type.Kind() == reflect.Struct:
			eachSetting(v.Field(i), prefix+key+".", visit)
		default:
			visit(prefix+key, f, v.Field(i))
		}
	}
}

// envName returns the environment variable of a setting.
func envName(path string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// flagName returns the flag of a setting, or "". Lists of entries have no flag because they are
// too long, and secrets because other users of the machine can see command lines.
func flagName(path string, f reflect.StructField) string {
	if name := f.Tag.Get("flag"); name != "" {
		return name
	}
	if f.Type.Kind() == reflect.Slice || f.Tag.Get("secret") != "" {
		return ""
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(path)
}

// kindOf returns Setting.Kind.
func kindOf(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "duration"
	case Bytes:
		return "size"
	}
	switch v.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "number"
	}
	return v.Kind().String()
}

// setScalar parses text and stores it in v.
func setScalar(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	case Bytes:
		b, err := parseBytes(text)
		v.SetInt(int64(b))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(n)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("%q is a single value where %s is expected", text, v.Kind())
	}
	return nil
}

// formatScalar returns the text that setScalar would parse.
func formatScalar(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case []string:
		return strings.Join(x, ",")
	case JSON:
		return cmp.Or(string(x), "{}")
	}
	if v.Kind() == reflect.Slice {
		return ""
	}
	return fmt.Sprint(v.Interface())
}
