//go:build !nextschema

package batholith

// laterFeatures are tags that this program does not know: none. A program that is built with the tag nextschema has one, so that tests can
// run the program of the next version beside this one.
var laterFeatures map[string]Feature
