package cli

import (
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/config"
)

func TestSubnetsThatThisMachineCannotServeAreWarnedAbout(t *testing.T) {
	absent := absentWays(config.Network{Subnets: []config.Subnet{{ID: "here", SourceAddress: "127.0.0.1"}, {ID: "bare"},
		{ID: "away", SourceAddress: "192.0.2.1"}, {ID: "gone", Interface: "no-such-if"}}})
	if len(absent) != 2 || !strings.Contains(absent[0], "network.subnets[2].source_address: this machine does not have the address 192.0.2.1; nothing leaves by away") ||
		!strings.Contains(absent[1], "network.subnets[3].interface: this machine does not have the interface no-such-if") {
		t.Errorf("%q", absent)
	}
}
