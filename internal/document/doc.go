// Package document reads the text of documents that model servers cannot read themselves: PDF and Word
// (docx). The result is one text per page.
//
// Documents come from clients and may be hostile: a few kilobytes can decompress to gigabytes, loop
// for ever, or nest until the stack is full. Go cannot stop a goroutine and cannot survive a full
// stack, so [Reader] reads each document in a process of its own, the program itself with
// [Command] as its argument. That process has limits of CPU time, memory and stack, no environment,
// and ends after one document.
//
// Invariant: a document is read completely, or refused with the reason and a remedy. It is never
// shortened.
//
// The package does not know bodies, families, or records.
package document
