package control

import "testing"

// FuzzANextTokenIsOfItsListOrRefused sends texts of strangers as a nextToken. Only the token that a list gave has a cursor.
func FuzzANextTokenIsOfItsListOrRefused(f *testing.F) {
	mine, other := page{of: "jobs of 000000000000"}, page{of: "jobs of 111111111111"}
	sound := mine.token(7)
	f.Add(sound)
	f.Add(other.token(7))
	f.Add("")
	f.Add(sound + "=")
	f.Add(sound[:2] + "\n" + sound[2:])
	f.Fuzz(func(t *testing.T, token string) {
		if at, err := mine.cursor(token); err == nil && token != mine.token(at) || at < 0 {
			t.Fatalf("%q leads to %d", token, at)
		}
		if at, err := other.cursor(token); err == nil && at != 0 && token == sound {
			t.Fatalf("%q of another list leads to %d", token, at)
		}
	})
}
