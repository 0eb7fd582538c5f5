// Package power simulates losses of power for the real program. Its data directory is on a file system in memory that
// knows which bytes were synced, and loses the others.
//
// [Disk] is the model of the disk, without FUSE. A [Keeper] mounts it. The tests kill the program, mount what [Disk.Lose] has left, and
// start the program again. They need /dev/fuse and the right to mount; without them they are skipped with a message.
package power
