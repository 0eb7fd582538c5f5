// Command release builds what is published of a version: an archive for each system, Debian packages, a Homebrew formula, an SBOM for each
// binary, and the checksums of all. Run it from the top of the repository; `make release` does.
//
// The same commit and version give the same bytes: paths are trimmed, cgo is off, and every time is that of the commit.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// platforms are those for which the program is published, as GOOS/GOARCH.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

func main() {
	var r run
	out := flag.String("out", "dist", "the `directory` that gets the files; earlier ones in it are removed")
	only := flag.String("platforms", strings.Join(platforms, ","), "the `systems` to build for, as GOOS/GOARCH, with commas")
	flag.StringVar(&r.version, "version", "", "the version, such as v1.2.3 (default: the tag of the commit, else the next version with the commit)")
	man := flag.String("man", "", "write only the manual pages, to this `directory`")
	flag.Parse()
	r.out = *out
	if *man != "" {
		if err := writePages(*man, r.version); err != nil {
			fmt.Fprintln(os.Stderr, "release: error:", err)
			os.Exit(1)
		}
		return
	}
	if err := r.all(strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release: error:", err)
		os.Exit(1)
	}
}

// run is one run of the command.
type run struct {
	out     string
	version string // v1.2.3
	commit  commit
	shared  bool     // for tests: build as other tests do, and share their compiled packages; paths are not trimmed, and cgo is on where it is
	beside  []entry  // that of extras; nil: not made yet
	files   []string // names of what was made in out
	sums    map[string]string
}

// all makes everything for the platforms.
func (r *run) all(only []string) (err error) {
	for _, p := range only {
		if !slices.Contains(platforms, p) {
			return fmt.Errorf("%s is no system for which the program is published: %s", p, strings.Join(platforms, ", "))
		}
	}
	if r.commit, err = readCommit(); err != nil {
		return err
	}
	if r.version == "" {
		r.version = r.commit.version
	}
	if !validVersion.MatchString(r.version) {
		return fmt.Errorf("%q is no version: write it as v1.2.3", r.version)
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if r.beside == nil {
		if r.beside, err = r.extras(); err != nil {
			return err
		}
	}
	for _, p := range only {
		system, arch, _ := strings.Cut(p, "/")
		if err := r.platform(system, arch); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := r.formula(); err != nil {
		return err
	}
	return r.checksums()
}

// platform makes the files of one system.
func (r *run) platform(system, arch string) error {
	folder, err := os.MkdirTemp("", "batholith-release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program := "batholith"
	if system == "windows" {
		program += ".exe"
	}
	path := filepath.Join(folder, program)
	if err := r.build(path, system, arch); err != nil {
		return err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("batholith_%s_%s_%s", r.number(), system, arch)
	inside := append([]entry{{path: program, mode: 0o755, body: binary}}, r.beside...)
	if system == "windows" {
		err = r.zip(name+".zip", inside)
	} else {
		err = r.tarball(name+".tar.gz", inside)
	}
	if err != nil {
		return err
	}
	if err := r.sbom(name+".cdx.json", path); err != nil {
		return err
	}
	if system == "linux" {
		return r.debian(fmt.Sprintf("batholith_%s_%s.deb", r.debianVersion(), arch), arch, binary, r.beside)
	}
	return nil
}

// build builds the program.
func (r *run) build(path, system, arch string) error {
	const vars = "github.com/batholith/batholith/internal/release."
	flags := fmt.Sprintf("-s -w -X %stag=%s -X %scommit=%s -X %scommitted=%s", vars, r.version, vars, r.commit.hash, vars, r.commit.time.Format("2006-01-02T15:04:05Z"))
	args := []string{"build", "-buildvcs=false", "-ldflags", flags, "-o", path}
	env := append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "GOFLAGS=")
	if !r.shared {
		args, env = append(args, "-trimpath"), append(env, "CGO_ENABLED=0")
	}
	cmd := exec.Command("go", append(args, "./cmd/batholith")...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// extras are the files beside the program in every archive.
func (r *run) extras() (all []entry, err error) {
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, entry{path: name, mode: 0o644, body: body})
	}
	licences := exec.Command("go", "run", "./scripts/licences", "-texts")
	licences.Stderr = os.Stderr
	body, err := licences.Output()
	if err != nil {
		return nil, fmt.Errorf("collect the licences: %w", err)
	}
	all = append(all, entry{path: "THIRD-PARTY.txt", mode: 0o644, body: body})
	return append(all, manPages(r.version, r.commit.time)...), nil
}

// number is the version without its v, for names of files.
func (r *run) number() string { return strings.TrimPrefix(r.version, "v") }
