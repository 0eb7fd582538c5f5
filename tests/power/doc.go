// Package power takes the power away from the real program and gives it back: its data directory lies on a file system in memory that
// knows what was synced, and that forgets the rest.
//
// [Disk] is the model, without FUSE; a [Keeper] shows it to processes. The tests kill the program, mount what [Disk.Lose] has left, and
// start it again. They need /dev/fuse and the right to mount, and say so where they cannot run.
package power
