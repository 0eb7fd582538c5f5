package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
)

// bom is a CycloneDX document, version 1.6 (https://cyclonedx.org/docs/1.6/json/): the parts that say what a binary contains.
type bom struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Serial     string      `json:"serialNumber"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	PURL     string    `json:"purl"`
	Hashes   []hash    `json:"hashes,omitempty"`
	Licenses []license `json:"licenses,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

// sbom writes the list of the modules in a binary: those that the Go toolchain stored in it, with the licences of docs/licences.md.
func (r *run) sbom(name, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	known, err := licencesOf("docs/licences.md")
	if err != nil {
		return err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	main := part("application", info.Main.Path, r.version, []string{"Apache-2.0"})
	main.Hashes = []hash{{"SHA-256", sum}}
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Serial: "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(sum)).String(),
		Metadata: metadata{Timestamp: r.commit.time.Format("2006-01-02T15:04:05Z"), Component: main}}
	b.Components = append(b.Components, part("library", "std", strings.TrimPrefix(info.GoVersion, "go"), []string{"BSD-3-Clause"}))
	for _, d := range info.Deps {
		licences := known[d.Path]
		if licences == nil {
			return fmt.Errorf("docs/licences.md does not have %s: run make generate", d.Path)
		}
		b.Components = append(b.Components, part("library", d.Path, d.Version, licences))
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return r.write(name, append(text, '\n'))
}

// part is a Go module as a component.
func part(kind, path, version string, licences []string) component {
	purl := "pkg:golang/" + path + "@" + version
	c := component{Type: kind, Ref: purl, Name: path, Version: version, PURL: purl}
	for _, id := range licences {
		var l license
		l.License.ID = id
		c.Licenses = append(c.Licenses, l)
	}
	return c
}

// licencesOf reads the table of docs/licences.md: module, version, licences.
func licencesOf(page string) (map[string][]string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	known := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && strings.HasPrefix(line, "| ") {
			known[strings.TrimPrefix(cells[0], "| ")] = strings.Split(cells[2], ", ")
		}
	}
	return known, nil
}
