// Package plain makes text of others fit to be shown on a terminal and written into a log: answers, ids, prompts, messages of servers,
// names of files, URIs.
//
// The invariant: nothing that passes through it makes a terminal do anything but show characters from left to right, as the scripts
// themselves go. Control characters (C0, DEL, C1, and C1 as single bytes), bidirectional controls, line separators of Unicode, characters
// without width that hide text or split words, and bytes that are not UTF-8 appear as escapes, \u001b or \x9b. The escapes of characters
// are those of JSON, so that JSON which passes through keeps its meaning.
//
// There are two forms. [Line] is for one operand within a line: a newline in it is an escape, too, or it could begin a line that looks
// like one of the program's own. [Writer] stands around a stream: it lets newlines and tabs through, since it cannot tell whose they are.
// The program's own sequences, colours and movements of the cursor, are values of the type [Control] and pass only by [Draw].
//
// [Redact] hides what may be a key in the URLs of a text: users, passwords and the values of parameters.
//
// The package must not know what the text is about.
package plain
