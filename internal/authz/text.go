package authz

import (
	"strings"
	"text/scanner"
	"unicode/utf8"
)

// Bounds of a policy file. The parser and the type checker recurse once for each level of an expression, so the bound of one policy bounds
// the stack: 32 KiB of it have at most 32 Ki levels. The type of nested brackets is as long as they are deep, and is compared at each level, so
// that their depth has a bound of its own.
const (
	maxFile   = 1 << 20 // bytes
	maxPolicy = 32 << 10
	maxDepth  = 100 // brackets within brackets
)

// token is a word, a string or a sign of a policy, and where it stands.
type token struct {
	kind         rune // scanner.Ident, scanner.String, or the character
	text         string
	line, column int // from 1; column counts characters
}

// statement is the text of one policy, from its first token to its semicolon.
type statement struct {
	text         string
	line, column int // of its first character
	tokens       []token
}

// statements cuts a policy file at its semicolons. Each statement is parsed by itself, so that a fault in one hides none in the next. The
// parser sees every byte that is not white space or a comment between two statements, also where it reads a token otherwise than this does. It
// sees a comment without an end too, which hides the rest of the file, and refuses it.
func statements(text string) []statement {
	var all []statement
	var s scanner.Scanner
	s.Init(strings.NewReader(text))
	s.Mode = scanner.ScanIdents | scanner.ScanStrings | scanner.ScanComments
	s.Error = func(*scanner.Scanner, string) {} // the parser finds the same, and says it better
	var now statement
	begin := -1
	for kind := s.Scan(); kind != scanner.EOF; kind = s.Scan() {
		if kind == scanner.Comment && ended(s.TokenText()) {
			continue
		}
		at := s.Position
		if begin < 0 {
			begin, now = at.Offset, statement{line: at.Line, column: at.Column}
		}
		now.tokens = append(now.tokens, token{kind, s.TokenText(), at.Line, at.Column})
		if kind == ';' {
			now.text = text[begin : at.Offset+1]
			all, begin = append(all, now), -1
		}
	}
	if begin >= 0 {
		now.text = text[begin:]
		all = append(all, now)
	}
	return all
}

// ended reports whether a comment ends before the file does, or with its line.
func ended(comment string) bool {
	return strings.HasPrefix(comment, "//") || strings.HasSuffix(comment, "*/") && len(comment) >= len("/**/")
}

// find returns the first token that says name: as a word, or as the content of a string.
func (s statement) find(name string) (token, bool) {
	for _, t := range s.tokens {
		if t.kind == scanner.Ident && t.text == name || t.kind == scanner.String && strings.Trim(t.text, `"`) == name {
			return t, true
		}
	}
	return token{}, false
}

// attribute returns the first token that reads an attribute, .name or ["name"], or else the first that looks for it, has name.
func (s statement) attribute(name string) (found token, ok bool) {
	for i, t := range s.tokens {
		if i == 0 || t.kind != scanner.Ident && t.kind != scanner.String || strings.Trim(t.text, `"`) != name {
			continue
		}
		switch before := s.tokens[i-1].text; {
		case before == "." || before == "[":
			return t, true
		case before == "has" && !ok:
			found, ok = t, true
		}
	}
	return found, ok
}

// depth is how many brackets are open at most at one place.
func (s statement) depth() int {
	depth, most := 0, 0
	for _, t := range s.tokens {
		switch t.kind {
		case '(', '{', '[':
			depth++
			most = max(most, depth)
		case ')', '}', ']':
			depth--
		}
	}
	return most
}

// condition returns the word when or unless that begins the nth condition, from 0.
func (s statement) condition(n int) (token, bool) {
	depth := 0
	for _, t := range s.tokens {
		switch {
		case t.kind == '(' || t.kind == '{' || t.kind == '[':
			depth++
		case t.kind == ')' || t.kind == '}' || t.kind == ']':
			depth--
		case depth == 0 && t.kind == scanner.Ident && (t.text == "when" || t.text == "unless"):
			if n == 0 {
				return t, true
			}
			n--
		}
	}
	return token{}, false
}

// readable tells why a text cannot be a policy file, or "".
func readable(text string) string {
	switch {
	case len(text) > maxFile:
		return "the file is longer than 1 MiB"
	case !utf8.ValidString(text):
		return "the file is not UTF-8 text"
	case strings.ContainsRune(text, 0):
		return "the file has a NUL character"
	}
	return ""
}
