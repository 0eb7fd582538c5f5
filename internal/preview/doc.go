// Package preview finds in bodies of any family what people read: the prompt, and the answer. Bodies are read by the names of their members, and a
// body of an unknown form has no text. It serves messages and pages only; no request and no output is made of it (see package dialect).
package preview
