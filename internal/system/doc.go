// Package system has what differs between operating systems about files and errors, so that other packages need no build tags for it:
// whether folders are synced and locked, who owns a file, whether a mode tells who may open it, free space, and the error numbers of Windows.
//
// Linux, macOS and the BSDs are alike here. On Windows
//
//   - names become durable without a sync of the folder: NTFS keeps them in its journal, and a folder cannot be synced;
//   - a folder cannot be locked, so a file in it is locked instead; what is locked cannot be read either, so the owner's id is in a file
//     beside it;
//   - access is by lists, which the mode of a file does not show: a user's own folder is closed to other users unless somebody opens it;
//   - errors of the network and of a full disk have numbers of their own, which errors.Is does not take for those of package syscall.
//
// The package knows nothing of Batholith.
package system
