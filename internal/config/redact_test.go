package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestKeysInURLsAreHidden(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8000/v1":                               "http://127.0.0.1:8000/v1",
		"http://h/v1?key=sekrit":                                 "http://h/v1?key=(hidden)",
		"https://h/v1?api-version=2024-06-01&API_KEY=sekrit":     "https://h/v1?api-version=2024-06-01&API_KEY=(hidden)",
		"https://h?sig=sekrit;token=sekrit&x=":                   "https://h?sig=(hidden)&token=(hidden)&x=",
		"https://h/v1?sekrit":                                    "https://h/v1?(hidden)",
		"https://h/v1#sekrit":                                    "https://h/v1#(hidden)",
		"http://user:sekrit@h/v1":                                "http://(hidden)@h/v1",
		"http://sekrit@h:80/v1?a=sekrit":                         "http://(hidden)@h:80/v1?a=(hidden)",
		"http://user:p@sekrit@h/v1":                              "http://(hidden)@h/v1",
		"postgres://batholith:sekrit@db:5432/b?sslmode=require":  "postgres://(hidden)@db:5432/b?sslmode=(hidden)",
		"http://user:sek/rit@h/v1":                               "http://(hidden)@h/v1",
		"http://[::1]:80/a@b":                                    "http://[::1]:80/a@b",
		"http://h:80/a@b":                                        "http://h:80/a@b",
		"two: http://h?k=sekrit, and \"http://u:sekrit@i/\" end": "two: http://h?k=(hidden) and \"http://(hidden)@i/\" end",
		"no URL: a@b?key=x":                                      "no URL: a@b?key=x",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

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
