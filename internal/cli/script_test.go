package cli

import (
	"database/sql"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/internal/raced"
)

// The scripts run this test binary as the command batholith, and a console in it starts it again to read tables.
func TestMain(m *testing.M) {
	if code, ok := tableProcess(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); ok {
		os.Exit(code)
	}
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
	testscript.Run(t, stories(testscript.Params{Dir: "testdata/script"}))
}

// TestStoriesOnPostgreSQL runs the stories of jobs with the other database.
func TestStoriesOnPostgreSQL(t *testing.T) {
	if raced.On {
		t.Skip("the stories run without the race detector")
	}
	server := pgtest.Shared(t)
	for _, name := range []string{"retry", "forget", "pause", "sample", "caps", "openai", "events"} {
		t.Run(name, func(t *testing.T) {
			database := server.Database(t)
			t.Cleanup(func() { // when the story has ended
				db, err := sql.Open("pgx", database)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				n := 0
				if err := db.QueryRow("SELECT COUNT(*) FROM jobs").Scan(&n); err != nil || n == 0 {
					t.Errorf("the database has %d jobs of the story, %v", n, err)
				}
			})
			testscript.Run(t, stories(testscript.Params{Files: []string{"testdata/script/" + name + ".txtar"}}, "BATHOLITH_STORE", database))
		})
	}
}

// stories completes the parameters of stories, whose environment gets the pairs of names and values.
func stories(p testscript.Params, more ...string) testscript.Params {
	p.Condition = func(name string) (bool, error) {
		if name != "postgres" {
			return false, fmt.Errorf("there is no condition %q", name)
		}
		return len(more) > 0, nil
	}
	p.RequireExplicitExec, p.RequireUniqueNames, p.Cmds = true, true, storyCommands
	p.Setup = func(e *testscript.Env) error {
		// No story may reach for the keys or the metadata of the machine that it runs on.
		e.Setenv("HOME", e.WorkDir)
		e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		for i := 0; i < len(more); i += 2 {
			e.Setenv(more[i], more[i+1])
		}
		e.Values[storyKey{}] = &story{processes: map[string]*process{}}
		return nil
	}
	return p
}
