package batholith

import (
	"testing"
	"time"
)

func TestJobARNsAreReadBack(t *testing.T) {
	a := JobARN("eu-west-1", "123456789012", "abcdefghij01")
	if a.String() != "arn:aws:bedrock:eu-west-1:123456789012:model-invocation-job/abcdefghij01" {
		t.Errorf("ARN %s", a)
	}
	b, err := ParseARN(a.String())
	if id, ok := b.JobID(); err != nil || b != a || !ok || id != "abcdefghij01" {
		t.Errorf("%v, %v, %s, %v", b, err, id, ok)
	}
	for _, s := range []string{"", "arn:aws:bedrock", "abcdefghij01", "arn::bedrock:r:a:x", "urn:aws:bedrock:r:a:x"} {
		if _, err := ParseARN(s); err == nil {
			t.Errorf("%q was taken for an ARN", s)
		}
	}
	for _, s := range []string{"arn:aws:iam::123456789012:role/x", "arn:aws:bedrock:r:1:model-invocation-job/SHORT", "arn:aws:bedrock:r:1:model-invocation-job/abcdefghij0"} {
		a, err := ParseARN(s)
		if _, ok := a.JobID(); err != nil || ok {
			t.Errorf("%s names a job (%v)", s, err)
		}
	}
}

func TestBitsAreASet(t *testing.T) {
	a, b := NewBits(20), NewBits(20)
	for _, i := range []int{0, 7, 8, 19} {
		a.Set(i)
	}
	b.Set(9)
	if a.Len() != 4 || !a.Has(19) || a.Has(18) || a.Has(1000) || a.Overlaps(b) {
		t.Errorf("%08b", a)
	}
	b.Set(8)
	if !a.Overlaps(b) || !b.Overlaps(a) {
		t.Error("8 is in both")
	}
}

func TestKeysAreOrderedAsTheOutputIs(t *testing.T) {
	keys := []RecordKey{{0, 0}, {0, 1}, {0, 1 << 40}, {1, 0}, {2, 5}}
	for i, k := range keys {
		for j, l := range keys {
			if got := k.Compare(l); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%v against %v: %d", k, l, got)
			}
		}
	}
}

func TestTimeoutsFollowTheLimits(t *testing.T) {
	l := DefaultLimits()
	if l.Timeout(0) != 24*time.Hour || l.Timeout(48) != 48*time.Hour {
		t.Errorf("%s, %s", l.Timeout(0), l.Timeout(48))
	}
	l.Hour = time.Millisecond
	if l.Timeout(24) != 24*time.Millisecond {
		t.Errorf("%s", l.Timeout(24))
	}
}
