package s3serve

import "testing"

func TestOnlyKeysThatArePathsAreFit(t *testing.T) {
	for _, key := range []string{"a", "a/b", "a/", "a/b/", "...", "a/..b", ".hidden/x", "a b", ".sgwtmp1/x"} {
		if segment, cannot := unfit(key); cannot {
			t.Errorf("%q is refused for its segment %q", key, segment)
		}
	}
	for key, want := range map[string]string{"": "", "/": "", "//": "", "/a": "", "a//b": "", "a//": "", ".": ".", "./a": ".", "a/./b": ".",
		"a/.": ".", "a/./": ".", "..": "..", "a/../b": "..", "a/..": "..", ".sgwtmp/x": ".sgwtmp", "a/.sgwtmp": ".sgwtmp", "a/\x00": "\x00"} {
		if segment, cannot := unfit(key); !cannot || segment != want {
			t.Errorf("%q: %v, segment %q", key, cannot, segment)
		}
	}
}
