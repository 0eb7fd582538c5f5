package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// textRequest is a request to /completions in the making: a prompt that is templated already, and parameters.
type textRequest struct{ chat }

// newText begins a request. The prompt goes as it is; where it begins with the mark that tokenizers add themselves, they are
// told not to, or the model would see it twice.
func newText(model string, prompt value) *textRequest {
	r := &textRequest{chat{buffer: make(buffer, 0, len(prompt)+256)}}
	r.open('{')
	r.textMember("model", model)
	r.member("prompt", prompt)
	for _, mark := range beginnings {
		if strings.HasPrefix(string(prompt[1:min(len(prompt), 64)]), mark) {
			r.set("add_special_tokens", value("false"))
		}
	}
	return r
}

// beginnings are the marks of the beginning of a text, as Llama, Mistral and DeepSeek have them.
var beginnings = []string{"<|begin_of_text|>", "<s>", "<｜begin▁of▁sentence｜>"}

func (r *textRequest) call() batholith.Call {
	for _, p := range r.params {
		if !p.raw.absent() {
			r.anyKey(p.name)
			r.raw(p.raw)
		}
	}
	r.close('}')
	return batholith.Call{Path: "/completions", Body: r.buffer}
}
