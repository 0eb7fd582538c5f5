package objecttest

import (
	"errors"
	"io"
	"testing"
)

func TestMemoryKeepsTheLaw(t *testing.T) {
	Run(t, func(*testing.T) Bucket { return NewMemory() })
}

func TestFaultMayFailAfterTheEffect(t *testing.T) {
	boom := errors.New("boom")
	for _, apply := range []bool{false, true} {
		m := NewMemory()
		m.Fault = func(op, key string) (bool, error) {
			if op == "Put" {
				return apply, boom
			}
			return true, nil
		}
		if err := m.Put(t.Context(), "k", []byte("x")); !errors.Is(err, boom) {
			t.Errorf("apply %v: %v", apply, err)
		}
		if _, there := m.Object("k"); there != apply {
			t.Errorf("apply %v, but object there: %v", apply, there)
		}
	}
}

func TestFaultMayClaimAnEffect(t *testing.T) {
	m := NewMemory()
	m.Fault = func(op, key string) (bool, error) { return op != "Put", nil }
	if err := m.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Error(err)
	}
	if len(m.Keys()) != 0 {
		t.Errorf("written all the same: %q", m.Keys())
	}
}

func TestFaultMayTearARead(t *testing.T) {
	boom := errors.New("boom")
	m := NewMemory()
	put(t, m, "k", []byte("0123456789"))
	m.Fault = func(op, key string) (bool, error) { return true, boom }
	r, err := m.Read(t.Context(), "k", "", 0, 8)
	must(t, err)
	got, err := io.ReadAll(r)
	if string(got) != "0123" || !errors.Is(err, boom) {
		t.Errorf("%q, %v", got, err)
	}
}
