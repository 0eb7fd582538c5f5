// Package words formats numbers, durations and names for messages to people.
//
// It does not escape anything: text that came from outside goes through package plain first.
package words

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Plural formats a count with its noun: "1 error", "1,200 errors". The plural is noun + "s".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}

// Number formats 1234567 as 1,234,567.
func Number(n int64) string { return humanize.Comma(n) }

// Age formats a duration in one unit, rounded down: 45s, 12m, 3h, 6d. Hours are used up to 48h.
func Age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// Span formats a duration with a useful precision: 840ms, 12.3s, 4m10s.
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	text := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} { // 10m0s is 10m, 1h0m0s is 1h
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// Rate formats n per second of d: one decimal below 10, none above; "-" if d is 0.
func Rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	r := float64(n) / d.Seconds()
	switch {
	case r >= 100:
		return Number(int64(r + 0.5))
	case r >= 10:
		return fmt.Sprintf("%.0f", r)
	}
	return fmt.Sprintf("%.1f", r)
}

// Shorten joins s to one line and cuts it to at most n characters, the last of which is then
// "…".
func Shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// Some lists up to five names in alphabetical order: "job a, b and 3 more". It sorts the slice
// in place.
func Some(noun string, names []string) string {
	const most = 5
	slices.Sort(names)
	text := strings.TrimSpace(noun + " " + strings.Join(names[:min(most, len(names))], ", "))
	if n := len(names) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// Quote quotes s for a POSIX shell if it contains characters that need it.
func Quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
