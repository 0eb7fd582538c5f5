package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/batholith/batholith/internal/raced"
)

// The scripts run this test binary as the command batholith.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"batholith": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// TestStories runs the stories of testdata/script. Each has a directory, a home and an environment of its own. They are the commands of
// users, whose processes would mostly wait for the race detector; scripts/test.sh runs them without it.
func TestStories(t *testing.T) {
	if raced.On {
		t.Skip("the stories run without the race detector")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// No story may reach for the keys or the metadata of the machine that it runs on.
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			e.Values[storyKey{}] = &story{processes: map[string]*process{}}
			return nil
		},
		Cmds: storyCommands,
	})
}
