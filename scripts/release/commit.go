package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// commit is what git tells of the source.
type commit struct {
	hash    string
	time    time.Time // UTC
	version string    // that of the tag; else a pseudo-version, as the Go toolchain makes it
}

var (
	validVersion = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	plainTag     = regexp.MustCompile(`^v(\d+)\.(\d+)\.(\d+)$`)
)

// readCommit asks git for the commit of the working tree.
func readCommit() (c commit, err error) {
	said, err := git("log", "-1", "--format=%H %ct")
	if err != nil {
		return c, err
	}
	hash, seconds, _ := strings.Cut(said, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return c, fmt.Errorf("git log says %q", said)
	}
	c.hash, c.time = hash, time.Unix(n, 0).UTC()
	if tag, err := git("describe", "--tags", "--exact-match", "--match", "v[0-9]*"); err == nil {
		c.version = tag
		return c, nil
	}
	c.version = pseudo("", c)
	if tag, err := git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"); err == nil {
		c.version = pseudo(tag, c)
	}
	return c, nil
}

// pseudo is the version of a commit after a tag: v1.2.4-0.TIME-HASH after v1.2.3, v0.0.0-TIME-HASH after none.
func pseudo(tag string, c commit) string {
	stamp := c.time.Format("20060102150405") + "-" + c.hash[:12]
	m := plainTag.FindStringSubmatch(tag)
	if m == nil {
		return "v0.0.0-" + stamp
	}
	patch, _ := strconv.Atoi(m[3])
	return fmt.Sprintf("v%s.%s.%d-0.%s", m[1], m[2], patch+1, stamp)
}

func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w (the version and the times come from the commit)", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
