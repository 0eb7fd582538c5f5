package network

import (
	"fmt"
	"testing"
)

// Callers can name the subnets in any order, and so any number of networks.
func TestManyNetworksTakeBoundedMemory(t *testing.T) {
	var subnets []Subnet
	for i := range 2 * mostKnown {
		subnets = append(subnets, Subnet{ID: fmt.Sprint("s", i)})
	}
	n := New(subnets, []Group{{ID: "sg"}})
	for _, s := range subnets {
		ids, groups := []string{s.ID}, []string{"sg"}
		considered, err := n.Consider(ids, groups)
		if err != nil {
			t.Fatal(err)
		}
		before := len(n.known)
		if _, err := n.Consider([]string{s.ID, "s0"}, groups); err != nil || len(n.known) != before {
			t.Fatalf("%v; a network is remembered that no job has", err)
		}
		one, err := n.Of(ids, groups)
		if err != nil {
			t.Fatal(err)
		}
		again, err := n.Of(ids, []string{"sg", "sg"})
		if err != nil || one != again || one.Key() != considered.Key() {
			t.Fatalf("equal ids give two networks: %v", err)
		}
		if len(n.known) > mostKnown {
			t.Fatalf("%d networks are remembered", len(n.known))
		}
	}
	if _, err := n.Consider([]string{"gone"}, []string{"sg"}); err == nil {
		t.Error("a subnet that does not exist was considered")
	}
}
