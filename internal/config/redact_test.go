package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// Whatever setting a URL stands in, and however it is wrong, its key is in no output and no error.
func TestNoKeyInASettingIsShown(t *testing.T) {
	for _, file := range []string{
		"models: [{id: m, backends: [{url: 'http://h/v1?key=sekrit'}]}]",
		"models: [{id: m, backends: [{url: 'http://u:sekrit@h/v1'}]}]",
		"models: [{id: m, backends: [{url: 'u:sekrit@h/v1'}]}]",
		"models: [{id: m, backends: [{url: 'http://u:sek%zzrit@h/v1?key=sekrit'}]}]",
		"models: [{id: m, backends: [{url: 'ftp://h/v1?key=sekrit'}]}]",
		"models: [{id: m, backends: [{url: 'h/v1?key=sekrit'}]}]",
		"s3: {endpoint: 'https://h?token=sekrit'}",
		"s3: {endpoint: 'https://u:sekrit@h'}",
		"store: postgres://u:sekrit@h/db",
		"store: postgre://u:sekrit@h/db",
		"events: [{url: 'https://h/hook?code=sekrit'}]",
		"api_keys: [{key: sekrit, principal: p}, {key: sekrit, principal: q}]",
		"credentials: [{access_key_id: A, secret_access_key: ' sekrit', principal: p}]",
		"s3: {endpoint: 'https://h', access_key_id: A, secret_access_key: sekrit}",
		"log: {level: 'http://h?key=sekrit'}",
	} {
		var out bytes.Buffer
		c, err := load(t, file, nil, nil)
		if err == nil {
			values, _ := json.Marshal(c.Values())
			out.Write(values)
			err = c.Write(&out)
		}
		var all *Error
		if errors.As(err, &all) {
			for _, p := range all.Problems {
				out.WriteString(p.String() + p.Remedy)
			}
		} else if err != nil {
			t.Error(err)
		}
		if out.Len() == 0 || strings.Contains(out.String(), "sek") {
			t.Errorf("%s: %s", file, out.String())
		}
	}
}
