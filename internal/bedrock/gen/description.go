package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// description is api.yaml as it is written. Maps whose order shows in the output keep it.
type description struct {
	Errors     yaml.MapSlice
	Operations yaml.MapSlice
	Strings    yaml.MapSlice
	Enums      yaml.MapSlice
	Integers   yaml.MapSlice
	Lists      yaml.MapSlice
	Structures yaml.MapSlice
}

type fault struct {
	Name   string `yaml:"-"`
	Status int
	Front  bool // said before an operation runs
	Doc    string
}

type operation struct {
	Name   string `yaml:"-"`
	Doc    string
	Ours   bool // not Bedrock's
	Route  string
	Errors []string
	Input  yaml.MapSlice
	Output any // a map of members, or the name of a structure
}

type textShape struct {
	Name    string `yaml:"-"`
	Min     int
	Max     int
	Pattern string
	AWS     *struct {
		Min     int
		Max     int
		Pattern string
	} `yaml:"aws"`
}

type enumShape struct {
	Name   string `yaml:"-"`
	Go     string
	Values []string
}

type rangeShape struct {
	Name     string `yaml:"-"`
	Min, Max int
}

type listShape struct {
	Name     string `yaml:"-"`
	Of       string
	Min, Max int
}

type structShape struct {
	Name    string `yaml:"-"`
	Doc     string
	Union   bool
	Members yaml.MapSlice
}

// member is one line of a structure: `name: Shape! always as NAME ours`.
type member struct {
	Name     string // in Go's naming
	Wire     string
	Shape    string
	Required bool
	Always   bool
}

// each decodes the values of an ordered map into T and hands them out with their names.
func each[T any](m yaml.MapSlice, use func(name string, v T)) error {
	for _, item := range m {
		name := fmt.Sprint(item.Key)
		raw, err := yaml.Marshal(item.Value)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		var v T
		if err := yaml.UnmarshalWithOptions(raw, &v, yaml.Strict(), yaml.UseOrderedMap()); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		use(name, v)
	}
	return nil
}

// members reads the members of a structure in the order in which they are written: it is the order of messages.
func members(m yaml.MapSlice) ([]member, error) {
	var all []member
	for _, item := range m {
		words := strings.Fields(fmt.Sprint(item.Value))
		name := fmt.Sprint(item.Key)
		if len(words) == 0 {
			return nil, fmt.Errorf("%s has no shape", name)
		}
		shape, required := strings.CutSuffix(words[0], "!")
		n := member{Name: goName(name), Wire: name, Shape: shape, Required: required}
		for i := 1; i < len(words); i++ {
			switch {
			case words[i] == "always":
				n.Always = true
			case words[i] == "ours": // for those who compare the description with Bedrock's
			case words[i] == "as" && i+1 < len(words):
				i++
				n.Wire = words[i]
			default:
				return nil, fmt.Errorf("%s: what is %q?", name, words[i])
			}
		}
		all = append(all, n)
	}
	return all, nil
}

var (
	word     = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)
	initials = map[string]string{"Arn": "ARN", "Id": "ID", "Ids": "IDs", "Uri": "URI", "Vpc": "VPC", "Kms": "KMS", "AWS": "AWS"}
)

// goName turns a name of the wire into an exported one of Go: s3Uri is S3URI.
func goName(s string) string {
	var b strings.Builder
	for _, w := range word.FindAllString(strings.ToUpper(s[:1])+s[1:], -1) {
		if up, ok := initials[w]; ok {
			w = up
		}
		b.WriteString(w)
	}
	return b.String()
}

// goLocal is goName for a name that is not exported: ModelId is modelID, VpcConfig is vpcConfig.
func goLocal(s string) string {
	words := word.FindAllString(s, -1)
	return strings.ToLower(words[0]) + strings.TrimPrefix(goName(s), goName(words[0]))
}
