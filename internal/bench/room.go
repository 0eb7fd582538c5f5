package main

import "syscall"

// room is the number of free bytes on the disk of a folder.
func room(dir string) (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}
