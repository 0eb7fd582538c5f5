package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/backup"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/release"
	"github.com/batholith/batholith/internal/words"

	"github.com/dustin/go-humanize"
)

// backupCommand returns the command backup with its subcommands check and list.
func (a *app) backupCommand() *cobra.Command {
	var objects string
	var keep int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Save a data directory, also while its server runs",
		Long: `Save a data directory into the folder DIR, also while its server runs: the database, the journal, kept results, the objects of
the embedded S3, keys, the settings file and the files that it names. DIR is made if it does not exist.

A further backup into the same folder copies only what is new, and both can be restored. A backup that was interrupted leaves
nothing that could be restored; run the command again. DIR holds keys, prompts and answers: only its owner can read it.

With --objects reference the objects stay where they are; copy the folder s3 of the data directory by other means. Objects of an
external S3 are not saved. With PostgreSQL the jobs are in that database: save it with PostgreSQL's own tools.`,
		Example: `  batholith backup /backups/batholith
  batholith backup /backups/batholith --keep 14
  batholith backup check /backups/batholith
  batholith restore /backups/batholith --data ./restored`,
		Args: arguments(1, 1, "DIR, the folder of backups"),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().StringVar(&objects, "objects", backup.ObjectsCopied, "copy the objects of the embedded S3, or reference them where they are: `copy|reference`")
	cmd.Flags().IntVar(&keep, "keep", 0, "then delete all but the latest `N` backups; 0: delete none")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if objects != backup.ObjectsCopied && objects != backup.ObjectsReferenced {
			return &usageError{reason: fmt.Sprintf("--objects %s is neither copy nor reference", objects), remedy: "see: batholith backup --help"}
		}
		if keep < 0 {
			return &usageError{reason: "--keep must not be negative", remedy: "see: batholith backup --help"}
		}
		c, err := a.loadBy(config.LoadClient, s)
		if err != nil {
			return err
		}
		return a.backup(cmd.Context(), c, s.file, args[0], objects, keep, asJSON)
	}
	cmd.AddCommand(a.backupCheckCommand(), a.backupListCommand())
	return cmd
}

// backup saves the data directory of the settings into dir.
func (a *app) backup(ctx context.Context, c *config.Config, file, dir, objects string, keep int, asJSON bool) error {
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	if !config.IsData(data) {
		return hint(fmt.Errorf("there is no data directory in %s", data), "name the one of your server with --data DIR")
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(data, dir); err == nil && filepath.IsLocal(rel) {
		return &usageError{reason: fmt.Sprintf("%s is in the data directory %s", dir, data), remedy: "name a folder outside of it, best on another disk"}
	}
	if !c.EmbeddedS3() {
		objects = backup.ObjectsExternal
	}
	o := backup.Options{Data: data, Settings: file, Files: c.NamedFiles(), Objects: objects, Program: release.This().Version, Keep: keep}
	bar := a.newBar()
	if a.live() {
		o.Progress = func(files int, bytes int64) {
			if files%64 == 0 {
				bar.draw(0, 0, fmt.Sprintf("%s, %s", words.Plural(int64(files), "file"), humanize.IBytes(uint64(bytes))))
			}
		}
	}
	r, err := backup.Make(ctx, dir, o)
	bar.clear()
	if err != nil {
		return backupFault(err)
	}
	for _, n := range r.Lost {
		a.tell("warning", plain.Sprintf("job %s needs the object %s, which is not in the data directory: the job cannot be finished, with this backup or without", n.Job.ID, n.Key))
	}
	if asJSON {
		return a.printJSON(map[string]any{"id": r.Snapshot.ID, "dir": dir, "objects": r.Snapshot.Objects, "database": r.Snapshot.Database, "jobs": r.Jobs,
			"files": len(r.Snapshot.Entries), "bytes": r.Snapshot.Bytes(), "newBytes": r.Fresh, "deletedBackups": r.Deleted, "lostObjects": len(r.Lost)})
	}
	plain.Fprintf(a.stderr, "saved %s, %s with %s, of which %s are new\n", data, words.Plural(int64(len(r.Snapshot.Entries)), "file"), humanize.IBytes(uint64(r.Snapshot.Bytes())), humanize.IBytes(uint64(r.Fresh)))
	switch {
	case !r.Snapshot.Database:
		a.tell("hint", plain.Sprintf("the jobs are in %s, and not in this backup: save that database with pg_dump or a base backup, before the data directories and buckets (docs/operations.md)", c.StoreName()))
	case objects == backup.ObjectsReferenced:
		a.tell("hint", plain.Sprintf("the objects are not in this backup: copy %s by other means, after this command", filepath.Join(data, objectsName)))
	case objects == backup.ObjectsExternal:
		a.tell("hint", "the objects are in an external S3, and not in this backup")
	}
	return writeLines(a.stdout, r.Snapshot.ID)
}

// backupFault adds the remedy to an error about a folder of backups.
func backupFault(err error) error {
	if none, ok := errors.AsType[*backup.NoBackupError](err); ok {
		if none.Other {
			return hint(err, "name an empty folder, one that does not exist, or one with backups")
		}
		return hint(err, "make one with: batholith backup %s", words.Quote(none.Dir))
	}
	if _, ok := errors.AsType[*backup.BusyError](err); ok {
		return hint(err, "wait for its end, or name another folder")
	}
	if taken, ok := errors.AsType[*backup.TakenError](err); ok {
		return hint(err, "name a folder that is empty or does not exist with --data; nothing was changed in %s", taken.Dir)
	}
	return err
}

// backupCheckCommand returns backup check.
func (a *app) backupCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check DIR [ID]",
		Short: "Check that backups can be restored",
		Long: `Check that the backups in DIR can be restored: read everything and compare the checksums, check each database, and that the objects
which unfinished jobs need are there. Without ID all backups are checked. The exit code is 1 if anything is wrong.`,
		Example: `  batholith backup check /backups/batholith`,
		Args:    arguments(1, 2, "DIR, the folder of backups"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := backup.Check(cmd.Context(), args[0], args[1:]...)
			if err != nil {
				return backupFault(err)
			}
			if asJSON {
				if c.Faults == nil {
					c.Faults = []backup.Fault{}
				}
				if err := a.printJSON(map[string]any{"backups": len(c.Snapshots), "bytes": c.Bytes, "faults": c.Faults, "unknownJobs": c.Unknown, "cutOff": c.CutOff}); err != nil {
					return err
				}
			}
			return a.tellCheck(args[0], c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tellCheck prints what a check has found, and returns an error if something is wrong.
func (a *app) tellCheck(dir string, c backup.Checked, asJSON bool) error {
	for _, f := range c.Faults {
		if asJSON {
			break
		}
		what := f.Snapshot
		if f.Path != "" {
			what += ", " + f.Path
		}
		plain.Fprintf(a.stdout, "%s: %s\n", what, f.What)
	}
	if c.CutOff {
		a.tell("warning", "a backup was cut off, and cannot be restored; the next batholith backup uses what it copied")
	}
	if len(c.Unknown) > 0 {
		a.tell("warning", plain.Sprintf("the objects have working files of %s, of which the database knows nothing: created after the backup of the database, or by another service. A restored server leaves them alone",
			words.Some("job", c.Unknown)))
	}
	if len(c.Faults) > 0 {
		return hint(fmt.Errorf("%s wrong with the backups in %s", words.Plural(int64(len(c.Faults)), "thing"), dir), "make a new backup into another folder, and look for faults of this disk")
	}
	if len(c.Snapshots) == 0 {
		return backupFault(&backup.NoBackupError{Dir: dir})
	}
	if !asJSON {
		plain.Fprintf(a.stdout, "%s in %s can be restored: %s were read and are as they were saved\n", words.Plural(int64(len(c.Snapshots)), "backup"), dir, humanize.IBytes(uint64(c.Bytes)))
	}
	return nil
}

// backupListCommand returns backup list.
func (a *app) backupListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list DIR",
		Short:   "List the backups of a folder",
		Example: `  batholith backup list /backups/batholith`,
		Args:    arguments(1, 1, "DIR, the folder of backups"),
		RunE: func(_ *cobra.Command, args []string) error {
			all, faults, err := backup.List(args[0])
			if err != nil {
				return backupFault(err)
			}
			if asJSON {
				rows := []map[string]any{}
				for _, s := range all {
					rows = append(rows, map[string]any{"id": s.ID, "taken": s.Taken, "program": s.Program, "data": s.Data, "objects": s.Objects, "database": s.Database,
						"files": len(s.Entries), "bytes": s.Bytes()})
				}
				return a.printJSON(rows)
			}
			for _, f := range faults {
				a.tell("warning", f.Snapshot+": "+f.What)
			}
			for _, s := range all {
				plain.Fprintf(a.stdout, "%s  %s  %s\n", s.ID, s.Taken.Local().Format(time.DateTime), humanize.IBytes(uint64(s.Bytes())))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// restoreCommand returns the command restore.
func (a *app) restoreCommand() *cobra.Command {
	var data, id string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore DIR --data NEW",
		Short: "Make a data directory of a backup",
		Long: `Make the data directory NEW of the latest backup in DIR. NEW must be empty or not exist. All checksums are compared, and NEW appears
only when everything is on the disk.

Stop the server of the old data directory before you start one with NEW: both would work on the same jobs. The settings file
and the files that it names are in NEW/restored-settings, for comparison.

At its first start the server compares each unfinished job with its bucket, before it sends a record: what was done after the
backup is used, and not done again.`,
		Example: `  batholith restore /backups/batholith --data ./restored
  batholith serve --data ./restored`,
		Args: arguments(1, 1, "DIR, the folder of backups"),
	}
	cmd.Flags().StringVar(&data, "data", "", "the new data `directory`")
	cmd.Flags().StringVar(&id, "backup", "", "`id` of the backup, from batholith backup list (default: the latest)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if data == "" {
			return &usageError{reason: "the new data directory is not named", remedy: "name it: batholith restore " + words.Quote(args[0]) + " --data NEW"}
		}
		r, err := backup.Restore(cmd.Context(), args[0], id, data)
		if err != nil {
			return backupFault(err)
		}
		if asJSON {
			return a.printJSON(map[string]any{"id": r.Snapshot.ID, "data": r.Data, "settings": r.Settings, "objects": r.Snapshot.Objects, "jobs": r.Jobs.Jobs, "unfinished": r.Jobs.Unfinished})
		}
		plain.Fprintf(a.stderr, "restored %s of %s, saved %s\n", jobsOf(r.Jobs.Jobs, r.Jobs.Unfinished), r.Snapshot.Data, r.Snapshot.Taken.Local().Format(time.DateTime))
		a.tellRestored(r)
		return writeLines(a.stdout, r.Data)
	}
	return cmd
}

// tellRestored says what to do before the start.
func (a *app) tellRestored(r backup.Restored) {
	switch {
	case !r.Snapshot.Database:
		a.tell("hint", "the jobs are in a PostgreSQL database, which is restored by its own tools; this directory belongs to it")
	case r.Snapshot.Objects == backup.ObjectsReferenced:
		a.tell("hint", plain.Sprintf("the objects are not in the backup: move or copy %s to %s before the start", filepath.Join(r.Snapshot.Data, objectsName), filepath.Join(r.Data, objectsName)))
	}
	settings := ""
	if r.Snapshot.Settings != "" {
		settings = " --config " + words.Quote(r.Snapshot.Settings)
	}
	a.tell("hint", plain.Sprintf("stop the server of %s if it runs, then: %s serve --data %s%s", r.Snapshot.Data, strings.TrimSpace(commandName()), words.Quote(r.Data), settings))
}
