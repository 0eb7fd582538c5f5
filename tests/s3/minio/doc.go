// Package minio fixes the versions of the modules with which minio-go's own server tests are built. The tests come from the
// module cache. See TestMinioGoPassesItsOwnTests in the folder above.
package minio
