package cli

import (
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

func TestEveryFamilyTakesItsHello(t *testing.T) {
	for _, family := range dialect.Families() {
		d, err := dialect.For(family, dialect.ProtocolOpenAI, batholith.InvokeModel, dialect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Request([]byte(helloBody(family)), "m"); err != nil {
			t.Errorf("%s: %v", family, err)
		}
	}
}
