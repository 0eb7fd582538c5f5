package plain

import "testing"

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
		"postgres://batholith@db:5432/b":                         "postgres://batholith@db:5432/b",
		"postgres://batholith@/b?host=/run&password=sekrit":      "postgres://batholith@/b?host=/run&password=(hidden)",
		"postgres://se@krit@db/b":                                "postgres://(hidden)@db/b",
		"https://token@db/b":                                     "https://(hidden)@db/b",
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
