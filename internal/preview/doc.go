// Package preview finds what people read: in bodies of any family the prompt and the answer, and in a line of an output its record's end. Bodies are read by the names of their members, and a
// body of an unknown form has no text. It serves messages and pages only; no request and no output is made of it (see package dialect).
package preview
