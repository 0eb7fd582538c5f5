package dialect

import "strings"

// pythonTypes maps Python's type names, which Cohere's parameters use, to JSON Schema's. JSON
// Schema's own names are kept.
var pythonTypes = map[string]string{
	"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object", "none": "null", "nonetype": "null",
	"string": "string", "integer": "integer", "number": "number", "double": "number", "boolean": "boolean", "array": "array", "object": "object", "null": "null",
	"tuple": "array", "set": "array", "sequence": "array", "iterable": "array", "mapping": "object",
}

// pythonType writes the schema members for a Python type: str, List[str], Dict[str, int],
// Optional[float], str | int. It returns false for a type that JSON does not have, and for one
// longer than longestType (parsing is quadratic in the nesting depth); the schema then allows
// any value.
func (b *buffer) pythonType(typ string) bool {
	if typ = strings.TrimSpace(typ); len(typ) > longestType {
		return false
	}
	if parts := splitType(typ, '|'); len(parts) > 1 {
		b.anyOf(parts)
		return true
	}
	// "Dict[str, int]" gives name "Dict" and inner "str, int".
	name, inner, nested := strings.Cut(strings.TrimSuffix(typ, "]"), "[")
	name = strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]) // typing.List is List
	args := splitType(inner, ',')
	switch {
	case !nested:
		if known := pythonTypes[name]; known != "" {
			b.textMember("type", known)
			return true
		}
		return name == "any" || name == ""
	case name == "optional":
		b.anyOf([]string{inner, "None"})
	case name == "union":
		b.anyOf(args)
	case name == "literal":
		b.key("enum")
		b.open('[')
		for _, a := range args {
			b.literalOf(a)
		}
		b.close(']')
	case pythonTypes[name] == "array":
		b.textMember("type", "array")
		if len(args) == 1 || args[1] == "..." { // a tuple's items may have different types
			b.subschema("items", args[0])
		}
	case pythonTypes[name] == "object":
		b.textMember("type", "object")
		if len(args) > 1 {
			b.subschema("additionalProperties", args[1])
		}
	default:
		return false
	}
	return true
}

// longestType is the longest type in bytes that is parsed.
const longestType = 1000

// subschema writes the schema of a type as a member.
func (b *buffer) subschema(name, typ string) {
	b.key(name)
	b.open('{')
	b.pythonType(typ)
	b.close('}')
}

// anyOf writes a union of types.
func (b *buffer) anyOf(types []string) {
	b.key("anyOf")
	b.open('[')
	for _, t := range types {
		b.open('{')
		b.pythonType(t)
		b.close('}')
	}
	b.close(']')
}

// literalOf writes one value of a Literal: a quoted text, or a number or True or False.
func (b *buffer) literalOf(s string) {
	switch v, err := parse([]byte(s)); {
	case err == nil && (v.kind() == '0' || v.kind() == '"'):
		b.raw(v)
	case s == "True" || s == "False":
		b.literal(strings.ToLower(s))
	default:
		b.text(strings.Trim(s, `'`))
	}
}

// splitType splits a list of types at mark, except inside brackets and quotes.
func splitType(s string, mark byte) []string {
	var parts []string
	depth, from := 0, 0
	quote := byte(0) // the open quote, or 0
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == mark && depth == 0:
			parts = append(parts, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[from:]))
}
