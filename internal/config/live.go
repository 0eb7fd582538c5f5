package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/plain"
)

// When a change of a setting takes effect.
const (
	live    = true  // at once, in a running server
	restart = false // at the next start
)

// changeable says for each setting, or group of settings, when a change takes effect. The longest entry that a path begins with counts.
// Fields of list entries follow their list. A test checks that every setting is covered, and that each entry names one.
var changeable = map[string]bool{
	"data":                  restart, // the process holds its lock, database and journal
	"listen":                restart,
	"store":                 restart,
	"store_password_env":    restart,
	"roles_of_this_process": restart,
	"account":               restart, // stored jobs and buckets are of it
	"region":                restart, // it is in stored ARNs
	"profile":               restart, // it decides limits, errors and bodies together
	"drain":                 restart,
	"memory":                restart, // what is reserved cannot be given back at once
	"log.level":             live,
	"log.format":            restart,
	"s3":                    restart, // objects and open uploads are there
	"credentials":           live,
	"api_keys":              live,
	"oidc":                  restart,
	"policy":                live,
	"tls":                   restart, // the content of its files is followed
	"client":                live,    // no server uses it
	"console":               restart,
	"audit":                 restart,
	"insecure":              restart,
	"roles":                 live,
	"media":                 live,
	"openai":                live,
	"kms.keys":              live,
	"kms.data_key":          restart, // the journal is encrypted with it
	"models":                live,
	"embedded":              restart, // the embedded model is loaded at the start
	"simulated":             restart,
	"attempts":              live,
	"reuse":                 live,
	"strict_bodies":         live,
	"provenance":            live,
	"canary":                live,
	"echo":                  live, // for jobs that are begun from then on
	"budgets":               live,
	"prices":                live,
	"currency":              live,
	"metrics":               restart, // the content of its token_file is followed
	"traces":                restart,
	"debug":                 restart,
	"retention":             live,
	"limits":                live,
	"limits.hour":           restart, // deadlines of stored jobs are measured in it
	"network":               live,
	"events":                restart,
}

// Live reports whether a change of the setting at path takes effect in a running server.
func Live(path string) bool {
	at, _, _ := strings.Cut(path, "[")
	for at != "" {
		if when, ok := changeable[at]; ok {
			return when
		}
		at = at[:max(0, strings.LastIndexByte(at, '.'))]
	}
	return restart
}

// Changes names the settings that differ, in the order of the file, and whether a change takes effect at once or at the next start. A name
// holds no secret: an entry of a list is named by its index or its name, such as models[qwen3].backends[http://10.0.0.7:8000/v1].weight. An
// entry that was added or removed says so.
func Changes(from, to *Config) (now, later []string) {
	var all []string
	compare(reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem(), "", &all)
	for _, path := range all {
		if Live(path) {
			now = append(now, path)
		} else {
			later = append(later, path)
		}
	}
	return now, later
}

// compare appends the paths below path at which two values differ.
func compare(a, b reflect.Value, path string, all *[]string) {
	switch {
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			key := a.Type().Field(i).Tag.Get("yaml")
			if key != "" && key != "-" {
				compare(a.Field(i), b.Field(i), strings.TrimPrefix(path+"."+key, "."), all)
			}
		}
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct:
		compareEntries(a, b, path, all)
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil():
		compare(a.Elem(), b.Elem(), path, all)
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		*all = append(*all, path)
	}
}

// compareEntries is compare for lists of entries. Entries with the same name are the same entry.
func compareEntries(a, b reflect.Value, path string, all *[]string) {
	before, after := namesOf(a), namesOf(b)
	for i, name := range before {
		switch j := slices.Index(after, name); {
		case j < 0:
			*all = append(*all, fmt.Sprintf("%s[%s] (removed)", path, name))
		default:
			compare(a.Index(i), b.Index(j), fmt.Sprintf("%s[%s]", path, name), all)
		}
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			*all = append(*all, fmt.Sprintf("%s[%s] (added)", path, name))
		}
	}
}

// namesOf returns names of the entries of a list, each once: an id, or the index.
func namesOf(list reflect.Value) []string {
	names := make([]string, list.Len())
	for i := range names {
		name := ""
		switch e := list.Index(i).Interface().(type) {
		case Model:
			name = e.ID
		case Backend:
			name = plain.RedactURL(e.URL)
			if len(e.Exec) > 0 {
				name = e.Exec[0]
			}
		case Role:
			name = e.ARN
		case Credential:
			name = e.AccessKeyID
		case APIKey:
			name = e.Principal
		case KMSKey:
			name = e.File
		case Subnet:
			name = e.ID
		case SecurityGroup:
			name = e.ID
		}
		if name == "" || slices.Contains(names[:i], name) {
			name = fmt.Sprint(i)
		}
		names[i] = name
	}
	return names
}

// Reload reads the settings again for a running server, whose settings are now, as [Load] or Reload returned them. It returns what the server
// uses from then on: the new values of the settings that are live, and now's values of the others. changed names the former, needRestart the
// latter. The error is that of Load, also if the mixture is not possible.
func Reload(src Sources, now *Config) (next *Config, changed, needRestart []string, err error) {
	if next, err = Load(src); err != nil {
		return nil, nil, nil, err
	}
	if changed, needRestart = Changes(now, next); len(needRestart) == 0 {
		return next, changed, nil, nil
	}
	// Other defaults may follow from a value that stays: of the limits from the profile, of callers from the account. So the value that stays
	// is read in its place.
	flags := maps.Clone(src.Flags)
	if flags == nil {
		flags = map[string]string{}
	}
	eachSetting(reflect.ValueOf(now).Elem(), "", func(path string, _ reflect.StructField, v reflect.Value) {
		if slices.Contains(needRestart, path) {
			flags[path] = formatScalar(v)
		}
	})
	src.Flags = flags
	if next, err = Load(src); err == nil {
		changed, _ = Changes(now, next)
		return next, changed, needRestart, nil
	}
	var wrong *Error
	if errors.As(err, &wrong) {
		for i := range wrong.Problems {
			wrong.Problems[i].Reason += " (until a restart changes " + strings.Join(needRestart, ", ") + ")"
		}
	}
	return nil, nil, nil, err
}
