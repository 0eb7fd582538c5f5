package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// description has the layout of api.yaml. Maps whose order determines the output are ordered
// maps.
type description struct {
	Errors     yaml.MapSlice
	Operations yaml.MapSlice
	Strings    yaml.MapSlice
	Enums      yaml.MapSlice
	Integers   yaml.MapSlice
	Lists      yaml.MapSlice
	Structures yaml.MapSlice
}

// fault is an error code of the API.
type fault struct {
	Name   string `yaml:"-"`
	Status int
	Front  bool // may occur before an operation is known, so operations do not declare it
	Doc    string
}

// operation is one API operation.
type operation struct {
	Name   string `yaml:"-"`
	Doc    string
	Ours   bool // not part of Bedrock
	Route  string
	Errors []string
	Input  yaml.MapSlice
	Output any // a map of members, or the name of a structure
}

// textShape is a string type with its constraints: lengths in characters and an RE2 pattern.
type textShape struct {
	Name    string `yaml:"-"`
	Min     int
	Max     int
	Pattern string
	// AWS holds the published constraints, for the profile "aws"; nil: the same.
	AWS *struct {
		Min     int
		Max     int
		Pattern string
	} `yaml:"aws"`
}

// enumShape is a string type with a list of values.
type enumShape struct {
	Name   string `yaml:"-"`
	Go     string // existing Go type to use; empty: generate one
	Values []string
}

// rangeShape is an integer type with inclusive bounds.
type rangeShape struct {
	Name     string `yaml:"-"`
	Min, Max int
}

// listShape is a list type with bounds of its length.
type listShape struct {
	Name     string `yaml:"-"`
	Of       string // shape of the elements
	Min, Max int
}

// structShape is an object type.
type structShape struct {
	Name    string `yaml:"-"`
	Doc     string
	Union   bool // exactly one member must be set
	Members yaml.MapSlice
}

// member is one line of a structure: `name: Shape! always as NAME ours`. The head of api.yaml
// explains the words.
type member struct {
	Name     string // Go field name
	Wire     string // name in JSON
	Shape    string
	Required bool
	Always   bool // encoded even if zero
}

// each decodes every value of an ordered map into a T and calls use with its name, in order.
func each[T any](m yaml.MapSlice, use func(name string, v T)) error {
	for _, item := range m {
		name := fmt.Sprint(item.Key)
		// MapSlice holds generic values; they are decoded again into T, which rejects unknown
		// keys.
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

// members parses the members of a structure. Their order is the order of violations in error
// messages.
func members(m yaml.MapSlice) ([]member, error) {
	var all []member
	for _, item := range m {
		words := strings.Fields(fmt.Sprint(item.Value))
		name := fmt.Sprint(item.Key)
		if len(words) == 0 {
			return nil, fmt.Errorf("%s has no shape", name)
		}
		// "Shape! always as NAME ours": the shape comes first, then words in any order.
		shape, required := strings.CutSuffix(words[0], "!")
		n := member{Name: goName(name), Wire: name, Shape: shape, Required: required}
		for i := 1; i < len(words); i++ {
			switch {
			case words[i] == "always":
				n.Always = true
			case words[i] == "ours": // informs readers only
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

// word splits a camel-case name; initials maps words to Go's spelling of initialisms.
var (
	word     = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)
	initials = map[string]string{"Arn": "ARN", "Id": "ID", "Ids": "IDs", "Uri": "URI", "Url": "URL", "Vpc": "VPC", "Kms": "KMS", "AWS": "AWS"}
)

// goName converts a JSON name to an exported Go name: s3Uri becomes S3URI.
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

// goLocal converts a name to an unexported Go name: ModelId becomes modelID, VpcConfig becomes
// vpcConfig.
func goLocal(s string) string {
	words := word.FindAllString(s, -1)
	return strings.ToLower(words[0]) + strings.TrimPrefix(goName(s), goName(words[0]))
}
