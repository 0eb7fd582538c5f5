package batholith

import "fmt"

// EchoTag is the tag of a job that says whether its output repeats the modelInput of each record, as Bedrock's does: on
// or off.
const EchoTag = "batholith:echo"

// ParseEcho reads the value of [EchoTag].
func ParseEcho(value string) (on bool, err error) {
	switch value {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", value)
}

// Echoes reports whether the output of a job with these tags repeats modelInput. usual is what the settings say. The tag
// of a job cannot be one that is not understood.
func Echoes(tags []Tag, usual bool) bool {
	for _, t := range tags {
		if t.Key == EchoTag {
			on, err := ParseEcho(t.Value)
			return on && err == nil
		}
	}
	return usual
}
