// Package files is a bucket of local files: an [Input] of files named one by one, which are read, and an [Output] directory, which is
// written. So the same code reads and writes objects in an S3 and local files.
//
// Invariant: a file is visible whole or not at all. An Output writes a file in DIR/.batholith/files/, syncs it, renames it to its key, syncs
// its directories, and only then returns. After a crash only files in that folder are left, which no key names and List omits. No key and no
// symbolic link reaches anything outside the directory.
//
// An ETag consists of a file's size, modification time and inode. It is cheap, and changes whenever the file is replaced or touched.
//
// The package must not know what the files are for.
package files
