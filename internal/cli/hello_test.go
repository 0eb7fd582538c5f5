package cli

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/plain"
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

// Scripts take the addresses of a start by their order: first the API, then the S3.
func TestTheFirstAddressesOfAStartAreTheAPIAndTheS3(t *testing.T) {
	c, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	(&app{stderr: plain.NewWriter(&said)}).welcome(c, addresses{Bedrock: "http://127.0.0.1:1", S3: "http://127.0.0.1:2"})
	got := regexp.MustCompile(`http://\S+`).FindAllString(said.String(), -1)
	if want := []string{"http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1/console/"}; !slices.Equal(got, want) {
		t.Errorf("the addresses are %q, want %q:\n%s", got, want, said.String())
	}
}
