// Package minio is what minio-go's own tests of servers are built with: the versions of its modules. The tests themselves come out of the
// module cache. See TestMinioGoPassesItsOwnTests, one folder up.
package minio
