//go:build unix

package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const version = "v9.8.7"

// made builds a release of this system into a folder, with the files beside the program that an earlier one had.
func made(t *testing.T, out string, beside []entry) *run {
	t.Helper()
	r := &run{out: out, version: version, shared: true, beside: beside}
	if err := r.all([]string{runtime.GOOS + "/" + runtime.GOARCH}); err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns a file of the release.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ran runs a program and returns what it says.
func ran(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// One commit and version give one release, byte for byte; its archive has the program of that version; the SBOM names every module in it;
// the package is installed, its program serves under a service manager, and nothing of it is left after it was removed.
func TestAReleaseIsWholeAndTheSameEachTime(t *testing.T) {
	t.Chdir("../..")
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("no release is made for " + runtime.GOOS)
	}
	out, again := t.TempDir(), t.TempDir()
	first := made(t, out, nil)
	made(t, again, first.beside)
	sums := read(t, filepath.Join(out, "SHA256SUMS"))
	if other := read(t, filepath.Join(again, "SHA256SUMS")); sums != other {
		t.Errorf("two runs differ:\n%s\n%s", sums, other)
	}
	name := "batholith_9.8.7_" + runtime.GOOS + "_" + runtime.GOARCH
	for _, want := range []string{name + ".tar.gz", name + ".cdx.json", "batholith.rb"} {
		if !strings.Contains(sums, "  "+want+"\n") {
			t.Errorf("SHA256SUMS has no %s:\n%s", want, sums)
		}
	}
	program := unpacked(t, filepath.Join(out, name+".tar.gz"), "batholith")
	var build struct{ Version, Revision string }
	if err := json.Unmarshal([]byte(ran(t, program, "version", "--json")), &build); err != nil || build.Version != version || len(build.Revision) != 40 {
		t.Errorf("the program says %+v (%v)", build, err)
	}
	formula := read(t, filepath.Join(out, "batholith.rb"))
	for line := range strings.Lines(sums) {
		if sum, file, _ := strings.Cut(strings.TrimSpace(line), "  "); file == name+".tar.gz" && (!strings.Contains(formula, sum) || !strings.Contains(formula, file)) {
			t.Errorf("the formula does not have the archive and its checksum:\n%s", formula)
		}
	}
	ran(t, program, "config", "--check", "deploy/docker/batholith.yaml")
	t.Run("SBOM", func(t *testing.T) { checkSBOM(t, filepath.Join(out, name+".cdx.json"), program) })
	t.Run("notify", func(t *testing.T) { checkNotify(t, program) })
	if runtime.GOOS == "linux" {
		t.Run("Debian", func(t *testing.T) { checkDebian(t, filepath.Join(out, "batholith_9.8.7_"+runtime.GOARCH+".deb")) })
	}
}

// unpacked takes one file out of an archive.
func unpacked(t *testing.T, archive, name string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s has no %s: %v", archive, name, err)
		}
		if h.Name != name {
			continue
		}
		path := filepath.Join(t.TempDir(), name)
		body, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(path, body, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
}

func checkSBOM(t *testing.T, path, program string) {
	var b bom
	if err := json.Unmarshal([]byte(read(t, path)), &b); err != nil || b.Format != "CycloneDX" || b.Metadata.Component.Version != version {
		t.Fatalf("%v: %+v", err, b.Metadata)
	}
	has := map[string]component{}
	for _, c := range b.Components {
		has[c.Name+"@"+c.Version] = c
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range info.Deps {
		if c := has[d.Path+"@"+d.Version]; len(c.Licenses) == 0 || c.PURL != "pkg:golang/"+d.Path+"@"+d.Version {
			t.Errorf("%s is not in the SBOM with a licence: %+v", d.Path, c)
		}
	}
	if len(b.Components) != len(info.Deps)+1 { // and the standard library
		t.Errorf("%d components for %d modules", len(b.Components), len(info.Deps))
	}
}

// A service manager is told when the service is ready and when it ends; the probe of containers says the same.
func checkNotify(t *testing.T, program string) {
	dir := t.TempDir()
	at := filepath.Join(dir, "n")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	_ = manager.SetReadDeadline(time.Now().Add(5 * time.Minute))
	told := func() string {
		b := make([]byte, 4096)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	data := filepath.Join(dir, "data")
	if out, err := exec.Command(program, "health", "--data", data).CombinedOutput(); err == nil || !strings.Contains(string(out), "batholith serve") {
		t.Errorf("the probe of no server: %v: %s", err, out)
	}
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	serve := exec.CommandContext(ctx, program, "serve", "--data", data, "--listen", "0.0.0.0:0", "--s3-listen", "127.0.0.1:0", "--insecure")
	serve.Dir, serve.Env = dir, append(os.Environ(), "NOTIFY_SOCKET="+at)
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	if said := told(); said != "READY=1" {
		t.Errorf("at the start the manager is told %q", said)
	}
	for _, flag := range []string{"--live=false", "--live"} {
		out := ran(t, program, "health", "--data", data, flag)
		if want := map[string]string{"--live=false": "ready", "--live": "ok"}[flag]; !strings.HasPrefix(out, want) {
			t.Errorf("the probe %s says %q", flag, out)
		}
	}
	if err := serve.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if said := told(); said != "STOPPING=1" {
		t.Errorf("at the end the manager is told %q", said)
	}
	if err := serve.Wait(); err != nil {
		t.Error(err)
	}
}

// The package is installed into a folder of its own, with its scripts' effects left out: they need the machine's users and systemd.
func checkDebian(t *testing.T, deb string) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("the package is installed only by root where dpkg is")
	}
	root := t.TempDir()
	admin := filepath.Join(root, "var/lib/dpkg")
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(admin, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(admin, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if said := ran(t, "dpkg-deb", "--info", deb); !strings.Contains(said, "Version: 9.8.7") || !strings.Contains(said, "postinst") {
		t.Errorf("dpkg-deb says:\n%s", said)
	}
	install := func(args ...string) {
		t.Helper()
		// Scripts run in this system, not below root: DPKG_ROOT names it, and the scripts do nothing there.
		ran(t, dpkg, append([]string{"--root=" + root, "--force-not-root", "--force-script-chrootless", "--force-depends", "--no-triggers"}, args...)...)
	}
	install("--install", deb)
	if said := ran(t, filepath.Join(root, "usr/bin/batholith"), "version"); !strings.Contains(said, version) {
		t.Errorf("the installed program says %s", said)
	}
	for _, page := range []string{"batholith.1.gz", "batholith-run.1.gz", "batholith-job-pause.1.gz"} {
		if _, err := os.Stat(filepath.Join(root, "usr/share/man/man1", page)); err != nil {
			t.Errorf("the package has no manual page: %v", err)
		}
	}
	settings := filepath.Join(root, "etc/batholith/batholith.yaml")
	ran(t, filepath.Join(root, "usr/bin/batholith"), "config", "--check", settings)
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		unit := strings.ReplaceAll(read(t, filepath.Join(root, "usr/lib/systemd/system/batholith.service")), "/usr/bin/batholith", filepath.Join(root, "usr/bin/batholith"))
		path := filepath.Join(t.TempDir(), "batholith.service")
		if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
		if said := ran(t, analyze, "verify", path); strings.Contains(said, "batholith") {
			t.Errorf("systemd-analyze verify: %s", said)
		}
	}
	if err := os.WriteFile(settings, []byte("listen: 127.0.0.1:4700\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	install("--remove", "batholith")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/batholith")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program is left after the removal: %v", err)
	}
	if read(t, settings) != "listen: 127.0.0.1:4700\n" {
		t.Error("the administrator's settings are not as they were after the removal")
	}
	install("--purge", "batholith")
	if _, err := os.Stat(settings); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the settings are left after the purge: %v", err)
	}
}

func TestAVersionComesFromTheTagBefore(t *testing.T) {
	c := commit{hash: "0123456789abcdef", time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for tag, want := range map[string]string{"": "v0.0.0-20260102030405-0123456789ab", "v1.2.3": "v1.2.4-0.20260102030405-0123456789ab"} {
		if got := pseudo(tag, c); got != want || !validVersion.MatchString(got) {
			t.Errorf("after %q: %s", tag, got)
		}
	}
	for version, want := range map[string]string{"v1.2.3": "1.2.3", "v1.2.3-rc1": "1.2.3~rc1"} {
		if got := (&run{version: version}).debianVersion(); got != want {
			t.Errorf("Debian's version of %s is %s", version, got)
		}
	}
}
