package tinylm

import "fmt"

// Tokens below 256 are bytes of text. These tokens mark the turns of a conversation; no text is encoded as one of them.
const (
	Begin     = 256
	End       = 257
	System    = 258
	User      = 259
	Assistant = 260
)

// Message is one turn. Role is "system", "user" or "assistant".
type Message struct{ Role, Content string }

// Encode applies the chat template: <s>, then for each message its role, its bytes and <|end|>; then <|assistant|>.
func Encode(ms []Message) ([]int, error) {
	ids := []int{Begin}
	for _, m := range ms {
		role, err := roleToken(m.Role)
		if err != nil {
			return nil, err
		}
		ids = append(append(append(ids, role), textTokens(m.Content)...), End)
	}
	return append(ids, Assistant), nil
}

// PromptTokens is how many tokens a conversation has whose turns have so many bytes together: bytes + 2 × turns + 2.
func PromptTokens(bytes, turns int64) int64 { return bytes + 2*turns + 2 }

// roleToken is the token that begins a turn of a role.
func roleToken(role string) (int, error) {
	switch role {
	case "system":
		return System, nil
	case "user":
		return User, nil
	case "assistant":
		return Assistant, nil
	}
	return 0, fmt.Errorf("role %q is not system, user or assistant", role)
}

// textTokens are the bytes of a text.
func textTokens(s string) []int {
	ids := make([]int, len(s))
	for i := range len(s) {
		ids[i] = int(s[i])
	}
	return ids
}
