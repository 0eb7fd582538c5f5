package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// The page has each module that this system links, at its version and with the licences that are in its files. The
// module cache of the build is enough; without the network.
func TestEveryLinkedModuleIsOnThePageWithAnAllowedLicence(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	page, err := os.ReadFile("../../docs/licences.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(page), head) {
		t.Error("docs/licences.md does not begin as head.md does: run make generate")
	}
	all := modules{}
	if err := all.add("../..", runtime.GOOS); err != nil {
		t.Fatal(err)
	}
	if err := all.vendored("../.."); err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("%d modules: the test does not see what is linked", len(all))
	}
	for _, m := range all.sorted() {
		row, err := m.row()
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), row) {
			t.Errorf("docs/licences.md has no line %q: run make generate", row)
		}
	}
}

func TestALicenceThatIsUnknownOrNotAllowedIsRefused(t *testing.T) {
	ours, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := recognise("LICENSE", ours); err != nil || len(ids) != 1 || ids[0] != "Apache-2.0" {
		t.Errorf("our own: %v, %v", ids, err)
	}
	for name, text := range map[string]string{
		"GPL-3.0-only": "SPDX-License-Identifier: GPL-3.0-only", "AGPL": "https://www.gnu.org/licenses/agpl-3.0.html",
		"0 %": "You may use this on Sundays.", "empty": "",
	} {
		if ids, err := recognise("LICENSE", []byte(text)); err == nil {
			t.Errorf("%s is taken: %v", name, ids)
		}
	}
	if row, err := (&module{path: "example.com/bare", version: "v1.0.0"}).row(); err == nil {
		t.Errorf("a module without a licence is taken: %s", row)
	}
}
