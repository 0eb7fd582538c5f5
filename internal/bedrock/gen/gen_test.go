package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGeneratedFilesAreClean(t *testing.T) {
	source, err := os.ReadFile("../api.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(source)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := filepath.Glob("../*_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(committed) != len(files) {
		t.Errorf("%d files are generated, and %d are there: %v", len(files), len(committed), committed)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s is not what api.yaml says; run go generate ./internal/bedrock\n%s", name, d)
		}
	}
}

func TestADescriptionThatDoesNotFitTogetherIsRefused(t *testing.T) {
	for name, source := range map[string]string{
		"unknown shape":     "operations: {A: {route: GET /a, input: {b: Nothing}, output: {}}}",
		"unknown word":      "strings: {S: {}}\noperations: {A: {route: GET /a, input: {b: S perhaps}, output: {}}}",
		"no route":          "operations: {A: {input: {}, output: {}}}",
		"unknown attribute": "strings: {S: {minimum: 1}}",
		"list of nothing":   "lists: {L: {of: Nothing}}",
	} {
		if files, err := generate([]byte(source)); err == nil {
			t.Errorf("%s: made %d files", name, len(files))
		}
	}
}

func TestNamesFollowGo(t *testing.T) {
	for wire, want := range map[string]string{
		"s3Uri": "S3URI", "modelId": "ModelID", "resourceARN": "ResourceARN", "subnetIds": "SubnetIDs", "jobName": "JobName",
	} {
		if got := goName(wire); got != want {
			t.Errorf("%s: %s, want %s", wire, got, want)
		}
	}
	for shape, want := range map[string]string{"VpcConfig": "vpcConfig", "S3Uri": "s3URI", "ModelId": "modelID", "Tag": "tag"} {
		if got := goLocal(shape); got != want {
			t.Errorf("%s: %s, want %s", shape, got, want)
		}
	}
}
