//go:build linux

package power

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mounted is a Disk that is mounted with FUSE. Its methods implement [fuse.RawFileSystem].
type mounted struct {
	fuse.RawFileSystem
	disk   *Disk
	server *fuse.Server
	dir    string

	listings map[uint64][]listed // entries of open directories, by handle; guarded by the disk's mutex
	handle   uint64
}

// listed is an entry of a directory at the time when it was opened.
type listed struct {
	name string
	node *node
}

// show mounts a disk at a directory. It needs /dev/fuse and the right to mount.
func show(disk *Disk, dir string) (*mounted, error) {
	m := &mounted{RawFileSystem: fuse.NewDefaultRawFileSystem(), disk: disk, dir: dir, listings: map[uint64][]listed{}}
	server, err := fuse.NewServer(m, dir, &fuse.MountOptions{DirectMountStrict: true, FsName: "power", Name: "power", MaxWrite: 1 << 20,
		DisableReadDirPlus: true, IgnoreSecurityLabels: true})
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	m.server = server
	go server.Serve() // ends when the file system is unmounted
	return m, server.WaitMount()
}

// Unmount unmounts the file system. No process may use it any more.
func (m *mounted) Unmount() error {
	if err := unix.Unmount(m.dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	m.server.Wait()
	return nil
}

// abandon unmounts the file system even if a process still uses it.
func (m *mounted) abandon() {
	if m != nil {
		_ = unix.Unmount(m.dir, unix.MNT_DETACH) // the process ends, and the mount with it
	}
}

// cached is how long the kernel may cache names and attributes. All changes go through the kernel, so it may be long.
const cached = time.Hour

// with calls f with a node under the disk's mutex.
func (m *mounted) with(id uint64, f func(*node) syscall.Errno) fuse.Status {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	n := m.disk.nodes[id]
	if n == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return fuse.Status(f(n))
}

// attr fills in the attributes of a node.
func (n *node) attr(out *fuse.Attr) {
	kind := uint32(syscall.S_IFREG)
	if n.dir {
		kind = syscall.S_IFDIR
	}
	size := uint64(len(n.now.data))
	*out = fuse.Attr{Ino: n.id, Size: size, Blocks: (size + 511) / 512, Mode: kind | n.mode, Nlink: uint32(n.links), Blksize: pageBytes}
	out.SetTimes(&n.modified, &n.modified, &n.modified)
}

// entry fills in a directory entry.
func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, 1
	out.SetEntryTimeout(cached)
	out.SetAttrTimeout(cached)
	n.attr(&out.Attr)
}

// Lookup finds a name in a directory.
func (m *mounted) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno {
		n := dir.now.names[name]
		if n == nil {
			return syscall.ENOENT
		}
		n.entry(out)
		return 0
	})
}

// GetAttr is stat(2).
func (m *mounted) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		out.SetTimeout(cached)
		n.attr(&out.Attr)
		return 0
	})
}

// SetAttr is chmod(2), truncate(2) and utimes(2). Owner and access time are ignored.
func (m *mounted) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		if mode, ok := in.GetMode(); ok {
			n.mode = mode & 0o7777
		}
		if size, ok := in.GetSize(); ok {
			n.resize(int(size))
		}
		if t, ok := in.GetMTime(); ok {
			n.modified = t
		}
		out.SetTimeout(cached)
		n.attr(&out.Attr)
		return 0
	})
}

// Mkdir makes a directory. Its name is durable after a sync of the parent.
func (m *mounted) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno {
		n := m.disk.add(true, in.Mode)
		if err := m.disk.put(dir, name, n); err != 0 {
			return err
		}
		n.entry(out)
		return 0
	})
}

// Create is open(2) with O_CREAT. It honours O_EXCL and O_TRUNC.
func (m *mounted) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno {
		n := dir.now.names[name]
		if n == nil {
			n = m.disk.add(false, in.Mode)
			m.disk.put(dir, name, n)
		} else if in.Flags&syscall.O_EXCL != 0 {
			return syscall.EEXIST
		}
		if in.Flags&syscall.O_TRUNC != 0 {
			n.resize(0)
		}
		n.entry(&out.EntryOut)
		return 0
	})
}

// Tmpfile is open(2) with O_TMPFILE: a file without a name.
func (m *mounted) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	return m.with(in.NodeId, func(*node) syscall.Errno {
		m.disk.add(false, in.Mode).entry(&out.EntryOut)
		return 0
	})
}

// Link adds another name for a file.
func (m *mounted) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno {
		n := m.disk.nodes[in.Oldnodeid]
		if err := m.disk.put(dir, name, n); err != 0 {
			return err
		}
		n.entry(out)
		return 0
	})
}

// Unlink removes the name of a file.
func (m *mounted) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno { return m.disk.remove(dir, name, false) })
}

// Rmdir removes an empty directory.
func (m *mounted) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno { return m.disk.remove(dir, name, true) })
}

// Rename is renameat2(2). RENAME_NOREPLACE is the only flag that it knows.
func (m *mounted) Rename(_ <-chan struct{}, in *fuse.RenameIn, old, name string) fuse.Status {
	return m.with(in.NodeId, func(from *node) syscall.Errno {
		if in.Flags&^unix.RENAME_NOREPLACE != 0 {
			return syscall.EINVAL
		}
		return m.disk.rename(from, old, m.disk.nodes[in.Newdir], name, in.Flags != 0)
	})
}

// Open opens a file. There are no handles for files, since every call names the node.
func (m *mounted) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		if in.Flags&syscall.O_TRUNC != 0 {
			n.resize(0)
		}
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
		return 0
	})
}

// Read reads at an offset; fewer bytes at the end of the file.
func (m *mounted) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	read := 0
	status := m.with(in.NodeId, func(n *node) syscall.Errno {
		if in.Offset < uint64(len(n.now.data)) {
			read = copy(buf, n.now.data[in.Offset:])
		}
		return 0
	})
	return fuse.ReadResultData(buf[:read]), status
}

// Write writes at an offset. The pages are durable after Fsync.
func (m *mounted) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	return uint32(len(b)), m.with(in.NodeId, func(n *node) syscall.Errno {
		n.write(int64(in.Offset), b)
		return 0
	})
}

// Fallocate extends a file with zeros. Other modes are not supported.
func (m *mounted) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		if in.Mode != 0 {
			return syscall.EOPNOTSUPP
		}
		if end := int(in.Offset + in.Length); end > len(n.now.data) {
			n.resize(end)
		}
		return 0
	})
}

// Fsync makes a file durable, also for fdatasync(2).
func (m *mounted) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno { m.disk.sync(n); return 0 })
}

// Flush is close(2). It makes nothing durable.
func (m *mounted) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// OpenDir opens a directory. ReadDir returns the entries of this moment.
func (m *mounted) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return m.with(in.NodeId, func(dir *node) syscall.Errno {
		list := []listed{{".", dir}, {"..", dir}}
		for _, name := range slices.Sorted(maps.Keys(dir.now.names)) {
			list = append(list, listed{name, dir.now.names[name]})
		}
		m.handle++
		m.listings[m.handle], out.Fh = list, m.handle
		return 0
	})
}

// ReadDir lists an open directory from an offset on.
func (m *mounted) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.with(in.NodeId, func(*node) syscall.Errno {
		list := m.listings[in.Fh]
		for i := int(in.Offset); i < len(list); i++ {
			mode := uint32(syscall.S_IFREG)
			if list[i].node.dir {
				mode = syscall.S_IFDIR
			}
			if !out.AddDirEntry(fuse.DirEntry{Name: list[i].name, Mode: mode, Ino: list[i].node.id, Off: uint64(i + 1)}) {
				break
			}
		}
		return 0
	})
}

// ReleaseDir closes a directory.
func (m *mounted) ReleaseDir(in *fuse.ReleaseIn) {
	m.with(in.NodeId, func(*node) syscall.Errno { delete(m.listings, in.Fh); return 0 })
}

// FsyncDir makes the names in a directory durable.
func (m *mounted) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno { m.disk.sync(n); return 0 })
}

// GetXAttr reads an extended attribute. Attributes become durable with the file.
func (m *mounted) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (size uint32, _ fuse.Status) {
	status := m.with(in.NodeId, func(n *node) syscall.Errno {
		value, ok := n.now.attrs[name]
		if !ok {
			return syscall.ENODATA
		}
		return fit(value, dest, &size)
	})
	return size, status
}

// ListXAttr lists the names of the extended attributes, each with a zero byte.
func (m *mounted) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (size uint32, _ fuse.Status) {
	status := m.with(in.NodeId, func(n *node) syscall.Errno {
		var all string
		for _, name := range slices.Sorted(maps.Keys(n.now.attrs)) {
			all += name + "\x00"
		}
		return fit(all, dest, &size)
	})
	return size, status
}

// fit copies a value into dest and sets size to its length. It returns ERANGE if dest is too short.
func fit(value string, dest []byte, size *uint32) syscall.Errno {
	*size = uint32(len(value))
	if len(value) > len(dest) {
		return syscall.ERANGE
	}
	copy(dest, value)
	return 0
}

// SetXAttr sets an extended attribute.
func (m *mounted) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		_, there := n.now.attrs[name]
		switch {
		case in.Flags == unix.XATTR_CREATE && there:
			return syscall.EEXIST
		case in.Flags == unix.XATTR_REPLACE && !there:
			return syscall.ENODATA
		}
		n.now.attrs[name] = string(value)
		return 0
	})
}

// RemoveXAttr removes an extended attribute.
func (m *mounted) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return m.with(in.NodeId, func(n *node) syscall.Errno {
		if _, there := n.now.attrs[name]; !there {
			return syscall.ENODATA
		}
		delete(n.now.attrs, name)
		return 0
	})
}

// StatFs reports a disk with 4 GiB, all free.
func (m *mounted) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const blocks = 1 << 20
	*out = fuse.StatfsOut{Blocks: blocks, Bfree: blocks, Bavail: blocks, Files: blocks, Ffree: blocks, Bsize: pageBytes, Frsize: pageBytes, NameLen: 255}
	return fuse.OK
}
