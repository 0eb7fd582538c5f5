// Package files is a bucket over local files: an [Input] of files named one by one, to be read, and an [Output] directory, to be
// written. The objects of a bucket in an S3 and the files here are read and written by the same code.
//
// Its invariant: a file is seen whole or not at all. What an Output writes lies in DIR/.batholith/files/ until it is complete
// and on disk, then it is renamed, then its directories are synced, and only then the call returns. A process that dies leaves
// at most files in there, which no key reaches and List does not show. Nothing outside the directory is reached by any key, nor
// by a symbolic link inside it.
//
// An ETag is made of a file's size, modification time and inode: cheap, and another whenever the file was replaced or touched.
//
// The package must not know what the files are for.
package files
