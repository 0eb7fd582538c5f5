// Package certs keeps the certificate of a listener, and follows its files.
//
// A change counts when two reads in a row have found it (package follow), so that a pair that is being
// replaced is not taken half. A pair that is faulty changes nothing: the certificate of before stays,
// and [Keeper.Note] says so.
//
// The package does not know what is served.
package certs
