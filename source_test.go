package batholith_test

import (
	"fmt"
	"testing"

	"github.com/batholith/batholith"
)

// A manifest tells servers and names apart up to a bound, and loses no answer beyond it: a server may call itself otherwise each time.
func TestSourcesCountEveryAnswerAndStayShort(t *testing.T) {
	var s batholith.Sources
	s.Note(nil)
	for i := range 3 * batholith.ManySources {
		from := &batholith.Source{Backend: "h:1", Model: fmt.Sprint("m", i)}
		from.Changes.Drop("metadata")
		from.Changes.Drop("metadata")
		if i%2 == 0 {
			from.Changes.Map("thinking")
		}
		s.Note(from)
	}
	var m batholith.Manifest
	s.Tell(&m)
	sum := int64(0)
	for _, from := range m.Batholith.Sources {
		sum += from.Records
	}
	n := int64(3 * batholith.ManySources)
	if sum != n || len(m.Batholith.Sources) > batholith.ManySources+1 {
		t.Errorf("%d of %d answers are counted, under %d names", sum, n, len(m.Batholith.Sources))
	}
	if c := m.Batholith.Changes; c.Dropped["metadata"] != n || c.Mapped["thinking"] != n/2 {
		t.Errorf("of %d records the manifest counts %v", n, c)
	}
}
