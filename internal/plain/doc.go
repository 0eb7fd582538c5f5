// Package plain escapes text that others wrote, so that it is safe on a terminal and in a log:
// answers, ids, prompts, messages of servers, file names, URIs.
//
// Invariant: text that passes through this package only shows characters, in the direction of
// its script. It cannot move the cursor, change colours or hide other text. These appear as
// escapes such as \u001b or \x9b: control characters (C0, DEL, C1, and C1 as single bytes),
// bidirectional controls, Unicode line separators, invisible characters, and bytes that are not
// UTF-8. The escapes of characters are JSON escapes, so JSON keeps its meaning.
//
// There are two forms. [Line] is for one value within a line: it escapes newlines too, because
// a newline could start a line that looks like one of the program's own. [Writer] wraps a whole
// stream: it passes newlines and tabs, because it cannot know who wrote them. The program's own
// terminal sequences have the type [Control], and only [Draw] writes them unescaped.
//
// Where a locale has no UTF-8, [Writer.ASCII] and [Writer.Signs] write ASCII: the program's own
// signs become letters (… is ...).
//
// [Redact] hides possible secrets in URLs: user names, passwords and parameter values.
//
// The package does not know what the text is about.
package plain
