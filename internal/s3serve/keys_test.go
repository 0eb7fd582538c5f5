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

func TestABucketMayStandBeforeTheNamesOfEndpoints(t *testing.T) {
	for host, want := range map[string]string{
		"box.localhost":                            "box",
		"box.s3.us-east-1.amazonaws.com":           "box",
		"box.s3-eu-west-1.amazonaws.com":           "box",
		"box.s3.amazonaws.com":                     "box",
		"dotted.box.s3.us-east-1.amazonaws.com":    "dotted.box",
		"a.s3.b.s3.us-east-1.amazonaws.com":        "a.s3.b",
		"s3.us-east-1.amazonaws.com":               "",
		"s3.amazonaws.com":                         "",
		"amazonaws.com":                            "",
		"localhost":                                "",
		"box.s3.us-east-1.amazonaws.com.evil.test": "",
		"box.s4.us-east-1.amazonaws.com":           "",
	} {
		if got := bucketOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}
