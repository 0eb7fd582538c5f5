package release

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestWhatTheLinkerWasToldGoesFirst(t *testing.T) {
	stamped := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.4-0.20260102030405-0123456789ab+dirty"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"}}}
	b := of(stamped, "", "", "")
	if b.Version != stamped.Main.Version || b.Revision != "0123456789abcdef" || b.Time == "" || !b.Modified {
		t.Errorf("%+v", b)
	}
	if b = of(stamped, "v2.0.0", "fedcba", "2026-02-02T00:00:00Z"); b.Version != "v2.0.0" || b.Revision != "fedcba" || b.Time != "2026-02-02T00:00:00Z" {
		t.Errorf("%+v", b)
	}
	if b = of(&debug.BuildInfo{}, "", "", ""); b.Version != "(devel)" || b.Revision != "" {
		t.Errorf("%+v", b)
	}
	if strings.ContainsAny(Product(), "() \t") || !strings.HasPrefix(Product(), "batholith/") {
		t.Errorf("%q is no product of RFC 9110", Product())
	}
}
