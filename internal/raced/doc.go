// Package raced is for tests only. It tells whether the race detector runs, and keeps the detector from breaking in bubbles of virtual time.
//
// A package whose tests import testing/synctest must import this package in a test file (see internal/layers_test.go). In a bubble, the Go
// runtime runs a timer that is due at once on the goroutine that sets it or receives from it, and gives the race detector the same identity for
// all such goroutines (go.dev/issue/78156, in Go 1.26 too). Two of them on two processors damage the detector's memory: "CHECK failed:
// tsan_rtl.cpp", or a segmentation fault, after minutes. So a test process with the race detector runs on one processor. The detector reports the
// same races there: it compares what happens before what, not what happens at the same time. Without the race detector nothing changes.
package raced
