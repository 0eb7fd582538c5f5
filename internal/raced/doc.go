// Package raced is for tests only. It tells whether the race detector runs, and avoids a crash of the race
// detector in testing/synctest.
//
// A package whose tests import testing/synctest must import this package in a test file;
// internal/layers_test.go checks that. In a synctest bubble, a timer that is due runs on the goroutine that
// sets it or receives from it. The Go runtime then gives the race detector the same identity for all such
// goroutines (go.dev/issue/78156, also in Go 1.26). Two of them on two processors corrupt the detector's memory
// after minutes: "CHECK failed: tsan_rtl.cpp" or a segmentation fault.
//
// So with the race detector a test process runs on one processor. It finds the same races there, because it
// compares the order of events and not their times. Without the race detector this package changes nothing.
package raced
