// Package cli is the batholith command: it reads settings and arguments, joins the parts of the service, and talks to people.
//
// The invariant: stdout carries data only and stderr all the talk, so that any output can be piped; and every way to fail ends
// in one place, fault.go, which says what went wrong, what to do about it, and with which exit code.
//
// The commands submit, jobs, get, watch and stop know the service through its API alone, as any AWS client would. This package
// joins adapters only where a command needs one directly; what serve and run have in common is in package engine.
package cli
