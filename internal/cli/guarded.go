package cli

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/engine"
)

// What serve and run keep in their data directory, besides what package config keeps there.
const (
	databaseName = "batholith.db"
	journalName  = engine.JournalName
	objectsName  = "s3"
)

// guardedNames are the names in the data directory whose loss ends the server: a database of its own, the journal of a
// worker and, with the embedded S3, the objects.
func guardedNames(c *config.Config) []string {
	var names []string
	if !c.Postgres() {
		names = append(names, databaseName)
	}
	if c.Worker() {
		names = append(names, journalName)
	}
	if c.EmbeddedS3() {
		names = append(names, objectsName)
	}
	return names
}

// lostTime is the time that the work has to end after its data directory is lost. What it writes in that time is
// lost too.
const lostTime = 3 * time.Second

// guarded runs work in a data directory. It returns the work's error, or a [*config.LostError] if one of the files
// named is removed or replaced meanwhile. work calls opened once, when all of these files exist.
//
// After a loss the context is canceled, so that nothing more is sent to model servers. Work that does not end
// within lostTime is left running: the process is about to end, and the files that it still writes have no name
// any more.
func guarded(ctx context.Context, data *config.Data, names []string, work func(ctx context.Context, opened func()) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lost := make(chan error, 1)
	ended := make(chan error, 1)
	look := func() error { return nil } // written before the work goes on, read after it has ended
	opened := func() {
		guard, err := data.Guard(names...)
		if err != nil {
			lost <- err
			return
		}
		look = guard.Look
		go func() { // ends with ctx
			if err := guard.Watch(ctx); err != nil {
				lost <- err
			}
		}()
	}
	go func() { ended <- work(ctx, opened) }()
	select {
	case err := <-ended:
		if lost := look(); lost != nil { // it may have ended of the loss
			return withRemedy(lost)
		}
		return err
	case err := <-lost:
		cancel(err)
		select {
		case <-ended:
		case <-time.After(lostTime):
		}
		return withRemedy(err)
	}
}

// withRemedy adds the remedy to a [*config.LostError]; other errors are returned unchanged.
func withRemedy(err error) error {
	var loss *config.LostError
	if !errors.As(err, &loss) {
		return err
	}
	return hint(err, "put it back, from a backup if necessary, and start again; if the directory does not exist, the next start creates an empty one")
}
