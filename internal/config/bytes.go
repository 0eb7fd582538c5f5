package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes. In settings it is a number, or a number with a unit: 1GB, 512MiB.
type Bytes int64

// units are sorted from the largest, binary units first, so that String finds the best one for
// a size.
var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String formats the size with the largest unit that divides it, so that 1GB is shown as 1GB.
func (b Bytes) String() string {
	for _, u := range units {
		if b > 0 && u.size > 1 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// parseBytes parses a size. Units are case-insensitive; fractions are rejected.
func parseBytes(s string) (Bytes, error) {
	number, size := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, size = strings.TrimSpace(number[:n]), u.size
			break
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(number, "_", ""), 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)/size {
		return 0, fmt.Errorf("%q is not a size; write bytes, or a number and a unit such as 1GB or 512MiB", s)
	}
	return Bytes(n * size), nil
}

// parseDuration parses a duration. It rejects a number without a unit, because its unit would
// be a guess.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write a number and a unit such as 500ms, 30s, 10m or 1h", s)
	}
	return d, nil
}

// formatDuration is Duration.String without trailing zeros: 10m instead of 10m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
