package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Files of the package beside the program and its documents, by their source in this repository. Those below /etc are the administrator's:
// dpkg asks before it replaces a changed one.
var packaged = []struct {
	path, source string
}{
	{"etc/batholith/batholith.yaml", "deploy/debian/batholith.yaml"},
	{"usr/lib/systemd/system/batholith.service", "deploy/systemd/batholith.service"},
	{"usr/lib/sysusers.d/batholith.conf", "deploy/systemd/batholith.sysusers"},
}

// scripts are those that dpkg runs.
var scripts = []string{"postinst", "prerm", "postrm"}

// preRelease separates what comes before a version: Debian sorts 1.2.3~rc1 before 1.2.3, and - has another meaning.
var preRelease = regexp.MustCompile(`^(\d+\.\d+\.\d+)-`)

// debianVersion is the version as Debian writes it.
func (r *run) debianVersion() string { return preRelease.ReplaceAllString(r.number(), "$1~") }

// debian writes a package: an ar archive of a version, of what dpkg must know (control.tar.gz), and of the files (deb(5)).
func (r *run) debian(name, arch string, binary []byte, docs []entry) error {
	files := []entry{{path: "usr/bin/batholith", mode: 0o755, body: binary}}
	var conffiles []string
	for _, p := range packaged {
		body, err := os.ReadFile(p.source)
		if err != nil {
			return err
		}
		files = append(files, entry{path: p.path, mode: 0o644, body: body})
		if strings.HasPrefix(p.path, "etc/") {
			conffiles = append(conffiles, "/"+p.path)
		}
	}
	for _, d := range docs {
		e := entry{path: "usr/share/doc/batholith/" + d.path, mode: 0o644, body: d.body}
		if page, ok := strings.CutPrefix(d.path, "man/"); ok {
			e.path, e.body = "usr/share/man/man1/"+page+".gz", gzipped(d.body)
		}
		switch d.path { // as Debian names them
		case "LICENSE":
			e.path = "usr/share/doc/batholith/copyright"
		case "CHANGELOG.md":
			e.path, e.body = "usr/share/doc/batholith/changelog.gz", gzipped(d.body)
		case "THIRD-PARTY.txt":
			e.path, e.body = e.path+".gz", gzipped(d.body)
		}
		files = append(files, e)
	}
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	var sums bytes.Buffer
	size := 0
	for _, f := range files {
		size += len(f.body)
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.body), f.path) // dpkg --verify wants MD5; it is no protection
	}
	control := []entry{
		{path: "./control", mode: 0o644, body: fmt.Appendf(nil, controlText, r.debianVersion(), arch, size>>10)},
		{path: "./md5sums", mode: 0o644, body: sums.Bytes()},
		{path: "./conffiles", mode: 0o644, body: []byte(strings.Join(conffiles, "\n") + "\n")},
	}
	for _, s := range scripts {
		body, err := os.ReadFile("deploy/debian/" + s)
		if err != nil {
			return err
		}
		control = append(control, entry{path: "./" + s, mode: 0o755, body: body})
	}
	controlTar, err := r.tarred(control)
	if err != nil {
		return err
	}
	dataTar, err := r.tarred(withFolders(files))
	if err != nil {
		return err
	}
	return r.write(name, ar(r.commit.time, member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", controlTar}, member{"data.tar.gz", dataTar}))
}

const controlText = `Package: batholith
Version: %s
Architecture: %s
Maintainer: The Batholith authors <batholith@users.noreply.github.com>
Installed-Size: %d
Section: net
Priority: optional
Depends: ca-certificates
Recommends: systemd
Homepage: https://github.com/batholith/batholith
Description: Amazon Bedrock batch inference on your own machines
 Batholith is one program with Bedrock's batch API. It sends each record of a
 job to your own model server and writes the answers to S3.
`

// withFolders adds the directories above the files, each before its content, and "./" to all paths.
func withFolders(files []entry) (all []entry) {
	seen := map[string]bool{}
	var add func(dir string)
	add = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		if dir == "." {
			all = append(all, entry{path: "./", mode: 0o755})
			return
		}
		add(path.Dir(dir))
		all = append(all, entry{path: "./" + dir + "/", mode: 0o755})
	}
	for _, f := range files {
		add(path.Dir(f.path))
		all = append(all, entry{path: "./" + f.path, mode: f.mode, body: f.body})
	}
	return all
}

func gzipped(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(body)                                  // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}

type member struct {
	name string
	body []byte
}

// ar joins members into an archive in the common format (deb(5)).
func ar(at time.Time, members ...member) []byte {
	b := bytes.NewBufferString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, at.Unix(), 0, 0, "100644", len(m.body))
		b.Write(m.body)
		if len(m.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}
