// Package backup saves a data directory into a folder, checks what was saved, and makes a data directory of it again.
//
// Layout of the folder:
//
//	batholith-backup          says that the folder is one of backups, and the version of its format
//	lock                      held by the process that writes
//	contents/ab/SUM           the contents of files, each once, by their SHA-256
//	snapshots/ID.jsonl        one backup: the list of its files; written last
//
// So a backup into the same folder copies only what is new, and a backup that was cut off has no list: what it copied is
// used by the next one. docs/formats.md describes the list.
//
// Invariant: a snapshot's list is there only if all that it names is on the disk, and if the database in it names no segment
// that the snapshot lacks. docs/decisions/0043-backup.md has the order of the steps that gives this while a server works.
//
// The package knows the files of a data directory, and nothing of jobs but what package store says about the database.
package backup
