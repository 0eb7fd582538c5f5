package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also the process that dies in TestTheProcessDiesAtItsPoint.
func TestMain(m *testing.M) {
	if armed != nil {
		Here("another")
		Here("here")
		os.Stdout.WriteString("passed once\n")
		Here("here")
		os.Stdout.WriteString("survived\n")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTheProcessDiesAtItsPoint(t *testing.T) {
	for setting, want := range map[string]string{"here": "", "here:2": "passed once\n", "here:3": "passed once\nsurvived\n", "elsewhere": "passed once\nsurvived\n"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), Variable+"="+setting)
		out, _ := cmd.Output() // how it ended is asked below
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := status.Signaled() && status.Signal() == syscall.SIGKILL
		if survives := strings.HasSuffix(want, "survived\n"); string(out) != want || killed == survives {
			t.Errorf("%s: wrote %q, killed %v; want %q", setting, out, killed, want)
		}
	}
}

func TestPointsNamesEveryPointInTheProgram(t *testing.T) {
	places := map[string]int{}
	for _, dir := range []string{"../../internal", "../../cmd"} {
		calls(t, dir, func(name string) { places[name]++ })
	}
	for _, p := range slices.Concat(Points(), BatchPoints(), HeldPoints(), MovePoints(), BackupPoints(), ForgetPoints(), SharedPoints()) {
		if places[p.Name] != 1 {
			t.Errorf("%s is in %d places; want 1", p.Name, places[p.Name])
		}
		delete(places, p.Name)
	}
	for name := range places {
		t.Errorf("no list of points names %s", name)
	}
}

// calls visits the name in each call of Here below dir, tests excepted.
func calls(t *testing.T, dir string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isHere(call.Fun) {
				visit(text(call))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isHere(f ast.Expr) bool {
	s, ok := f.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Here" {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "failpoint"
}

// text is the name in a call, which must be written out.
func text(call *ast.CallExpr) string {
	if len(call.Args) == 1 {
		if lit, ok := call.Args[0].(*ast.BasicLit); ok {
			if name, err := strconv.Unquote(lit.Value); err == nil {
				return name
			}
		}
	}
	return "a name that is not a string literal"
}
