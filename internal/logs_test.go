package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// singular finds messages about one job.
var singular = regexp.MustCompile(`(?i)\bjob('s)?\b`)

// levels are the methods of a logger, with the number of arguments before the message.
var levels = map[string]int{"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1, "Log": 2}

// A line of the log about a job has its id under the key job, so that a search for job=ID finds all of them.
func TestEveryLineAboutAJobHasItsID(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !logs(method.X) {
				return true
			}
			before, ok := levels[method.Sel.Name]
			if !ok || len(call.Args) <= before {
				return true
			}
			text, ok := literal(call.Args[before])
			if !ok || !singular.MatchString(text) {
				return true
			}
			found++
			if call.Ellipsis.IsValid() { // the attributes are a variable; the function makes it
				return true
			}
			if !slices.ContainsFunc(call.Args[before+1:], func(a ast.Expr) bool { key, ok := literal(a); return ok && key == "job" }) {
				t.Errorf("%s: the message %q is about a job, and has no attribute job", set.Position(call.Pos()), text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 15 {
		t.Errorf("only %d messages about a job were found: the test does not look where they are", found)
	}
}

// logs reports whether an expression names a logger.
func logs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	}
	return false
}

// literal is the text of a string literal.
func literal(x ast.Expr) (string, bool) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}
