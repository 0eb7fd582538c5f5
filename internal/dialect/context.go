package dialect

import "bytes"

// FewestTokens returns a number of tokens that the prompt of a body has at least, with any
// tokenizer and chat template: half of the words in its texts. A tokenizer ends a token at a space
// or, in rare cases, joins two words. What a template or a server may leave out is not counted:
// thoughts of earlier turns, tools, media, text after a thought, and any text of a body that lets
// the server cut its prompt.
//
// [Weigh] has closer bounds, but for text. Runs of one character, such as spaces or a line of a
// table, have fewer tokens than its lower bound.
func FewestTokens(input []byte) int64 {
	v := value(input)
	words := int64(0)
	counted := false // strings of the last member are read by the model
	for i := 0; i < len(v); {
		n := bytes.IndexByte(v[i:], '"')
		if n < 0 {
			break
		}
		i += n
		end := skip(v, i)
		text := v[i:end]
		if i = space(v, end); i == len(v) || v[i] != ':' {
			if counted && !bytes.Contains(text, []byte("</think>")) {
				words += wordsOf(text)
			}
			continue
		}
		switch string(text) {
		case `"text"`, `"content"`, `"prompt"`, `"inputText"`, `"message"`:
			counted = true
		case `"reasoningText"`, `"reasoningContent"`, `"thinking"`:
			return words / 2
		case `"truncate_prompt_tokens"`, `"truncate"`, `"truncation"`, `"truncationMode"`, `"prompt_truncation"`, `"transforms"`:
			return 0
		default:
			counted = false
		}
	}
	return words / 2
}

// wordsOf counts the ASCII letters that follow a space or begin the string.
func wordsOf(text value) (n int64) {
	before := byte(' ')
	for _, c := range text[1:] {
		if before == ' ' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			n++
		}
		before = c
	}
	return n
}
