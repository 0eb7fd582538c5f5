//go:build !nextschema

package store

import "github.com/pressly/goose/v3"

// later returns the migrations that this program has beyond those in its folders: none. A program that is built with the tag
// nextschema has one, so that tests can run the program of the next version beside this one.
func later() []*goose.Migration { return nil }
