package document

import (
	"strconv"
	"strings"
)

// operand is an operand of an operator in the content of a page.
type operand struct {
	kind   operandKind
	number float64
	text   string    // of a string: its bytes; of a name: without the slash
	list   []operand // of an array
}

type operandKind byte

const (
	otherOperand operandKind = iota // a dictionary or a keyword, which no text operator needs
	numberOperand
	stringOperand
	nameOperand
	arrayOperand
)

// maxOperands is enough for every operator of a page: colours have up to 33.
const maxOperands = 64

// maxDepth is how deep arrays are read. Deeper ones are skipped.
const maxDepth = 4

// lexer splits the content of a page into operators (PDF 32000-1: 7.8.2).
type lexer struct {
	data []byte
	i    int
	most int // how many operands an operator may have; further ones are dropped
}

// operators calls do for each operator with its operands, which are valid until do returns.
func (l *lexer) operators(do func(op string, args []operand) error) error {
	var args []operand
	for {
		l.space()
		if l.i >= len(l.data) {
			return nil
		}
		switch c := l.data[l.i]; {
		case regular(c) && !numeric(c):
			op := l.word()
			switch op {
			case "true", "false", "null":
				args = append(args, operand{})
				continue
			case "BI": // an image in the content, whose bytes are no operators
				l.image()
			default:
				if err := do(op, args); err != nil {
					return err
				}
			}
			args = args[:0]
		default:
			if o, ok := l.operand(0); ok && len(args) < l.most {
				args = append(args, o)
			}
		}
	}
}

// operand reads the operand that begins here. ok is false for a character that begins none, which
// is skipped.
func (l *lexer) operand(depth int) (o operand, ok bool) {
	switch c := l.data[l.i]; {
	case c == '(':
		return operand{kind: stringOperand, text: l.literal()}, true
	case c == '/':
		l.i++
		return operand{kind: nameOperand, text: plainName(l.word())}, true
	case c == '[' && depth < maxDepth:
		l.i++
		return operand{kind: arrayOperand, list: l.array(depth + 1)}, true
	case c == '<' && l.i+1 < len(l.data) && l.data[l.i+1] == '<', c == '>' && l.i+1 < len(l.data) && l.data[l.i+1] == '>':
		l.i += 2 // the members of a dictionary are read as operands, which no text operator has
		return operand{}, false
	case c == '<':
		return operand{kind: stringOperand, text: l.hex()}, true
	case numeric(c):
		f, err := strconv.ParseFloat(l.word(), 64)
		return operand{kind: numberOperand, number: f}, err == nil
	case regular(c):
		l.word()
		return operand{}, true
	}
	l.i++
	return operand{}, false
}

// plainName decodes the escapes of a name: #41 is A.
func plainName(s string) string {
	if strings.IndexByte(s, '#') < 0 {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '#' && i+2 < len(s) {
			high, ok := digit(s[i+1])
			low, too := digit(s[i+2])
			if ok && too {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// array reads to the closing bracket.
func (l *lexer) array(depth int) (list []operand) {
	for l.space(); l.i < len(l.data); l.space() {
		if l.data[l.i] == ']' {
			l.i++
			break
		}
		if o, ok := l.operand(depth); ok {
			list = append(list, o)
		}
	}
	return list
}

// literal reads a string in parentheses.
func (l *lexer) literal() string {
	var s []byte
	depth := 0
	for ; l.i < len(l.data); l.i++ {
		c := l.data[l.i]
		switch c {
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				l.i++
				return string(s)
			}
		case '\\':
			s = l.escaped(s)
			continue
		}
		s = append(s, c)
	}
	return string(s)
}

// escaped appends the character of an escape, and leaves l.i at the escape's last byte.
func (l *lexer) escaped(s []byte) []byte {
	if l.i++; l.i >= len(l.data) {
		return s
	}
	switch c := l.data[l.i]; c {
	case 'n':
		return append(s, '\n')
	case 'r':
		return append(s, '\r')
	case 't':
		return append(s, '\t')
	case 'b', 'f':
		return append(s, ' ')
	case '\r', '\n': // the string continues on the next line
		if c == '\r' && l.i+1 < len(l.data) && l.data[l.i+1] == '\n' {
			l.i++
		}
		return s
	default:
		if c < '0' || c > '7' {
			return append(s, c)
		}
	}
	n := 0
	for range 3 { // up to three octal digits
		if l.i >= len(l.data) || l.data[l.i] < '0' || l.data[l.i] > '7' {
			break
		}
		n = n*8 + int(l.data[l.i]-'0')
		l.i++
	}
	l.i--
	return append(s, byte(n))
}

// hex reads a string of hexadecimal digits.
func (l *lexer) hex() string {
	var s []byte
	high, half := byte(0), false
	for l.i++; l.i < len(l.data); l.i++ {
		c := l.data[l.i]
		if c == '>' {
			l.i++
			break
		}
		d, ok := digit(c)
		switch {
		case !ok:
		case half:
			s, half = append(s, high<<4|d), false
		default:
			high, half = d, true
		}
	}
	if half {
		s = append(s, high<<4)
	}
	return string(s)
}

// digit returns the value of a hexadecimal digit.
func digit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// image skips an image in the content: from BI, over its data after ID, to EI between white space.
func (l *lexer) image() {
	for l.i < len(l.data) {
		if l.space(); l.i < len(l.data) && regular(l.data[l.i]) {
			if l.word() == "ID" {
				break
			}
			continue
		}
		l.i++
	}
	for ; l.i+2 < len(l.data); l.i++ {
		after := l.i + 3
		if white(l.data[l.i]) && l.data[l.i+1] == 'E' && l.data[l.i+2] == 'I' && (after >= len(l.data) || white(l.data[after])) {
			l.i = after
			return
		}
	}
	l.i = len(l.data)
}

// word reads regular characters.
func (l *lexer) word() string {
	from := l.i
	for l.i < len(l.data) && regular(l.data[l.i]) {
		l.i++
	}
	return string(l.data[from:l.i])
}

// space skips white space and comments.
func (l *lexer) space() {
	for l.i < len(l.data) {
		switch {
		case white(l.data[l.i]):
			l.i++
		case l.data[l.i] == '%':
			for l.i < len(l.data) && l.data[l.i] != '\n' && l.data[l.i] != '\r' {
				l.i++
			}
		default:
			return
		}
	}
}

func white(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func numeric(c byte) bool { return c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' }

// regular reports whether c may be part of a name or an operator.
func regular(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return false
	}
	return !white(c)
}
