// Package release tells which build of the program this is. It is the one place: the command version, the Server header of the API and
// the User-Agent of requests to model servers all ask it.
package release

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// tag and commit are set by the linker, with -X, where the Go toolchain cannot see version control: in a source archive, in a container
// without git, or with -buildvcs=false. scripts/version.sh prints the flags.
var tag, commit, committed string

// Build describes how the binary was built: its version, the revision of the source, and whether that was modified.
type Build struct {
	Version  string `json:"version"` // v1.2.3; v1.2.4-0.20260102030405-0123456789ab between two tags; (devel) without version control
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// This is the running build. A build with uncommitted changes says so, because its revision does not describe it.
var This = sync.OnceValue(func() Build {
	info, _ := debug.ReadBuildInfo()
	return of(info, tag, commit, committed)
})

// of joins what the toolchain stored with what the linker was told, which goes first.
func of(info *debug.BuildInfo, tag, commit, committed string) Build {
	b := Build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		if info.Main.Version != "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if tag != "" {
		b.Version = tag
	}
	if commit != "" {
		b.Revision, b.Time = commit, committed
	}
	return b
}

// Product is the program's name and version, as HTTP's headers Server and User-Agent have it (RFC 9110, section 10.1.5).
var Product = sync.OnceValue(func() string {
	version := This().Version
	if version == "(devel)" { // parentheses make a comment there
		version = "devel"
	}
	return "batholith/" + version
})
