package telemetry

import (
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// An observed bucket keeps the laws of a bucket.
func TestAnObservedBucketIsABucket(t *testing.T) {
	m := New(Build{})
	objecttest.Run(t, func(t *testing.T) blob.Bucket { return m.Bucket(objecttest.NewMemory()) })
	if testutil.CollectAndCount(m.depots.s3) == 0 {
		t.Error("no call was observed")
	}
}

func TestBytesOfBucketsAreCounted(t *testing.T) {
	m := New(Build{})
	b := m.Bucket(objecttest.NewMemory())
	if err := b.Put(t.Context(), "a", make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	r, err := b.Read(t.Context(), "a", "", 0, 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	for direction, want := range map[string]float64{"written": 100, "read": 40} {
		if got := testutil.ToFloat64(m.depots.bytes.WithLabelValues(direction)); got != want {
			t.Errorf("%s: %v bytes, want %v", direction, got, want)
		}
	}
}
