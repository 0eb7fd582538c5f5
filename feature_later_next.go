//go:build nextschema

package batholith

// laterFeatures is a tag like one of the next version of the program, and the feature that it asks for.
var laterFeatures = map[string]Feature{"batholith:next": "next"}
